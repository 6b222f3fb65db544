"""How good predictions are."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Metric = Literal["macro_f1", "accuracy"]
METRICS: tuple[Metric, ...] = ("macro_f1", "accuracy")

Classes = npt.NDArray[np.integer]


def accuracy(labels: Classes, predictions: Classes) -> float:
    return float((labels == predictions).mean())


def macro_f1(labels: Classes, predictions: Classes) -> float:
    """The mean F1 over the classes that occur in `labels`.

    scikit-learn's default also averages over classes that are only predicted: one stray prediction of a class without
    a text would then change the denominator, and scores of different epochs would not compare.
    """
    from sklearn.metrics import f1_score  # not for those who only predict: it takes a second and 100 MB

    return float(f1_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0))
