"""A smooth surface through noisy trials, with each parameter on its own scale."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from study.search_space import Space

Floats = npt.NDArray[np.float64]
TRIALS_OF_A_SURROGATE = 150  # at most, the first ones: fitting is cubic in them


def position(range_: BaseDistribution, value: Any) -> float:
    """Where in its range a number lies on the range's own scale, from 0 to 1."""
    assert isinstance(range_, IntDistribution | FloatDistribution)
    low, high, at = np.log([range_.low, range_.high, value]) if range_.log else (range_.low, range_.high, value)
    return float((at - low) / (high - low)) if high > low else 0.5


def value_at(range_: BaseDistribution, place: float) -> float:
    """The number at a position; outside of 0 to 1 it lies beyond the range."""
    assert isinstance(range_, IntDistribution | FloatDistribution)
    if range_.log:
        return float(range_.low * (range_.high / range_.low) ** place)
    return float(range_.low + (range_.high - range_.low) * place)


def encode(parameters: list[dict[str, Any]], space: Space) -> Floats:
    """(trials, features): numbers as positions, a category as a column for each choice."""
    columns = []
    for name, range_ in space.items():
        values = [one[name] for one in parameters]
        if isinstance(range_, CategoricalDistribution):
            columns += [[float(value == choice) for value in values] for choice in range_.choices]
        else:
            columns.append([position(range_, value) for value in values])
    return np.array(columns, dtype=np.float64).T


def fit_surrogate(points: Floats, values: Floats) -> GaussianProcessRegressor:
    """A smooth surface through noisy values: what a configuration that was not tried would score."""
    scales = np.full(points.shape[1], 0.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(scales, (0.05, 1e2), nu=2.5) + WhiteKernel(1e-2, (1e-5, 1.0))
    surrogate = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings(action="ignore"):  # a scale at its bound is that of a parameter without effect
        return surrogate.fit(points, values)
