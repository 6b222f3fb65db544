"""Trains the networks of word embeddings on batches of word ids."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from models.learners.learner import Learner, OnEpochEnd
from models.training.checkpoint import Checkpoint
from models.training.trainer import TrainingResult, train
from preprocessing.batches import EARLY_VALIDATION_TEXTS, TrainingBatches, stratified_part, texts_per_batch
from preprocessing.word_vectors import VectorSource, WordVectors, prepare_vectors

if TYPE_CHECKING:
    from preprocessing.prepared import PreparedTexts


class WordLearner(Learner):
    """Trains a network `network_type(config, vocabulary_size=..., classes=..., vectors=...)`."""

    fits_budget = True

    def fit(self, *, on_epoch_end: OnEpochEnd | None = None, checkpoint: Checkpoint | None = None) -> TrainingResult:
        config, limits = self.settings.training, self.settings.limits
        vectors = None
        if self.settings.vectors:
            vectors = _find_vectors(self.settings.vectors, self.prepared, self.cache_dir)
        torch.manual_seed(config.seed)
        network = self.network_type(
            self.settings.model,
            vocabulary_size=self.vocabulary_size,
            classes=len(self.prepared.classes),
            vectors=vectors,
        )
        validation = self.prepared.validation
        return train(
            network,
            TrainingBatches(
                self.training_texts,
                self._batch_size,
                limits.max_tokens,
                self.vocabulary_size,
                config.seed,
                config.epoch_texts,
            ),
            self.evaluation_batches(validation),
            early_validation=self.evaluation_batches(stratified_part(validation, EARLY_VALIDATION_TEXTS)),
            keep_last=self.prepared.is_whole,
            config=config,
            device=self.device,
            on_epoch_end=on_epoch_end,
            checkpoint=checkpoint,
        )

    @property
    def _batch_size(self) -> int:
        training = self.settings.training
        if training.batch_tokens is None:
            return training.batch_size
        max_tokens = self.settings.limits.max_tokens
        return texts_per_batch(self.training_texts, max_tokens, training.batch_tokens, training.epoch_texts)


@lru_cache(maxsize=1)
def _find_vectors(source: VectorSource, prepared: "PreparedTexts", cache_dir: Path) -> WordVectors:
    """The vectors of the texts' words, opened once per process and shared by its trials."""
    return prepare_vectors(source, prepared.vocabulary, cache_dir=cache_dir)
