"""Calibration: temperature scaling of logits, and the expected calibration error."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

LARGEST_TEMPERATURE = 100.0  # the smallest is its inverse
BINS = 15  # of equal width, as in Guo et al. 2017

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Bin:
    """The texts whose predicted label has a probability within some bounds."""

    confidence: float  # the mean probability of their labels
    accuracy: float  # the share of correct labels
    share: float  # of all texts


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature by which to divide logits (N, C) so that their softmax fits the labels (N,) best.

    Temperature scaling (Guo et al. 2017, arXiv:1706.04599), as if one more text had a random label, so that a few texts
    without a mistake do not make a model certain.
    """
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        scaled = logits * math.exp(-log_temperature)
        return functional.cross_entropy(scaled, labels, label_smoothing=1 / (len(labels) + 1)).item()

    limit = math.log(LARGEST_TEMPERATURE)
    return math.exp(minimize_scalar(loss, bounds=(-limit, limit), method="bounded").x)


def reliability(confidences: Floats, is_right: npt.NDArray[np.bool_]) -> list[Bin]:
    """The bins of texts by the probability of the predicted label, lowest first, without empty bins."""
    places = np.minimum((confidences * BINS).astype(int), BINS - 1)
    members = [places == place for place in range(BINS)]
    return [
        Bin(float(confidences[chosen].mean()), float(is_right[chosen].mean()), float(chosen.mean()))
        for chosen in members
        if chosen.any()
    ]


def expected_calibration_error(confidences: Floats, is_right: npt.NDArray[np.bool_]) -> float:
    """The mean absolute difference of probability and accuracy over the bins, weighted by size (Guo et al. 2017)."""
    return sum(bin_.share * abs(bin_.accuracy - bin_.confidence) for bin_ in reliability(confidences, is_right))
