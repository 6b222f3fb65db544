"""A Gaussian process as a smooth surface through noisy trials, with each parameter on its own scale."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from study.search_space import Space, covers

SURFACE = 61  # grid points per axis
REACH = 0.25  # the surface is drawn up to this distance from a complete trial, in widths of a range
TRIALS_FOR_SURFACE = 5

Floats = npt.NDArray[np.float64]
TRIALS_OF_A_SURROGATE = 150  # at most: fitting takes cubic time


@dataclass(frozen=True)
class Surface:
    """The expected score over two parameters."""

    x: list[float]  # values of the first parameter
    y: list[float]  # and of the second
    z: Floats  # (second, first); NaN far from any complete trial
    low: float  # lower quartile of the complete trials: below, differences say little about where the best lies
    high: float  # the best value


def to_unit(range_: BaseDistribution, value: Any) -> float:
    """The position of a number in its range, from 0 to 1, on the range's own scale."""
    assert isinstance(range_, IntDistribution | FloatDistribution)
    low, high, at = np.log([range_.low, range_.high, value]) if range_.log else (range_.low, range_.high, value)
    return float((at - low) / (high - low)) if high > low else 0.5


def from_unit(range_: BaseDistribution, place: float) -> float:
    """The number at a position; positions outside 0 to 1 lie beyond the range."""
    assert isinstance(range_, IntDistribution | FloatDistribution)
    if range_.log:
        return float(range_.low * (range_.high / range_.low) ** place)
    return float(range_.low + (range_.high - range_.low) * place)


def encode(parameters: list[dict[str, Any]], space: Space) -> Floats:
    """(trials, features): numbers as positions, a category as a column for each choice."""
    columns = []
    for name, range_ in space.items():
        values = [configuration[name] for configuration in parameters]
        if isinstance(range_, CategoricalDistribution):
            columns += [[float(value == choice) for value in values] for choice in range_.choices]
        else:
            columns.append([to_unit(range_, value) for value in values])
    return np.array(columns, dtype=np.float64).T


def fit_surrogate(points: Floats, values: Floats) -> GaussianProcessRegressor:
    """A Gaussian process that predicts the scores of configurations that were not tried."""
    scales = np.full(points.shape[1], 0.5)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(scales, (0.05, 1e2), nu=2.5) + WhiteKernel(1e-2, (1e-5, 1.0))
    surrogate = GaussianProcessRegressor(kernel, normalize_y=True)
    with warnings.catch_warnings(action="ignore"):  # a length scale at its bound: no effect
        return surrogate.fit(points, values)


def smooth_surface(trials: list[FrozenTrial], space: Space, names: tuple[str, str]) -> Surface | None:
    """The expected score over two parameters, from complete trials; None if they are too few or all equal."""
    both = {name: space[name] for name in names}
    scores = [trial.value for trial in trials if trial.value is not None]
    trials = [trial for trial in trials if covers(trial.params, both)]
    if len(trials) < TRIALS_FOR_SURFACE or len({trial.value for trial in trials}) == 1:
        return None
    trials = trials[:: -(-len(trials) // TRIALS_OF_A_SURROGATE)]
    points = encode([trial.params for trial in trials], both)
    places = np.linspace(0, 1, SURFACE)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    z = np.clip(fit_surrogate(points, values).predict(grid), values.min(), values.max())
    distances = np.linalg.norm(grid[:, None] - points[None], axis=-1).min(axis=1)
    z[distances > REACH] = np.nan
    x, y = ([from_unit(space[name], place) for place in places] for name in names)
    low, top = float(np.quantile(scores, 0.25)), max(scores)
    return Surface(x, y, z.reshape(SURFACE, SURFACE), low if low < top else min(scores), top)
