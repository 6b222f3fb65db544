"""The interaction of the two parameters of a model's default space, by functional ANOVA."""

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import KFold, cross_val_predict

from study.analysis.surrogate import TRIALS_OF_A_SURROGATE, Floats, encode, fit_surrogate, from_unit
from study.configuration import StudyConfig
from study.search_space import Space, search_space
from study.storage.queries import sample_of

TRIALS_FOR_INTERACTION = 20  # complete and sampled
EXPLAINED = 0.5  # of the variance of held-out trials; with less, a surrogate is not trusted
RESAMPLES = 100
GRID, BACKGROUNDS = 10, 20  # points per axis; settings of the other parameters to average over


@dataclass(frozen=True)
class Interaction:
    parameters: tuple[str, str]
    trials: int  # the number of complete trials used
    share: float | None = None  # of the variance due to the two parameters
    low: float | None = None  # of the 95 % bootstrap interval; None for biased trials
    high: float | None = None
    explained: float | None = None  # R² of the surrogate on held-out trials (five-fold)
    reason: str | None = None  # why there is no share
    caveat: str = ""  # for biased trials: what the share shows; empty otherwise


def find_interaction(study: Study, configuration: StudyConfig, *, seed: int = 0) -> Interaction:
    """The interaction of the default space's two parameters.

    A Gaussian process (Matérn 5/2, a length scale per parameter, and noise) is fitted to the trials, every parameter on
    its own scale. The share is the part of the variance of the two parameters' joint effect that is not the sum of
    their main effects (functional ANOVA).
    """
    first, second = search_space("default", configuration.base)
    pair, space = (first, second), configuration.search_space
    if categories := [name for name in pair if isinstance(space[name], CategoricalDistribution)]:
        reason = f"the values of {' and '.join(categories)} have no order, so there is no surface through them."
        return Interaction(pair, trials=0, reason=reason)
    sample = sample_of(study, configuration)
    trials = sample.trials[:TRIALS_OF_A_SURROGATE]
    nothing = Interaction(pair, len(trials), caveat=sample.caveat)
    if len(trials) < TRIALS_FOR_INTERACTION:
        reason = f"it needs {TRIALS_FOR_INTERACTION} complete trials that were sampled, and there are {len(trials)}."
        return replace(nothing, reason=reason)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    if np.ptp(values) == 0:
        return replace(nothing, reason="all complete trials have the same value.")
    points = encode([trial.params for trial in trials], space)
    surrogate = fit_surrogate(points, values)
    fixed = GaussianProcessRegressor(surrogate.kernel_, optimizer=None, normalize_y=True)
    if (explained := _explained(fixed, points, values, seed=seed)) < EXPLAINED:
        reason = (
            f"a smooth surface through {len(trials)} trials explains {max(explained, 0):.0%} of the variance "
            f"of trials that it has not seen; {EXPLAINED:.0%} are needed."
        )
        return replace(nothing, explained=explained, reason=reason)
    grid = _grid_of(pair, [trial.params for trial in trials[:BACKGROUNDS]], space)
    interaction = replace(nothing, share=_interaction_share(surrogate, grid), explained=explained)
    return interaction if sample.biases else _with_interval(interaction, fixed, points, values, grid, seed=seed)


def _explained(surrogate: GaussianProcessRegressor, points: Floats, values: Floats, *, seed: int) -> float:
    """R² on held-out trials, five-fold; below 0 if the surrogate predicts worse than the mean."""
    predicted = cross_val_predict(surrogate, points, values, cv=KFold(5, shuffle=True, random_state=seed))
    return 1 - float(np.mean((values - predicted) ** 2) / np.var(values))


def _with_interval(
    interaction: Interaction,
    surrogate: GaussianProcessRegressor,
    points: Floats,
    values: Floats,
    grid: Floats,
    *,
    seed: int,
) -> Interaction:
    """The interaction with a 95 % bootstrap interval over the trials, with the length scales fixed."""
    assert interaction.share is not None
    generator = np.random.default_rng(seed)
    shares = []
    for _ in range(RESAMPLES):
        sample = generator.integers(len(values), size=len(values))
        if np.ptp(values[sample]) > 0:
            shares.append(_interaction_share(surrogate.fit(points[sample], values[sample]), grid))
    low, high = np.quantile(shares, [0.025, 0.975]).tolist()
    return replace(interaction, low=min(low, interaction.share), high=max(high, interaction.share))


def _grid_of(pair: tuple[str, str], backgrounds: list[dict[str, Any]], space: Space) -> Floats:
    """(GRID * GRID * backgrounds, features): all pairs of values, each with all settings of the other parameters."""
    places = (np.arange(GRID) + 0.5) / GRID
    others = backgrounds if len(space) > 2 else backgrounds[:1]
    first_values, second_values = ([from_unit(space[name], place) for place in places] for name in pair)
    values = product(first_values, second_values, others)
    return encode([{**other, pair[0]: first, pair[1]: second} for first, second, other in values], space)


def _interaction_share(surrogate: GaussianProcessRegressor, grid: Floats) -> float:
    effect = surrogate.predict(grid).reshape(GRID, GRID, -1).mean(axis=2)
    centred = effect - effect.mean()
    rest = centred - centred.mean(axis=0, keepdims=True) - centred.mean(axis=1, keepdims=True)
    variance = float(np.mean(centred**2))
    return float(np.mean(rest**2)) / variance if variance > 0 else 0.0
