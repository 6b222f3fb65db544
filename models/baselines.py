"""Baselines that a network must beat to be worth its cost: linear models of TF-IDF features, and the majority class.

As for the networks, all fitting is on training texts and every choice on validation texts. Also holds the results that
others have published on the standard corpora.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import joblib
import numpy as np
import numpy.typing as npt
import torch

from models.linear import (
    Features,
    LinearClassifier,
    LinearConfig,
    fit_classifier,
    fit_features,
    unfitted_classifier,
)
from models.one_against_rest import ClassifierName
from models.tfidf import flat_tokens
from models.training.scores import SCORES, Metric
from preprocessing.encoding import EncodedTexts

WORDS = LinearConfig(max_ngram=1)  # the features that all baselines share
WORSE_IN_A_ROW = 2
LARGE = 1_000_000  # texts times classes


@dataclass(frozen=True)
class Fit:
    """A finished fit in the tuning of a baseline, for progress reports."""

    title: str
    parameters: dict[str, float]
    validation_score: float
    seconds: float
    number: int  # from 1, of all `fits`
    fits: int  # at most


@dataclass(frozen=True)
class Baseline:
    name: str
    title: str
    parameters: dict[str, float]  # the best on validation, or those chosen before
    validation_score: float
    seconds: float  # for all its fits, without the shared features
    model: LinearClassifier

    def predict(self, texts: EncodedTexts) -> npt.NDArray[np.int64]:
        """The class number of every text, encoded with the vocabulary of the training texts."""
        return _chosen(self.model.score(self.model.tfidf(*flat_tokens(texts))))


@dataclass(frozen=True)
class Candidate:
    name: str
    title: str
    classifier: ClassifierName | None  # None: no features, only class frequencies
    grid: tuple[dict[str, float], ...]  # parameters to try, the most regularised first


@dataclass(frozen=True)
class PublishedResult:
    model: str
    accuracy: float  # on the published test split
    source: str


def fit_baselines(
    training: EncodedTexts,
    validation: EncodedTexts,
    *,
    vocabulary_size: int,
    classes: int,
    metric: Metric,
    chosen: Mapping[str, dict[str, float]] | None = None,
    on_fit: Callable[[Fit], None] | None = None,
) -> tuple[Baseline, ...]:
    """The baselines in the order of `CANDIDATES`, each with the C that is best on validation, or `chosen`.

    C is the inverse regularisation strength; of equally good values by `metric`, the smallest is chosen. Larger ones,
    which take longer, are left out once `WORSE_IN_A_ROW` of them were worse. `chosen`: parameters by the candidate's
    name, which are not tuned then; others are left out. The features are sublinear TF-IDF of single words; ids from
    `vocabulary_size` on are unknown. Deterministic, except that the classes of a large corpus are fitted in threads,
    which share LIBLINEAR's random numbers: there, scores may differ in the third decimal.
    """
    threads = joblib.cpu_count() if len(training) * classes >= LARGE else 1
    candidates = [candidate for candidate in CANDIDATES if chosen is None or candidate.name in chosen]
    grids = {candidate.name: [chosen[candidate.name]] if chosen else candidate.grid for candidate in candidates}
    features = fit_features(WORDS, training, validation, vocabulary_size=vocabulary_size)
    fits = sum(map(len, grids.values()))
    baselines, number = [], 0
    for candidate in candidates:
        start, best_score, best, worse = time.perf_counter(), -1.0, None, 0
        for parameters in grids[candidate.name]:
            if worse == WORSE_IN_A_ROW:
                break
            fit_start = time.perf_counter()
            with joblib.parallel_config("threading", n_jobs=threads):
                model = _fit(candidate.classifier, parameters, features, classes=classes)
            score = SCORES[metric](validation.labels, _chosen(model.score(features.validation)))
            number += 1
            if on_fit:
                on_fit(Fit(candidate.title, parameters, score, time.perf_counter() - fit_start, number, fits))
            worse = worse + 1 if score < best_score else 0
            if score > best_score:
                best_score, best = score, (parameters, model)
        assert best is not None  # every grid has an entry, every score is at least 0
        seconds = time.perf_counter() - start
        baselines.append(Baseline(candidate.name, candidate.title, best[0], best_score, seconds, best[1]))
    return tuple(baselines)


def _fit(
    classifier: ClassifierName | None, parameters: dict[str, float], features: Features, *, classes: int
) -> LinearClassifier:
    if classifier:
        return fit_classifier(LinearConfig(classifier, parameters["C"]), features, classes=classes, seed=0)
    model = unfitted_classifier(WORDS, features.tfidf, classes=classes)
    model.bias = torch.bincount(features.training_labels, minlength=classes).log()
    return model


def _chosen(logits: torch.Tensor) -> npt.NDArray[np.int64]:
    chosen: npt.NDArray[np.int64] = logits.argmax(dim=1).numpy()
    return chosen


def _grid_of_c(*values: float) -> tuple[dict[str, float], ...]:
    return tuple({"C": value} for value in values)


CANDIDATES = (
    Candidate("majority", "majority class", None, ({},)),
    Candidate(
        "logistic_regression",
        "logistic regression on TF-IDF",
        "logistic_regression",
        _grid_of_c(1, 3, 10, 30, 100, 300, 1000),
    ),
    Candidate("linear_svm", "linear SVM on TF-IDF", "svm", _grid_of_c(0.03, 0.1, 0.3, 1, 3, 10, 30)),
)

# Accuracy on r8, r52 and 20ng, on the splits of `data.standard_corpora`. The result of the linear SVM is by a reader of
# Yao et al. who used it instead of logistic regression in their script, and confirmed there by the script's author.
_PUBLISHED = (
    ("Linear SVM on TF-IDF", (0.9735, 0.9497, 0.8513), "github.com/yao8839836/text_gcn/issues/25 (2019)"),
    ("Logistic regression on TF-IDF", (0.9374, 0.8695, 0.8319), "Yao et al. 2019, arXiv:1809.05679"),
    ("LSTM, untuned", (0.9368, 0.8554, 0.6571), "Yao et al. 2019, arXiv:1809.05679"),
    ("Bi-LSTM, untuned", (0.9631, 0.9054, 0.7318), "Yao et al. 2019, arXiv:1809.05679"),
    ("TextGCN", (0.9707, 0.9356, 0.8634), "Yao et al. 2019, arXiv:1809.05679"),
    ("WideMLP", (0.9727, 0.9389, 0.8331), "Galke & Scherp 2022, arXiv:2109.03777"),
    ("BERT-base", (0.978, 0.964, 0.853), "Lin et al. 2021 (BertGCN), arXiv:2105.05727"),
)
PUBLISHED: dict[str, tuple[PublishedResult, ...]] = {
    corpus: tuple(PublishedResult(model, accuracies[column], source) for model, accuracies, source in _PUBLISHED)
    for column, corpus in enumerate(("r8", "r52", "20ng"))
}
