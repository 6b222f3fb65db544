"""The epoch loop: train, evaluate, keep the best epoch, stop early. Knows neither Optuna nor databases."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.row_embedding import RowEmbedding
from models.training.checkpoint import Checkpoint, random_state, set_random_state
from models.training.config import TrainingConfig
from models.training.frozen_features import FeatureEvaluationBatches, FeatureTrainingBatches
from models.training.optimizer import ScheduledAdamW
from models.training.precision import autocast, compute_type
from models.training.scores import Metric, accuracy, macro_f1
from models.training.trained_weights import FineTuned, load_trained, parameter_groups, trained_weights
from preprocessing.batches import EvaluationBatches, TrainingBatches

AnyTrainingBatches = TrainingBatches | FeatureTrainingBatches
AnyEvaluationBatches = EvaluationBatches | FeatureEvaluationBatches


@dataclass(frozen=True)
class EpochResult:
    epoch: int  # from 0
    training_loss: float
    validation_loss: float
    accuracy: float  # of validation
    macro_f1: float  # of validation
    seconds: float
    predictions: Tensor = field(compare=False)  # the class of each text that validated this epoch, (N,) int32

    def score(self, metric: Metric) -> float:
        """The validation score."""
        return float(getattr(self, metric))


@dataclass(frozen=True)
class TrainingResult:
    curve: tuple[EpochResult, ...]
    best: EpochResult
    best_weights: dict[str, Tensor]  # the trained ones, for `models.training.trained_weights.load_trained`


def best_epoch(curve: Sequence[EpochResult], config: TrainingConfig, *, keep_last: bool = False) -> EpochResult:
    """The epoch that a training is judged by: the best settled one, or the best of all before; the last of equals.

    With `keep_last`, it is the last one.

    On R8, this changes macro-F1 on held-out texts by 0.000 ± 0.001 (LSTM) and +0.001 ± 0.001 (CNN, means of 8 splits,
    `benchmarks/method/epoch_choice.py`), but a lucky early epoch can no longer make a configuration look good.
    """
    if keep_last:
        return curve[-1]
    settled = [result for result in curve if result.epoch >= config.first_settled_epoch]
    return max(settled or curve, key=lambda result: (result.score(config.metric), result.epoch))


class TrainingDivergedError(ArithmeticError):
    """The loss is no longer a finite number."""


def train(
    model: nn.Module,
    training: AnyTrainingBatches,
    validation: AnyEvaluationBatches,
    config: TrainingConfig,
    *,
    device: torch.device,
    early_validation: AnyEvaluationBatches | None = None,
    keep_last: bool = False,
    on_epoch_end: Callable[[EpochResult], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingResult:
    """Train with smoothed cross-entropy, AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) and the schedule.

    `early_validation` are the texts that validate epochs before the first settled one, if not all of `validation`. With
    `keep_last`, the weights of the last epoch are the result, without early stopping: for texts that are trained on.
    `on_epoch_end` may raise to end the training; the exception passes through. An interrupted training continues from
    its `checkpoint`: on the same CPU to the same curve and weights, bit for bit, which a GPU does not guarantee;
    `on_epoch_end` is called for its earlier epochs again. Raises `TrainingDivergedError` when the loss is no longer
    finite, `CheckpointError`. The CPU is used with one thread: more make a small LSTM slower, on a busy machine by
    orders of magnitude.
    """
    if device.type == "cpu":
        torch.set_num_threads(1)
    run = _Run(model, config, steps_per_epoch=len(training), device=device, keep_last=keep_last)
    if checkpoint and (state := checkpoint.load()):
        run.load_state_dict(state)
    tell = on_epoch_end or (lambda _result: None)
    early_validation = early_validation or validation
    for result in run.curve:
        tell(result)
    try:
        while not run.is_over:
            is_early = len(run.curve) < config.first_settled_epoch
            tell(run.train_epoch(training, early_validation if is_early else validation))
            if checkpoint and not run.is_over:
                checkpoint.save(run.state_dict())
    finally:
        run.optimizer.release()
    return TrainingResult(tuple(run.curve), run.best, run.best_weights)


@torch.inference_mode()
def compute_logits(model: nn.Module, batches: AnyEvaluationBatches, *, device: torch.device) -> Tensor:
    """The logits (N, classes) of every text in float32, on the CPU and in the texts' own order."""
    model.eval()
    computed, rows = [], []
    for batch in batches:
        inputs, lengths, _, batch_rows = batch.to(device)
        computed.append(model(inputs, lengths).cpu())
        rows.append(torch.from_numpy(batch_rows))
    logits = torch.cat(computed)
    return torch.empty_like(logits).index_copy_(0, torch.cat(rows), logits)


