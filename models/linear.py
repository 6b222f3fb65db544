"""Linear classifiers of TF-IDF features: a support vector machine or logistic regression, one-vs-rest.

scikit-learn is only needed for fitting; the fitted classifier is a network like all others, whose state is tensors. The
training has no epochs.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.learners.learner import Learner, OnEpochEnd, Settings
from models.networks.layers import length_mask
from models.networks.network import Network
from models.one_against_rest import ClassifierName, fit_one_against_rest
from models.tfidf import SparseRows, Tfidf, fit_tfidf, flat_tokens
from models.training.calibration import best_temperature
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.scores import accuracy, macro_f1
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.batches import TextLimits, limited_training_texts
from preprocessing.encoding import EncodedTexts

WHOLE_TEXTS = 1_000_000  # tokens: no text is truncated
BALANCE = 0.5  # better than 0 for the values of C that were tried, on R8 and R52 (`benchmarks/method/rare_classes.py`)
NEVER = -1e4  # the logit of a class without training texts: never predicted, with a finite loss


@dataclass(frozen=True)
class LinearConfig:
    classifier: ClassifierName = "svm"
    C: float = 1.0  # inverse strength of the regularisation
    max_ngram: int = 1  # words in the longest n-grams that are features
    minimum_texts: int = 1  # n-grams in fewer training texts are left out
    balance: float = 0.0  # how much the texts of rarer classes count for more, see `models.one_against_rest`

    def __post_init__(self) -> None:
        if self.classifier not in ("svm", "logistic_regression"):
            raise ValueError(f"`classifier` must be svm or logistic_regression, got {self.classifier!r}.")
        if not 0 < self.C < math.inf:
            raise ValueError(f"`0 < C < inf` must hold, got {self.C}.")
        if not 1 <= self.max_ngram <= 3:
            raise ValueError(f"`1 <= max_ngram <= 3` must hold, got {self.max_ngram}.")
        if self.minimum_texts < 1:
            raise ValueError(f"`minimum_texts >= 1` must hold, got {self.minimum_texts}.")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"`0 <= balance <= 1` must hold, got {self.balance}.")


class LinearClassifier(Network):
    """TF-IDF, then one weight per feature and class. It has buffers only, no parameters to train by gradients."""

    weight: Tensor  # (features, classes) float32
    bias: Tensor  # (classes,) float32
    temperature: float = 1.0  # that has scaled both; known only where it was fitted

    def __init__(self, config: LinearConfig, *, vocabulary_size: int, classes: int, features: int = 1) -> None:
        """An unfitted classifier; `features` must fit the state to be loaded."""
        super().__init__()
        self.config = config
        self.tfidf = Tfidf(max_ngram=config.max_ngram, vocabulary_size=vocabulary_size, features=features)
        self.register_buffer("weight", torch.zeros(features, classes))
        self.register_buffer("bias", torch.zeros(classes))

    @classmethod
    def sizes_in(cls, weights: Mapping[str, Tensor]) -> dict[str, int]:
        return {"features": len(weights["tfidf.ngrams"])}

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Token ids (B, T) and lengths (B,) to logits (B, classes); the same bits in any batch and padding."""
        return self.score(self.tfidf(token_ids[length_mask(token_ids, lengths)], lengths))

    def score(self, rows: SparseRows) -> Tensor:
        """Logits (B, classes)."""
        columns, values, offsets = rows
        sums: Tensor = functional.embedding_bag(
            columns, self.weight, offsets, mode="sum", per_sample_weights=values, include_last_offset=True
        )
        return sums + self.bias


class LinearLearner(Learner):
    config_type = LinearConfig
    network_type = LinearClassifier
    defaults: ClassVar = {
        "": Settings(LinearConfig(balance=BALANCE), TrainingConfig(epochs=1), TextLimits(WHOLE_TEXTS, 1_000_000, 1))
    }
    ignored_fields = frozenset({"epochs", "budget_texts", "patience", "precision"})
    seeds_matter = False

    def fit(
        self,
        *,
        on_epoch_end: OnEpochEnd | None = None,
        checkpoint: Checkpoint | None = None,  # noqa: ARG002  # there are no epochs to continue from
    ) -> TrainingResult:
        fit = partial(
            fit_linear,
            self.settings.model,
            validation=self.truncated(self.prepared.validation),
            vocabulary_size=self.vocabulary_size,
            max_tokens=self.settings.limits.max_tokens,
            classes=len(self.prepared.classes),
            seed=self.settings.training.seed,
        )
        temperature = None
        if self.prepared.is_whole:  # texts that are trained on calibrate nothing, so there is a fit without them
            others = np.arange(len(self.prepared.training) - len(self.prepared.validation))
            texts = limited_training_texts(self.prepared.training.take(others), self.settings.limits)
            temperature = fit(self.truncated(texts))[0].temperature
        _, result = fit(self.training_texts, temperature=temperature)
        if on_epoch_end:
            on_epoch_end(result.best)
        return result


