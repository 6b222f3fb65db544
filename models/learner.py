"""A model of a study from its settings: trained on prepared texts, made again from its weights, asked for classes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.wheels import OnDownload
from models.bert import BERTClassifier, BERTConfig, FeatureHead, merged
from models.checkpoint import Checkpoint
from models.classifier import TextClassifier, Tokens
from models.encoders import load_encoder
from models.frozen_features import (
    FeatureEvaluationBatches,
    FeatureTrainingBatches,
    OnProgress,
    TextFeatures,
    cached_features,
)
from models.linear import LinearConfig, fit_linear
from models.networks import ModelConfig, Network, build_network, word_network
from models.trained_weights import load_trained
from models.training import EpochResult, TrainingConfig, TrainingResult, compute_logits, train
from preprocessing.batches import EvaluationBatches, TextLimits, TrainingBatches, limited_training_texts
from preprocessing.cache import OnEvent, ignore
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts
from preprocessing.pretrained import EncoderVersion, PretrainedEncoder, find_encoder
from preprocessing.word_pieces import read_word_pieces
from preprocessing.word_vectors import VectorSource, prepare_vectors

_features_found: dict[tuple[Path, int | None, str, Path], tuple[TextFeatures, TextFeatures]] = {}  # the last ones


@dataclass(frozen=True)
class Settings:
    """All that decides what is learned, besides the texts."""

    model: ModelConfig
    training: TrainingConfig
    limits: TextLimits
    vectors: VectorSource | None = None  # pretrained ones, that word embeddings begin with
    encoder: EncoderVersion | None = None  # of BERT's pretrained encoder, which its files are compared with

    @property
    def reads_features(self) -> bool:
        """Whether the model learns from features that a frozen encoder has computed before."""
        return isinstance(self.model, BERTConfig) and self.model.strategy == "frozen"

    def find_encoder(self, cache_dir: Path, *, on_download: OnDownload | None = None) -> PretrainedEncoder:
        """The pretrained one of BERT. Raises `PretrainedError`, also for another version than that of the settings."""
        assert isinstance(self.model, BERTConfig)
        return find_encoder(self.model.pretrained, cache_dir=cache_dir, version=self.encoder, on_download=on_download)


@dataclass(frozen=True)
class Learner:
    """What learns, and the texts that it learns from, prepared as its model reads them."""

    settings: Settings
    prepared: PreparedTexts
    cache_dir: Path
    device: torch.device

    def fit(
        self, *, on_epoch_end: Callable[[EpochResult], None] | None = None, checkpoint: Checkpoint | None = None
    ) -> TrainingResult:
        """Train on the training texts, judged by the validation texts; see `models.training.train`.

        This is where the global seed is set.
        """
        if isinstance(self.settings.model, LinearConfig):
            return self._fit(self.settings.model, on_epoch_end)
        config = self.settings.training
        run = partial(train, config=config, device=self.device, on_epoch_end=on_epoch_end, checkpoint=checkpoint)
        if self.settings.reads_features:
            training, validation = self.find_features()  # before the seed: loading the encoder draws numbers, too
            torch.manual_seed(config.seed)
            return run(
                self._head(training.bank.shape[1]),
                FeatureTrainingBatches(training, config.batch_size, config.seed),
                FeatureEvaluationBatches(validation),
            )
        torch.manual_seed(config.seed)
        limits = self.settings.limits
        batches = TrainingBatches(
            self._training_texts, config.batch_size, limits.max_tokens, self._vocabulary_size, config.seed
        )
        return run(self._network(), batches, self._evaluation(self.prepared.validation))

    def restore(
        self, weights: Mapping[str, Tensor], about: Mapping[str, Any], *, temperature: float = 1.0
    ) -> TextClassifier:
        """A classifier of any texts, with the weights that `fit` has found and a temperature for its logits."""
        model = self._restore(weights)
        if isinstance(model, BERTClassifier):
            model = merged(model)
        max_tokens = self.settings.limits.max_tokens
        return TextClassifier(model.eval(), self._tokens, self.prepared.classes, max_tokens, about, temperature)

    def logits(self, weights: Mapping[str, Tensor], texts: EncodedTexts) -> Tensor:
        """The logits (N, classes) of each text, by the network with these weights."""
        if self.settings.reads_features:
            is_validation = texts is self.prepared.validation  # whose features the training has found
            features = self.find_features()[1] if is_validation else self._features([texts])[0]
            head = self._head(features.bank.shape[1])
            load_trained(head, weights)
            return compute_logits(head.to(self.device), FeatureEvaluationBatches(features), device=self.device)
        model = self._restore(weights).to(self.device)
        return compute_logits(model, self._evaluation(texts), device=self.device)

    def count_weights(self, weights: Mapping[str, Tensor]) -> int:
        """How many numbers the whole model consists of, those of a pretrained encoder included."""
        return sum(tensor.numel() for tensor in self._restore(weights).state_dict().values())

    def find_features(
        self, *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None
    ) -> tuple[TextFeatures, TextFeatures]:
        """The features of the training and of the validation texts, computed unless the cache has them.

        A process looks for them once: a search asks for the same ones in each trial.
        """
        limits, texts = self.settings.limits, self.prepared.entry.folder
        key = (texts, limits.max_training_texts, self.settings.find_encoder(self.cache_dir).identity, self.cache_dir)
        if key not in _features_found:
            sides = [self._training_texts, self.prepared.validation]
            training, validation = self._features(sides, on_event=on_event, on_progress=on_progress)
            _features_found.clear()
            _features_found[key] = training, validation
        return _features_found[key]

    def _fit(self, config: LinearConfig, on_epoch_end: Callable[[EpochResult], None] | None) -> TrainingResult:
        """At once: it has no epochs, and needs no checkpoint."""
        _, result = fit_linear(
            config,
            self._training_texts,
            self.prepared.validation,
            vocabulary_size=self._vocabulary_size,
            max_tokens=self.settings.limits.max_tokens,
            classes=len(self.prepared.classes),
            seed=self.settings.training.seed,
        )
        if on_epoch_end:
            on_epoch_end(result.best)
        return result

    def _restore(self, weights: Mapping[str, Tensor]) -> Network:
        if isinstance(self.settings.model, LinearConfig):
            return build_network(
                self.settings.model, weights, vocabulary_size=self._vocabulary_size, classes=len(self.prepared.classes)
            )
        model = self._network()
        load_trained(model, weights)
        return model

    def _features(
        self, sides: list[EncodedTexts], *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None
    ) -> list[TextFeatures]:
        config = self.settings.model
        assert isinstance(config, BERTConfig)
        encoder = self.settings.find_encoder(self.cache_dir)

        def load() -> Callable[[Tensor, Tensor], Tensor]:
            return BERTClassifier(config, load_encoder(encoder.folder), classes=1).to(self.device).eval().pooled

        return cached_features(
            sides,
            load,
            encoder=encoder.identity,
            cache_dir=self.cache_dir,
            device=self.device,
            on_event=on_event,
            on_progress=on_progress,
        )

    def _head(self, features: int) -> FeatureHead:
        assert isinstance(self.settings.model, BERTConfig)
        return FeatureHead(self.settings.model, features=features, classes=len(self.prepared.classes))

    def _network(self) -> Network:
        config, classes = self.settings.model, len(self.prepared.classes)
        if isinstance(config, BERTConfig):
            encoder = self.settings.find_encoder(self.cache_dir)
            return BERTClassifier(config, load_encoder(encoder.folder), classes=classes)
        assert not isinstance(config, LinearConfig)
        vectors = None
        if self.settings.vectors:
            vectors = prepare_vectors(self.settings.vectors, self.prepared.vocabulary, cache_dir=self.cache_dir)
        return word_network(config, vocabulary_size=self._vocabulary_size, classes=classes, vectors=vectors)

    def _evaluation(self, texts: EncodedTexts) -> EvaluationBatches:
        return EvaluationBatches(texts, self.settings.limits.max_tokens, self._vocabulary_size)

    @property
    def _training_texts(self) -> EncodedTexts:
        return limited_training_texts(self.prepared.training, self.settings.limits)

    @property
    def _tokens(self) -> Tokens:
        if isinstance(self.settings.model, BERTConfig):
            encoder = self.settings.find_encoder(self.cache_dir)
            return read_word_pieces(encoder, max_tokens=self.settings.limits.max_tokens)
        return self.prepared.vocabulary.first(self._vocabulary_size)

    @property
    def _vocabulary_size(self) -> int:
        """Ids from there on are unknown to the model; word pieces are all known."""
        if isinstance(self.settings.model, BERTConfig):
            return len(self.prepared.word_counts)
        return self.settings.limits.kept_words(self.prepared.word_counts)