def predict(
    model: nn.Module, batches: AnyEvaluationBatches, *, device: torch.device
) -> tuple[npt.NDArray[np.int64], float]:
    """The most probable class of every text, in the texts' own order, and the mean cross-entropy."""
    logits = compute_logits(model, batches, device=device)
    labels = torch.from_numpy(batches.texts.labels.astype(np.int64))
    return logits.argmax(dim=1).numpy(), functional.cross_entropy(logits, labels).item()


class _Run:
    """A training, with all state that changes from epoch to epoch."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainingConfig,
        *,
        steps_per_epoch: int,
        device: torch.device,
        keep_last: bool = False,
    ) -> None:
        self.model = model.to(device)
        self.config = config
        self.keep_last = keep_last
        self.device = device
        self.optimizer = ScheduledAdamW(
            parameter_groups(self.model, config.learning_rate),
            weight_decay=config.weight_decay,
            schedule=config.schedule,
            steps=config.epochs * steps_per_epoch,
            embeddings=_trained_by_rows(self.model, device),
        )
        scales = compute_type(config.precision, device) == torch.float16
        self.scaler: Any = torch.amp.GradScaler(device.type, enabled=scales)
        self.curve: list[EpochResult] = []
        self.best_weights: dict[str, Tensor] = {}

    @property
    def best(self) -> EpochResult:
        return best_epoch(self.curve, self.config, keep_last=self.keep_last)

    @property
    def is_over(self) -> bool:
        settled = [result.score(self.config.metric) for result in self.curve[self.config.first_settled_epoch :]]
        waited = len(settled) - 1 - settled.index(max(settled)) if settled else 0
        return len(self.curve) == self.config.epochs or (waited >= self.config.patience and not self.keep_last)

    def train_epoch(self, training: AnyTrainingBatches, validation: AnyEvaluationBatches) -> EpochResult:
        start, epoch = time.perf_counter(), len(self.curve)
        if isinstance(self.model, FineTuned):
            self.model.before_epoch(epoch)
        training_loss = self._train(training, epoch)
        _check_finite("training", training_loss, epoch)
        predictions, validation_loss = predict(self.model, validation, device=self.device)
        _check_finite("validation", validation_loss, epoch)
        labels = validation.texts.labels
        result = EpochResult(
            epoch,
            training_loss,
            validation_loss,
            accuracy(labels, predictions),
            macro_f1(labels, predictions),
            time.perf_counter() - start,
            torch.from_numpy(predictions.astype(np.int32)),
        )
        self.curve.append(result)
        if self.best is result:
            self.best_weights = {
                name: copy.deepcopy(tensor).cpu() for name, tensor in trained_weights(self.model).items()
            }
        return result

    def state_dict(self) -> dict[str, Any]:
        """The state that the next epoch depends on, besides the seed and its number, which determine the batches."""
        return {
            "model": trained_weights(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "device_random": random_state(self.device),
            "curve": [asdict(result) for result in self.curve],
            "best_weights": self.best_weights,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_trained(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if state["scaler"]:  # empty where gradients were not scaled, as on another device
            self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        set_random_state(self.device, state["device_random"])
        self.curve = [EpochResult(**result) for result in state["curve"]]
        self.best_weights = state["best_weights"]

    def _train(self, batches: AnyTrainingBatches, epoch: int) -> float:
        """One epoch; returns the mean loss per text."""
        self.model.train()
        total, texts = torch.zeros((), device=self.device), 0
        for batch in batches.epoch(epoch):
            inputs, lengths, labels, _ = batch.to(self.device)
            with autocast(self.config.precision, self.device):
                logits = self.model(inputs, lengths)
                loss = functional.cross_entropy(logits, labels, label_smoothing=self.config.label_smoothing)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.optimizer.with_gradient, self.config.gradient_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.advance()
            total += loss.detach() * len(labels)
            texts += len(labels)
        self.optimizer.settle()
        return total.item() / texts


def _trained_by_rows(model: nn.Module, device: torch.device) -> list[RowEmbedding]:
    """The embeddings of which each step touches only some rows: on a CPU, where a whole table takes longer."""
    embeddings = [module for module in model.modules() if isinstance(module, RowEmbedding)]
    return [embedding for embedding in embeddings if embedding.weight.requires_grad and device.type == "cpu"]


def _check_finite(side: str, loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise TrainingDivergedError(f"The {side} loss is {loss} in epoch {epoch}.")
