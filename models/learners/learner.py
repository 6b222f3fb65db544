"""The interface of a model in a study: its settings, its training on prepared texts, restoring it, its logits."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from data.wheels import OnDownload
from models.learners.classifier import Member, TextClassifier, Tokens
from models.networks.network import Network
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.trainer import EpochResult, TrainingResult, compute_logits
from preprocessing.batches import EvaluationBatches, TextLimits, limited_training_texts, truncated
from preprocessing.cache import OnEvent, OnProgress, ignore
from preprocessing.encoding import EncodedTexts
from preprocessing.pretrained import EncoderVersion, PretrainedEncoder, find_encoder
from preprocessing.word_vectors import VectorSource

if TYPE_CHECKING:  # it imports readers of text files, which an exported model does not need
    from preprocessing.prepared import PreparedTexts

OnEpochEnd = Callable[[EpochResult], None]


@dataclass(frozen=True)
class Settings:
    """The settings of a training: model, training, limits and pretrained parts."""

    model: Any  # the `config_type` of a learner
    training: TrainingConfig
    limits: TextLimits
    vectors: VectorSource | None = None  # pretrained ones, to initialise word embeddings
    encoder: EncoderVersion | None = None  # the required version of the pretrained encoder

    @property
    def pretrained(self) -> str | None:
        """The name of the pretrained encoder, for a model that has one."""
        return getattr(self.model, "pretrained", None)

    def find_encoder(self, cache_dir: Path, *, on_download: OnDownload | None = None) -> PretrainedEncoder:
        """The pretrained encoder. Raises `PretrainedError`, also if its version differs from the settings."""
        assert self.pretrained is not None
        return find_encoder(self.pretrained, cache_dir=cache_dir, version=self.encoder, on_download=on_download)


@dataclass(frozen=True)
class Learner(ABC):
    """Trains a model on texts that are prepared for it; one subclass per model."""

    config_type: ClassVar[type]  # a dataclass: the model's part of the settings
    network_type: ClassVar[type[Network]]
    defaults: ClassVar[Mapping[str, Settings]]  # by variant; a model without variants has the one named ""
    variant_field: ClassVar[str | None] = None  # the field of the configuration that names the variant
    fits_budget: ClassVar[bool] = False  # whether the number of texts decides how long it trains
    seeds_matter: ClassVar[bool] = True  # whether trainings on the same texts differ noticeably by their seeds
    ignored_fields: ClassVar[frozenset[str]] = frozenset()  # fields of the settings that this model does not use

    settings: Settings
    prepared: "PreparedTexts"
    cache_dir: Path
    device: torch.device

    @abstractmethod
    def fit(self, *, on_epoch_end: OnEpochEnd | None = None, checkpoint: Checkpoint | None = None) -> TrainingResult:
        """Train on the training texts, validate on the validation texts; see `models.training.trainer.train`.

        Sets the global seed.
        """

    def prepare(self, *, on_event: OnEvent = ignore, on_progress: OnProgress | None = None) -> None:  # noqa: B027
        """Compute what all trials share into the cache, besides texts and word vectors; most models share nothing."""

    def restore(
        self, weights: Mapping[str, Tensor], about: Mapping[str, Any], *, temperature: float = 1.0
    ) -> TextClassifier:
        """A classifier of raw texts, with the weights from `fit` and a temperature for its logits."""
        limits = self.settings.limits
        member = Member(self.network(weights), self.tokens, limits.max_tokens, temperature, limits.truncate)
        return TextClassifier((member,), self.prepared.classes, about)

    def logits(self, weights: Mapping[str, Tensor], texts: EncodedTexts) -> Tensor:
        """The logits (N, classes) of the texts, by the network with these weights."""
        model = self.network(weights).to(self.device)
        return compute_logits(model, self.evaluation_batches(texts), device=self.device)

    def network(self, weights: Mapping[str, Tensor]) -> Network:
        """The network with the weights from `fit`, on the CPU and in evaluation mode."""
        return self.network_type.from_weights(
            self.settings.model,
            weights,
            vocabulary_size=self.vocabulary_size,
            classes=len(self.prepared.classes),
        )

    def count_weights(self, weights: Mapping[str, Tensor]) -> int:
        """The number of weights of the whole network."""
        return sum(tensor.numel() for tensor in weights.values())

    @classmethod
    def shares_features(cls, _settings: Settings) -> bool:
        """Whether `prepare` computes something, from the texts of each repeat."""
        return False

    @classmethod
    def packages(cls, _settings: Settings) -> tuple[str, ...]:
        """The packages besides PyTorch, NumPy and scikit-learn whose versions may change the result."""
        return ()

    @property
    def training_texts(self) -> EncodedTexts:
        return self.truncated(limited_training_texts(self.prepared.training, self.settings.limits))

    @property
    def tokens(self) -> Tokens:
        """The vocabulary or the tokenizer of the network."""
        return self.prepared.vocabulary.first(self.vocabulary_size)

    @property
    def vocabulary_size(self) -> int:
        """The number of ids that the network knows; higher ones are unknown."""
        return self.settings.limits.kept_words(self.prepared.word_counts)

    def evaluation_batches(self, texts: EncodedTexts) -> EvaluationBatches:
        return EvaluationBatches(self.truncated(texts), self.settings.limits.max_tokens, self.vocabulary_size)

    def truncated(self, texts: EncodedTexts) -> EncodedTexts:
        return truncated(texts, self.settings.limits.max_tokens, self.settings.limits.truncate)
