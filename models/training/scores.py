"""Scores of predictions: accuracy, macro-F1, scores per class, and the confusion matrix.

What every trial needs is computed here, as scikit-learn does: to import it takes a worker two seconds and 100 MB.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["macro_f1", "accuracy"]
METRICS: tuple[Metric, ...] = ("macro_f1", "accuracy")

Classes = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float64]


def accuracy(labels: Classes, predictions: Classes) -> float:
    return float((labels == predictions).mean())


def macro_f1(labels: Classes, predictions: Classes) -> float:
    """The mean F1 over the classes that occur in `labels`.

    scikit-learn's default also averages over classes that are only predicted: one stray prediction of a class without
    a text would then change the denominator, and scores of different epochs would not be comparable.
    """
    size = int(max(labels.max(), predictions.max())) + 1
    hits, support, predicted = (
        np.bincount(numbers, minlength=size) for numbers in (labels[labels == predictions], labels, predictions)
    )
    occurs = support > 0
    return float(np.mean(2 * hits[occurs] / (support + predicted)[occurs]))


SCORES: dict[Metric, Callable[[Classes, Classes], float]] = {"macro_f1": macro_f1, "accuracy": accuracy}


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class, each the mean over the repeats; 0 for a division by zero."""

    precision: float
    recall: float
    f1: float
    support: int  # texts of the class


def confusion(labels: Classes, predictions: Classes, *, classes: int) -> Floats:
    """Texts by class (rows) and predicted class (columns), shape (classes, classes): the mean over the repeats.

    `predictions` are of shape (repeats, texts).
    """
    counts = [np.bincount(labels.astype(np.int64) * classes + row, minlength=classes**2) for row in predictions]
    mean: Floats = np.mean(counts, axis=0).reshape(classes, classes)
    return mean


def per_class_scores(labels: Classes, predictions: Classes, *, classes: int) -> tuple[ClassScores, ...]:
    """The scores of every class number from 0; `predictions` are of shape (repeats, texts)."""
    from sklearn.metrics import precision_recall_fscore_support

    options = {"labels": range(classes), "zero_division": 0}
    rows = [precision_recall_fscore_support(labels, row, **options) for row in predictions]
    precisions, recalls, f1s, supports = np.mean(rows, axis=0).tolist()
    return tuple(map(ClassScores, precisions, recalls, f1s, map(int, supports)))
