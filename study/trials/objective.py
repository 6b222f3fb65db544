"""One trial: build, train, report or prune, record."""

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from optuna import TrialPruned
from optuna.trial import Trial

from data.errors import UserError
from models.learners.learner import Settings
from models.registry import make_learner
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.precision import compute_type
from models.training.trainer import EpochResult, TrainingResult, best_epoch
from preprocessing.prepared import PreparedTexts
from study.search_space import apply_parameters
from study.storage.retrying import STORAGE_ERRORS
from study.trials.artifacts import ArtifactFolder, TrialRecord

CURVES = ("training_loss", "validation_loss", "accuracy", "macro_f1")


def run_trial(
    trial: Trial,
    on_epoch_end: Callable[[EpochResult], None],
    *,
    base: Settings,
    prepared: PreparedTexts,
    cache_dir: Path,
    device: torch.device,
    checkpoints: Path,
    on_event: Callable[[str], None],
    on_trained: Callable[[TrainingResult], None] | None = None,
    artifacts: ArtifactFolder | None = None,
) -> float:
    """Train with the trial's parameters and return the best epoch's validation score.

    An interrupted trial continues from its checkpoint in the folder `checkpoints`, if there is one. After each epoch it
    reports the value that it would have if it ended there. Raises `TrialPruned`, and `STORAGE_ERRORS` and `UserError`,
    after which the trial can continue; any other exception makes it fail.
    """
    settings = apply_parameters(base, trial.params)
    training = settings.training
    reported_before = trial.study.get_trials(deepcopy=False)[trial.number].last_step  # of an interrupted run, or None
    curve: list[EpochResult] = []

    def report(result: EpochResult) -> None:
        curve.append(result)
        on_epoch_end(result)
        if reported_before is not None and result.epoch < reported_before:
            return  # reported before the interruption, and not pruned
        if result.epoch != reported_before:
            best = best_epoch(curve, training, keep_last=prepared.is_whole)
            trial.report(best.score(training.metric), step=result.epoch)
        if result.epoch < training.epochs - 1 and trial.should_prune():
            raise TrialPruned

    def keep(curve: Sequence[EpochResult], error: Exception | None = None) -> None:
        if curve:
            _record(trial, curve, best_epoch(curve, training, keep_last=prepared.is_whole))
        if artifacts:
            artifacts.keep(trial, TrialRecord(settings, prepared, device, tuple(curve), error))

    trial.set_user_attr("training_seed", training.seed)
    checkpoint = _checkpoint(trial, training, device, checkpoints, on_event)
    if reported_before is not None and not checkpoint.path.exists():
        on_event(f"There is no checkpoint of trial {trial.number} here; it starts over.")
    try:
        result = make_learner(settings, prepared, cache_dir, device).fit(on_epoch_end=report, checkpoint=checkpoint)
    except (*STORAGE_ERRORS, UserError):  # the trial will continue
        raise
    except Exception as error:  # pruned or failed
        keep(curve, error)
        raise
    if on_trained:
        on_trained(result)
    keep(result.curve)
    return result.best.score(training.metric)


def checkpoint_file(checkpoints: Path, number: int) -> Path:
    return checkpoints / f"{number}.pt"


def _checkpoint(
    trial: Trial, training: TrainingConfig, device: torch.device, folder: Path, on_event: Callable[[str], None]
) -> Checkpoint:
    """The checkpoint of a trial, which continues only what would train in the same way."""
    identity = {
        "trial": trial.number,
        "parameters": trial.params,
        "device": device.type,
        "precision": str(compute_type(training.precision, device)),
        "torch": version("torch"),
    }
    return Checkpoint(checkpoint_file(folder, trial.number), identity, on_event)


def _record(trial: Trial, curve: Sequence[EpochResult], best: EpochResult) -> None:
    attributes = {
        "accuracy": best.accuracy,
        "macro_f1": best.macro_f1,
        "best_epoch": best.epoch,
        "epochs": len(curve),
        "seconds": round(sum(epoch.seconds for epoch in curve), 2),
        "threads": torch.get_num_threads(),
        "curve": {name: [round(getattr(epoch, name), 6) for epoch in curve] for name in CURVES},
    }
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
