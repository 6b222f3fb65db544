"""Trains BERT: fine-tunes its encoder, or trains only a head on the features of a frozen one."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.bert import BERTClassifier, BERTConfig, FeatureHead, merged
from models.learners.classifier import Member, TextClassifier, Tokens
from models.learners.learner import Learner, OnEpochEnd, Settings
from models.networks.encoders import load_encoder, read_shape
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.frozen_features import (
    FeatureEvaluationBatches,
    FeatureTrainingBatches,
    TextFeatures,
    cached_features,
)
from models.training.trained_weights import load_trained
from models.training.trainer import TrainingResult, compute_logits, train
from preprocessing.batches import TextLimits, TrainingBatches
from preprocessing.cache import OnEvent, OnProgress, ignore
from preprocessing.encoding import EncodedTexts
from preprocessing.word_pieces import read_word_pieces

LIMITS = TextLimits(128)

_features_found: dict[tuple[Path, int | None, str, Path], tuple[TextFeatures, TextFeatures]] = {}  # the last ones


class BERTLearner(Learner):
    config_type = BERTConfig
    network_type = BERTClassifier
    variant_field = "strategy"
    ignored_fields = frozenset({"vocabulary_size", "min_frequency", "truncate"})  # word pieces are all known
    defaults: ClassVar = {
        "frozen": Settings(BERTConfig("frozen"), TrainingConfig(20, 1e-2, patience=5), LIMITS),
        "full": Settings(BERTConfig("full"), TrainingConfig(3, 2e-4, 16, schedule="linear"), LIMITS),
        "gradual": Settings(BERTConfig("gradual"), TrainingConfig(4, 3e-3, 16, patience=4, schedule="linear"), LIMITS),
        "lora": Settings(BERTConfig("lora"), TrainingConfig(4, 2e-3, 16, schedule="linear"), LIMITS),
    }

    def fit(self, *, on_epoch_end: OnEpochEnd | None = None, checkpoint: Checkpoint | None = None) -> TrainingResult:
        config = self.settings.training
        run = partial(
            train,
            keep_last=self.prepared.is_whole,
            config=config,
            device=self.device,
            on_epoch_end=on_epoch_end,
            checkpoint=checkpoint,
        )
        if self.shares_features(self.settings):
            # Before the seed is set, since loading the encoder draws random numbers.
            training, validation = self.find_features()
            torch.manual_seed(config.seed)
            return run(
                self._head(training.bank.shape[1]),
                FeatureTrainingBatches(training, config.batch_size, config.seed, config.epoch_texts),
                FeatureEvaluationBatches(validation),
            )
        max_tokens = self.settings.limits.max_tokens
        torch.manual_seed(config.seed)
        batches = TrainingBatches(
            self.training_texts, config.batch_size, max_tokens, self.vocabulary_size, config.seed, config.epoch_texts
        )
        return run(self._build(self._load_encoder()), batches, self.evaluation_batches(self.prepared.validation))

    def prepare(self, *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None) -> None:
        if self.shares_features(self.settings):
            self.find_features(on_event=on_event, on_progress=on_progress)

    @classmethod
    def shares_features(cls, settings: Settings) -> bool:
        return bool(settings.model.strategy == "frozen")

    def restore(
        self, weights: Mapping[str, Tensor], about: Mapping[str, Any], *, temperature: float = 1.0
    ) -> TextClassifier:
        model = merged(self.network(weights)).eval()
        member = Member(model, self.tokens, self.settings.limits.max_tokens, temperature)
        return TextClassifier((member,), self.prepared.classes, about)

    def logits(self, weights: Mapping[str, Tensor], texts: EncodedTexts) -> Tensor:
        if not self.shares_features(self.settings):
            return super().logits(weights, texts)
        is_validation = texts is self.prepared.validation  # its features were computed for training
        features = self.find_features()[1] if is_validation else self._features([texts])[0]
        head = self._head(features.bank.shape[1])
        load_trained(head, weights)
        return compute_logits(head.to(self.device), FeatureEvaluationBatches(features), device=self.device)

    def network(self, weights: Mapping[str, Tensor]) -> BERTClassifier:
        model = self._build(self._load_encoder())
        load_trained(model, weights)
        return model.eval()

    def count_weights(self, _weights: Mapping[str, Tensor]) -> int:
        """The number of weights including the encoder, which is built from its configuration, not loaded."""
        with torch.device("meta"):
            model = self._build(read_shape(self.settings.find_encoder(self.cache_dir).folder))
        return sum(tensor.numel() for tensor in model.state_dict().values())

    @classmethod
    def packages(cls, settings: Settings) -> tuple[str, ...]:
        adapters = ("peft",) if settings.model.strategy == "lora" else ()
        return ("transformers", "tokenizers", *adapters)

    def find_features(
        self, *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None
    ) -> tuple[TextFeatures, TextFeatures]:
        """The features of the training and of the validation texts, computed unless the cache has them.

        They are kept in the process, since each trial of a search needs the same ones.
        """
        limits, texts = self.settings.limits, self.prepared.entry.folder
        key = (texts, limits.max_training_texts, self.settings.find_encoder(self.cache_dir).identity, self.cache_dir)
        if key not in _features_found:
            sides = [self.training_texts, self.prepared.validation]
            training, validation = self._features(sides, on_event=on_event, on_progress=on_progress)
            _features_found.clear()
            _features_found[key] = training, validation
        return _features_found[key]

    @property
    def tokens(self) -> Tokens:
        encoder = self.settings.find_encoder(self.cache_dir)
        return read_word_pieces(encoder, max_tokens=self.settings.limits.max_tokens)

    @property
    def vocabulary_size(self) -> int:
        return len(self.prepared.word_counts)

    def _features(
        self, sides: list[EncodedTexts], *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None
    ) -> list[TextFeatures]:
        def load() -> Callable[[Tensor, Tensor], Tensor]:
            return self._build(self._load_encoder()).to(self.device).eval().pooled

        return cached_features(
            sides,
            load,
            encoder=self.settings.find_encoder(self.cache_dir).identity,
            cache_dir=self.cache_dir,
            device=self.device,
            on_event=on_event,
            on_progress=on_progress,
        )

    def _head(self, features: int) -> FeatureHead:
        return FeatureHead(self.settings.model, features=features, classes=len(self.prepared.classes))

    def _build(self, encoder: nn.Module) -> BERTClassifier:
        return BERTClassifier(self.settings.model, encoder, classes=len(self.prepared.classes))

    def _load_encoder(self) -> nn.Module:
        return load_encoder(self.settings.find_encoder(self.cache_dir).folder)
