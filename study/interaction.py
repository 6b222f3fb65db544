"""How much of what the two parameters of a model's default space do to the score they do only together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import TrialState
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.model_selection import KFold, cross_val_predict

from study.configuration import StudyConfiguration
from study.search_space import Space, search_space
from study.surrogate import TRIALS_OF_A_SURROGATE, Floats, encode, fit_surrogate, value_at
from study.trial_queue import complete_trials

TRIALS_FOR_INTERACTION = 20  # complete ones
EXPLAINED = 0.5  # of the variance of trials that it was not fitted to: less, and a surrogate tells nothing
RESAMPLES = 100
GRID, BACKGROUNDS = 10, 20  # points per axis, and settings of the other parameters, that an effect is averaged over


@dataclass(frozen=True)
class Interaction:
    parameters: tuple[str, str]
    trials: int  # random, unpruned and complete ones
    share: float | None = None  # of the variance that the two parameters make
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    explained: float | None = None  # of the variance of trials left out, by the surrogate (five-fold)
    reason: str | None = None  # why there is no share
    about: str = (
        "Functional ANOVA of a Gaussian process (Matérn 5/2, a length scale per parameter, and noise) fitted to the "
        "randomly sampled trials, every parameter on its own scale: the part of the variance of the two parameters' "
        f"joint effect that is not the sum of their single effects; 95 % interval of {RESAMPLES} "
        "bootstrap resamples."
    )


def find_interaction(study: Study, configuration: StudyConfiguration, *, seed: int = 0) -> Interaction:
    """Of the default space's two. Only from random unpruned trials: others are where the search has looked."""
    first, second = search_space("default", configuration.base)
    pair, space = (first, second), configuration.search_space
    if categories := [name for name in pair if isinstance(space[name], CategoricalDistribution)]:
        reason = f"The values of {' and '.join(categories)} have no order, so there is no surface through them."
        return Interaction(pair, trials=0, reason=reason)
    trials = [trial for trial in complete_trials(study) if "fixed_params" not in trial.system_attrs]
    trials = trials[:TRIALS_OF_A_SURROGATE]
    has_pruned = bool(study.get_trials(deepcopy=False, states=(TrialState.PRUNED,)))
    if causes := [
        *(["chosen by TPE"] if configuration.sampler != "random" else []),
        *(["cut short by the pruner"] if configuration.pruner != "none" and has_pruned else []),
    ]:
        return Interaction(
            pair,
            trials=0,
            reason=f"The trials were {' and '.join(causes)}, which would bias it; "
            "a study with --sampler random --pruner none tells.",
        )
    if len(trials) < TRIALS_FOR_INTERACTION:
        reason = f"It takes {TRIALS_FOR_INTERACTION} complete random trials, and there are {len(trials)}."
        return Interaction(pair, len(trials), reason=reason)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    if np.ptp(values) == 0:
        return Interaction(pair, len(trials), reason="All complete trials have the same value.")
    points = encode([trial.params for trial in trials], space)
    surrogate = fit_surrogate(points, values)
    fixed = GaussianProcessRegressor(surrogate.kernel_, optimizer=None, normalize_y=True)
    predicted = cross_val_predict(fixed, points, values, cv=KFold(5, shuffle=True, random_state=seed))
    explained = 1 - float(np.mean((values - predicted) ** 2) / np.var(values))
    if explained < EXPLAINED:
        reason = (
            f"A smooth surface through {len(trials)} trials explains {max(explained, 0):.0%} of the variance "
            f"of trials that it has not seen; {EXPLAINED:.0%} are needed."
        )
        return Interaction(pair, len(trials), explained=explained, reason=reason)
    grid = _grid_of(pair, [trial.params for trial in trials[:BACKGROUNDS]], space)
    generator = np.random.default_rng(seed)
    shares = []
    for _ in range(RESAMPLES):
        sample = generator.integers(len(trials), size=len(trials))
        if np.ptp(values[sample]) > 0:
            shares.append(_interaction_share(fixed.fit(points[sample], values[sample]), grid))
    low, high = np.quantile(shares, [0.025, 0.975]).tolist()
    share = _interaction_share(surrogate, grid)
    return Interaction(pair, len(trials), share, min(low, share), max(high, share), explained)


def _grid_of(pair: tuple[str, str], backgrounds: list[dict[str, Any]], space: Space) -> Floats:
    """(GRID * GRID * backgrounds, features): all pairs of values, each with all settings of the others."""
    places = (np.arange(GRID) + 0.5) / GRID
    others = backgrounds if len(space) > 2 else backgrounds[:1]
    first, second = ([value_at(space[name], place) for place in places] for name in pair)
    return encode([{**other, pair[0]: one, pair[1]: two} for one in first for two in second for other in others], space)


def _interaction_share(surrogate: GaussianProcessRegressor, grid: Floats) -> float:
    effect = surrogate.predict(grid).reshape(GRID, GRID, -1).mean(axis=2)
    centred = effect - effect.mean()
    rest = centred - centred.mean(axis=0, keepdims=True) - centred.mean(axis=1, keepdims=True)
    variance = float(np.mean(centred**2))
    return float(np.mean(rest**2)) / variance if variance > 0 else 0.0
