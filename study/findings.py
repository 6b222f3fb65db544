"""What a search has found, in numbers: what matters, what it has cost, what failed, which range is too narrow.

Draws nothing and reads no texts; where a number would mislead, its reason stands instead.
"""

import statistics
import warnings
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict

from study.configuration import StudyConfiguration
from study.display import best_trial
from study.search_space import Space, apply_parameters, describe
from study.trial_queue import FAILURE, finished_trials

Floats = npt.NDArray[np.float64]
TRIALS_FOR_IMPORTANCE = 10  # complete ones: then the top tenth is at least one
TRIALS_FOR_INTERACTION = 20  # complete ones
TRIALS_OF_A_SURROGATE = 150  # at most, the first ones: fitting is cubic in them
EXPLAINED = 0.5  # of the variance of trials that it was not fitted to: less, and a surrogate tells nothing
RESAMPLES, RESAMPLES_OF_A_SURROGATE = 200, 100
EDGE = 0.05  # of a range, on its own scale
GRID, BACKGROUNDS = 10, 20  # points per axis, and settings of the other parameters, that an effect is averaged over


@dataclass(frozen=True)
class Importance:
    """The share of a parameter in reaching the top; those of all parameters sum to 1."""

    parameter: str
    mean: float
    low: float  # of the 95 % interval
    high: float


@dataclass(frozen=True)
class Importances:
    trials: int  # complete ones
    parameters: tuple[Importance, ...] = ()  # the most important one first
    reason: str | None = None  # why there are none
    evaluator: str = "PED-ANOVA"
    about: str = (
        "PED-ANOVA (arXiv:2304.10255, Optuna's default): how much each parameter decides about reaching the best "
        f"tenth of the complete trials; mean and 95 % interval of {RESAMPLES} bootstrap resamples of these trials."
    )


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
        f"joint effect that is not the sum of their single effects; 95 % interval of {RESAMPLES_OF_A_SURROGATE} "
        "bootstrap resamples."
    )


@dataclass(frozen=True)
class Cost:
    trial_seconds: dict[int, float]  # by trial number
    total_seconds: float  # over all workers
    median_seconds: float
    elapsed_seconds: float  # from the first trial's start to the last one's end, pauses included
    epochs: int  # that were run
    pruned: int
    epochs_saved: int  # at most: a trial might have stopped by itself
    seconds_saved: float  # likewise, at each pruned trial's own speed


@dataclass(frozen=True)
class Failure:
    reason: str
    trials: tuple[int, ...]  # their numbers


@dataclass(frozen=True)
class Findings:
    importances: Importances
    interaction: Interaction
    cost: Cost
    failures: tuple[Failure, ...]  # the most frequent one first
    edges: tuple[str, ...]  # a sentence for each range that should be widened


def find(study: Study, configuration: StudyConfiguration, *, seed: int = 0) -> Findings:
    return Findings(
        find_importances(study, configuration, seed=seed),
        find_interaction(study, configuration, seed=seed),
        find_cost(study, configuration),
        find_failures(study),
        find_edges(study, configuration),
    )


