"""Chooses an ensemble across models by their validation predictions: greedy selection with replacement.

Caruana et al. 2004, https://doi.org/10.1145/1015330.1015432; there are few rounds, since all choose by the same texts.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.training.scores import SCORES, Metric

ROUNDS = 25  # so that a weight is a multiple of a 25th at most
Probabilities = npt.NDArray[np.float64]  # (models, texts, classes)


def choose_weights(
    probabilities: Sequence[Probabilities], labels: Sequence[npt.NDArray[np.int64]], metric: Metric
) -> tuple[npt.NDArray[np.float64], float]:
    """The weights of the models, which sum to one, and the mean score of their ensemble over the repeats.

    For each repeat, the probabilities that the models of this repeat give to its validation texts, and the labels of
    these. Of equally good choices, the one with the smaller log loss is taken.
    """
    counts = np.zeros(len(probabilities[0]), np.int64)
    best, best_counts = (-np.inf, -np.inf), counts
    for _ in range(ROUNDS):
        merits = []
        for model in range(len(counts)):
            weights = counts + (np.arange(len(counts)) == model)
            merits.append(_merit(weights / weights.sum(), probabilities, labels, metric))
        counts = counts + (np.arange(len(counts)) == max(range(len(counts)), key=merits.__getitem__))
        if max(merits) > best:
            best, best_counts = max(merits), counts
    return best_counts / best_counts.sum(), best[0]


def score(
    weights: npt.NDArray[np.float64],
    probabilities: Sequence[Probabilities],
    labels: Sequence[npt.NDArray[np.int64]],
    metric: Metric,
) -> float:
    """The mean score over the repeats of the ensemble with these weights."""
    return _merit(weights, probabilities, labels, metric)[0]


def _merit(
    weights: npt.NDArray[np.float64],
    probabilities: Sequence[Probabilities],
    labels: Sequence[npt.NDArray[np.int64]],
    metric: Metric,
) -> tuple[float, float]:
    """The mean score over the repeats, and the mean log probability of the true labels."""
    scores, logs = [], []
    for models, known in zip(probabilities, labels, strict=True):
        mean = np.tensordot(weights, models, axes=1)
        scores.append(SCORES[metric](known, mean.argmax(axis=1)))
        logs.append(np.log(np.maximum(mean[np.arange(len(known)), known], 1e-12)).mean())
    return float(np.mean(scores)), float(np.mean(logs))
