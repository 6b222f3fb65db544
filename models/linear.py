"""Linear classifiers of TF-IDF features: a support vector machine or logistic regression, one-vs-rest.

scikit-learn is only needed for fitting; the fitted classifier is a network like all others, whose state is tensors. The
training has no epochs.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.learners.learner import Learner, OnEpochEnd, Settings
from models.networks.layers import length_mask
from models.networks.network import Network
from models.tfidf import SparseRows, Tfidf, fit_tfidf, flat_tokens
from models.training.calibration import best_temperature
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.scores import accuracy, macro_f1
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.batches import TextLimits, limited_training_texts
from preprocessing.encoding import EncodedTexts

WHOLE_TEXTS = 1_000_000  # tokens: no text is truncated
MAX_ITERATIONS = 10_000  # of LIBLINEAR; R8 takes up to 1,300 of them (logistic regression with C = 1,000)
TOLERANCE = 0.1  # LIBLINEAR's own; 0.0001 gives the same macro-F1 on R8, R52 and 20ng, in up to three times the time
BALANCE = 0.5  # better than 0 for the values of C that were tried, on R8 and R52 (`benchmarks/method/rare_classes.py`)
NEVER = -1e4  # the logit of a class without training texts: never predicted, with a finite loss

ClassifierName = Literal["svm", "logistic_regression"]


@dataclass(frozen=True)
class LinearConfig:
    classifier: ClassifierName = "svm"
    C: float = 1.0  # inverse strength of the regularisation
    max_ngram: int = 1  # words in the longest n-grams that are features
    minimum_texts: int = 1  # n-grams in fewer training texts are left out
    balance: float = 0.0  # how much the texts of rarer classes count for more, see `class_weights`

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
    weights, biases = _fit_one_against_rest(config, features.training, labels, len(model.weight), seed)
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


def class_weights(labels: Tensor, balance: float) -> Tensor:
    """How much a text of each class (classes,) counts: (mean size of a class / its size) ** `balance`.

    `labels`: from 0 to classes - 1, each of which occurs. With 1, this is scikit-learn's "balanced".
    """
    sizes = torch.bincount(labels)
    return (len(labels) / (len(sizes) * sizes)) ** balance


def unfitted_classifier(config: LinearConfig, tfidf: Tfidf, *, classes: int) -> LinearClassifier:
    """A classifier with these features, whose weights are all zero."""
    model = LinearClassifier(config, vocabulary_size=tfidf.vocabulary_size, classes=classes, features=len(tfidf.ngrams))
    model.tfidf = tfidf
    return model


def _fit_one_against_rest(
    config: LinearConfig, rows: SparseRows, labels: Tensor, features: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Weights (classes, features) and biases (classes,) for labels from 0 to classes - 1, each of which occurs."""
    import joblib
    from scipy.sparse import csr_array
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    columns, values, offsets = (tensor.numpy() for tensor in rows)
    values = values.astype(np.float64)  # as the solver wants it, which would convert it for every class
    matrix = csr_array((values, columns.astype(np.int32), offsets.astype(np.int32)), (len(offsets) - 1, features))
    # With more texts than features, scikit-learn would solve the primal problem, for which the tolerance is too large.
    options = {"dual": True, "tol": TOLERANCE, "max_iter": MAX_ITERATIONS, "random_state": seed}
    # One-vs-rest logistic regression is as good on R8 as a multinomial one, and faster for most C.
    make = LinearSVC if config.classifier == "svm" else partial(LogisticRegression, solver="liblinear")
    of_class = class_weights(labels, config.balance).tolist()
    is_binary = len(of_class) == 2  # one classifier for both classes
    rest = of_class[0] if is_binary else 1.0

    def fit(one: int) -> Any:
        classifier = make(C=config.C, class_weight={True: of_class[one], False: rest}, **options)
        return classifier.fit(matrix, labels.numpy() == one)

    fitted = joblib.Parallel()(joblib.delayed(fit)(one) for one in range(int(is_binary), len(of_class)))
    weights, biases = (
        torch.from_numpy(np.concatenate(arrays)).float()
        for arrays in zip(*((estimator.coef_, estimator.intercept_) for estimator in fitted), strict=True)
    )
    if is_binary:
        return torch.cat([-weights, weights]), torch.cat([-biases, biases])
    return weights, biases