def complete_trials(study: Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def find_importances(study: Study, configuration: StudyConfiguration, *, seed: int = 0) -> Importances:
    space = configuration.search_space
    trials = complete_trials(study)
    if len(trials) < TRIALS_FOR_IMPORTANCE:
        found = {0: "no trial is", 1: "only 1 trial is"}.get(len(trials), f"only {len(trials)} trials are")
        return Importances(
            len(trials), reason=f"It takes {TRIALS_FOR_IMPORTANCE} complete trials, and {found} complete."
        )
    if len({trial.value for trial in trials}) == 1:
        return Importances(len(trials), reason="All complete trials have the same value, so no parameter matters.")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    slim = [create_trial(params=trial.params, distributions=trial.distributions, value=trial.value) for trial in trials]
    generator = np.random.default_rng(seed)
    evaluations = []
    for _ in range(RESAMPLES):
        sample = [slim[index] for index in generator.integers(len(slim), size=len(slim))]
        if len({trial.value for trial in sample}) > 1:
            evaluations.append(_evaluate_importance(sample))
    shares = {name: [evaluation.get(name, 0.0) for evaluation in evaluations] for name in space}
    parameters = [Importance(name, float(np.mean(values)), *_interval(values)) for name, values in shares.items()]
    return Importances(len(trials), tuple(sorted(parameters, key=lambda importance: -importance.mean)))


def find_interaction(study: Study, configuration: StudyConfiguration, *, seed: int = 0) -> Interaction:
    """Of hidden size and learning rate. Only from random unpruned trials: others are where the search has looked."""
    pair = ("hidden_size", "learning_rate")
    trials = [trial for trial in complete_trials(study) if "fixed_params" not in trial.system_attrs]
    trials = trials[:TRIALS_OF_A_SURROGATE]
    if causes := [
        *(["chosen by TPE"] if configuration.sampler != "random" else []),
        *(["cut short by the pruner"] if configuration.pruner != "none" else []),
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
    space = configuration.search_space
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
    for _ in range(RESAMPLES_OF_A_SURROGATE):
        sample = generator.integers(len(trials), size=len(trials))
        if np.ptp(values[sample]) > 0:
            shares.append(_interaction_share(fixed.fit(points[sample], values[sample]), grid))
    low, high = _interval(shares)
    share = _interaction_share(surrogate, grid)
    return Interaction(pair, len(trials), share, min(low, share), max(high, share), explained)


def find_cost(study: Study, configuration: StudyConfiguration) -> Cost:
    trials = finished_trials(study)
    seconds = {trial.number: trial_seconds(trial) for trial in trials}
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    saved = {trial.number: max(configuration.base.training.epochs - _epochs(trial), 0) for trial in pruned}
    return Cost(
        trial_seconds=seconds,
        total_seconds=sum(seconds.values()),
        median_seconds=statistics.median(seconds.values()) if seconds else 0.0,
        elapsed_seconds=(max(ends) - min(starts)).total_seconds() if starts and ends else 0.0,
        epochs=sum(_epochs(trial) for trial in trials),
        pruned=len(pruned),
        epochs_saved=sum(saved.values()),
        seconds_saved=sum(saved[trial.number] * seconds[trial.number] / max(_epochs(trial), 1) for trial in pruned),
    )


def find_failures(study: Study) -> tuple[Failure, ...]:
    numbers = defaultdict(list)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        numbers[trial.user_attrs.get(FAILURE, "no reason was recorded")].append(trial.number)
    failures = [Failure(reason, tuple(failed)) for reason, failed in numbers.items()]
    return tuple(sorted(failures, key=lambda failure: (-len(failure.trials), failure.trials)))


def find_edges(study: Study, configuration: StudyConfiguration) -> tuple[str, ...]:
    """Not of an edge that cannot be moved, as no dropout at all."""
    if (best := best_trial(study)) is None:
        return ()
    notes = []
    for name, range_ in configuration.search_space.items():
        if isinstance(range_, CategoricalDistribution) or name not in best.params:
            continue
        place = position(range_, best.params[name])
        edge = "lower" if place <= EDGE else "upper" if place >= 1 - EDGE else None
        if edge and _may_be_widened(configuration, name, range_, edge):
            notes.append(
                f"{name} of the best trial, {best.params[name]:.3g}, lies at the {edge} edge of its range, "
                f"{describe({name: range_})[name]}: widen it in study/search_space.py."
            )
    return tuple(notes)


def trial_seconds(trial: FrozenTrial) -> float:
    """Of training, over all its interruptions; the wall clock's where it has finished no epoch."""
    if "seconds" in trial.user_attrs:
        return float(trial.user_attrs["seconds"])
    return trial.duration.total_seconds() if trial.duration else 0.0


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


def _evaluate_importance(trials: list[FrozenTrial]) -> dict[str, float]:
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    with warnings.catch_warnings(action="ignore"):  # of resamples in which the values are nearly all the same
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def _may_be_widened(configuration: StudyConfiguration, name: str, range_: BaseDistribution, edge: str) -> bool:
    value = value_at(range_, -EDGE if edge == "lower" else 1 + EDGE)
    if isinstance(range_, IntDistribution):
        value = int(min(value, range_.low - 1)) if edge == "lower" else int(max(value, range_.high + 1))
    try:
        apply_parameters(configuration.base, {name: value})
    except ValueError:
        return False
    return True


def _interval(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _epochs(trial: FrozenTrial) -> int:
    return int(trial.user_attrs.get("epochs", len(trial.intermediate_values)))
