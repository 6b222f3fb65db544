"""How long a search will take, from a few measured batches of the default configuration."""

from dataclasses import replace
from pathlib import Path

import torch

from models.learners.learner import Settings
from models.registry import make_learner
from preprocessing.batches import stratified_part, texts_per_batch
from preprocessing.prepared import PreparedTexts
from study.model_settings import usual_budget
from study.trials.texts import training_texts

# What a search of 50 trials takes, in trainings of the default configuration without pruning: 32 on R8, and 41 on
# 217,000 texts, where the larger networks were the better ones (docs/benchmarks.md).
TRAININGS_OF_50_TRIALS = 35
FEW_BATCHES, MORE_BATCHES = 6, 24
VALIDATION = 1.1  # times as long with the validation


def estimate_search(
    settings: Settings, prepared: PreparedTexts, *, cache_dir: Path, device: torch.device, workers: int
) -> float:
    """The seconds that 50 trials with these settings will take, roughly."""
    texts = training_texts(settings, prepared)
    settings = replace(settings, training=replace(settings.training, **usual_budget(settings, texts)))
    training, limits = settings.training, settings.limits
    assert training.batch_tokens is not None
    batch = texts_per_batch(prepared.training, limits.max_tokens, training.batch_tokens, training.epoch_texts)
    part = replace(prepared, validation=stratified_part(prepared.validation, batch))
    sizes = [min(count * batch, texts) for count in (FEW_BATCHES, MORE_BATCHES)]
    few, more = (_seconds_of_epoch(settings, part, batch, size, cache_dir, device) for size in sizes)
    per_text = (more - few) / (sizes[1] - sizes[0]) if sizes[1] > sizes[0] and more > few else more / sizes[1]
    read = training.budget_texts or training.epochs * texts
    return TRAININGS_OF_50_TRIALS * per_text * read * VALIDATION / workers


def _seconds_of_epoch(
    settings: Settings, prepared: PreparedTexts, batch: int, texts: int, cache_dir: Path, device: torch.device
) -> float:
    training = replace(settings.training, epochs=1, budget_texts=None, batch_tokens=None, batch_size=batch)
    limits = replace(settings.limits, max_training_texts=texts)
    learner = make_learner(replace(settings, training=training, limits=limits), prepared, cache_dir, device)
    return learner.fit().best.seconds
