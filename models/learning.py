"""A model of a study from its settings: trained on prepared texts, made again from its weights, asked for classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.checkpoint import Checkpoint
from models.networks import ModelConfig, WordNetwork, word_network
from models.training import EpochResult, TrainingConfig, TrainingResult, predict, train
from preprocessing.batches import EvaluationBatches, TextLimits, TrainingBatches, limited_training_texts
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts


@dataclass(frozen=True)
class Settings:
    """All that decides what is learned, besides the texts."""

    model: ModelConfig
    training: TrainingConfig
    limits: TextLimits


def learn(
    settings: Settings,
    prepared: PreparedTexts,
    *,
    device: torch.device,
    on_epoch_end: Callable[[EpochResult], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> TrainingResult:
    """Train on the training texts, judged by the validation texts; see `models.training.train`.

    This is where the global seed is set.
    """
    torch.manual_seed(settings.training.seed)
    training, limits = settings.training, settings.limits
    texts = limited_training_texts(prepared.training, limits)
    return train(
        _network(settings, prepared),
        TrainingBatches(texts, training.batch_size, limits.max_tokens, _words(settings, prepared), training.seed),
        _batches(settings, prepared, prepared.validation),
        training,
        device=device,
        on_epoch_end=on_epoch_end,
        checkpoint=checkpoint,
    )


def restore(settings: Settings, prepared: PreparedTexts, weights: Mapping[str, Tensor]) -> WordNetwork:
    """The network that `learn` has found these weights for."""
    model = _network(settings, prepared)
    model.load_state_dict(dict(weights))
    return model


def classify(
    settings: Settings,
    prepared: PreparedTexts,
    weights: Mapping[str, Tensor],
    texts: EncodedTexts,
    *,
    device: torch.device,
) -> npt.NDArray[np.int64]:
    """The class number of each text, by the network with these weights."""
    model = restore(settings, prepared, weights).to(device)
    return predict(model, _batches(settings, prepared, texts), device=device)[0]


def _network(settings: Settings, prepared: PreparedTexts) -> WordNetwork:
    return word_network(settings.model, words=_words(settings, prepared), classes=len(prepared.classes))


def _batches(settings: Settings, prepared: PreparedTexts, texts: EncodedTexts) -> EvaluationBatches:
    return EvaluationBatches(texts, settings.limits.max_tokens, _words(settings, prepared))


def _words(settings: Settings, prepared: PreparedTexts) -> int:
    return settings.limits.kept_words(prepared.word_counts)