@dataclass(frozen=True)
class Features:
    """Training and validation texts as features, which classifiers of different `C` can share."""

    tfidf: Tfidf  # fitted on the training texts
    training: SparseRows
    training_labels: Tensor  # int64
    validation: SparseRows
    validation_labels: Tensor


def fit_linear(
    config: LinearConfig,
    training: EncodedTexts,
    validation: EncodedTexts,
    *,
    vocabulary_size: int,
    max_tokens: int,
    classes: int,
    seed: int,
    temperature: float | None = None,
) -> tuple[LinearClassifier, TrainingResult]:
    """Fit the features and the classifier; the result has one epoch.

    Ids from `vocabulary_size` on are unknown. `temperature`: see `fit_classifier`. Deterministic.
    """
    start = time.perf_counter()
    features = fit_features(config, training, validation, vocabulary_size=vocabulary_size, max_tokens=max_tokens)
    model = fit_classifier(config, features, classes=classes, seed=seed, temperature=temperature)
    labels = features.validation_labels
    with torch.inference_mode():
        training_loss = functional.cross_entropy(model.score(features.training), features.training_labels).item()
        logits = model.score(features.validation)
        validation_loss = functional.cross_entropy(logits, labels).item()
    known, predictions = labels.numpy(), logits.argmax(dim=1).numpy()
    scores = accuracy(known, predictions), macro_f1(known, predictions)
    seconds = time.perf_counter() - start
    result = EpochResult(0, training_loss, validation_loss, *scores, seconds, torch.from_numpy(predictions))
    return model, TrainingResult((result,), result, model.state_dict())


def fit_features(
    config: LinearConfig,
    training: EncodedTexts,
    validation: EncodedTexts,
    *,
    vocabulary_size: int,
    max_tokens: int | None = None,
) -> Features:
    """Fit the features of the n-grams of `config`; texts are truncated to `max_tokens`.

    Sets this process to one thread, as `models.training.trainer.train` does.
    """
    torch.set_num_threads(1)
    tokens = flat_tokens(training, max_tokens)
    tfidf = fit_tfidf(
        *tokens, max_ngram=config.max_ngram, vocabulary_size=vocabulary_size, minimum_texts=config.minimum_texts
    )
    return Features(
        tfidf,
        tfidf(*tokens),
        torch.from_numpy(training.labels.astype(np.int64)),
        tfidf(*flat_tokens(validation, max_tokens)),
        torch.from_numpy(validation.labels.astype(np.int64)),
    )


def fit_classifier(
    config: LinearConfig, features: Features, *, classes: int, seed: int, temperature: float | None = None
) -> LinearClassifier:
    """Fit on the training texts, then scale the logits by the temperature, or by one fitted on the validation texts.

    A class without a training text is never predicted. Raises `ValueError` if all training texts have one class.
    """
    model = unfitted_classifier(config, features.tfidf, classes=classes)
    present, labels = torch.unique(features.training_labels, return_inverse=True)
    if len(present) < 2:
        raise ValueError("Training texts of at least two classes are needed, got those of one.")
    weights, biases = fit_one_against_rest(
        config.classifier,
        features.training,
        labels,
        features=len(model.weight),
        c=config.C,
        balance=config.balance,
        seed=seed,
    )
    model.weight[:, present] = weights.t()
    model.bias[:] = NEVER
    model.bias[present] = biases
    if temperature is None:
        is_known = torch.isin(features.validation_labels, present)
        logits = model.score(features.validation)[is_known][:, present]
        temperature = best_temperature(logits, torch.searchsorted(present, features.validation_labels[is_known]))
    model.temperature = temperature
    model.weight /= temperature
    model.bias /= temperature
    return model.eval()


def unfitted_classifier(config: LinearConfig, tfidf: Tfidf, *, classes: int) -> LinearClassifier:
    """A classifier with these features, whose weights are all zero."""
    model = LinearClassifier(config, vocabulary_size=tfidf.vocabulary_size, classes=classes, features=len(tfidf.ngrams))
    model.tfidf = tfidf
    return model
