"""The findings of a search in numbers: parameter importance, cost, failures, ranges that are too narrow.

Draws nothing and reads no texts; where a number would mislead, the reason is given instead.
"""

import copy
import statistics
import warnings
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.analysis.interaction import Interaction, find_interaction
from study.analysis.surrogate import Surface, from_unit, smooth_surface, to_unit
from study.configuration import StudyConfig
from study.search_space import Space, apply_parameters, covers, describe
from study.storage.attributes import FAILURE
from study.storage.queries import best_trial, complete_trials, epochs_of, finished_trials, sample_of, seconds_of
from study.storage.snapshots import HeldTrials

AXES = 5  # of parallel coordinates, at most: more cannot be read on a phone

TRIALS_FOR_IMPORTANCE = 10  # complete and sampled: then the top tenth is at least one trial
RESAMPLES, RESAMPLES_AT_LEAST, RESAMPLED_TRIALS = 200, 40, 100_000  # fewer resamples of many trials
EDGE = 0.05  # of a range, on its own scale


def resamples_of(trials: int) -> int:
    """The number of bootstrap resamples of so many trials."""
    return min(RESAMPLES, max(RESAMPLES_AT_LEAST, RESAMPLED_TRIALS // max(trials, 1)))


@dataclass(frozen=True)
class Importance:
    """The importance of a parameter for reaching the top; the importances of all parameters sum to 1."""

    parameter: str
    mean: float  # over bootstrap resamples of the trials
    low: float | None = None  # of the 95 % interval; None for biased trials
    high: float | None = None


@dataclass(frozen=True)
class Importances:
    trials: int  # the number of complete trials used
    parameters: tuple[Importance, ...] = ()  # the most important one first
    reason: str | None = None  # why there are none
    caveat: str = ""  # for biased trials: what the importances show; empty otherwise
    evaluator: str = "PED-ANOVA"

    @property
    def about(self) -> str:
        """The method and its meaning, in sentences."""
        explanation = (
            "PED-ANOVA (arXiv:2304.10255, Optuna's default): how much each parameter decides about reaching the best "
            f"tenth of the complete trials; mean {'' if self.caveat else 'and 95 % interval '}of "
            f"{resamples_of(self.trials)} bootstrap resamples of these trials."
        )
        return f"{explanation} {self.caveat}".rstrip()


@dataclass(frozen=True)
class Cost:
    trial_seconds: dict[int, float]  # by trial number; trials that took no time are left out
    total_seconds: float  # over all workers
    median_seconds: float
    elapsed_seconds: float  # from the first trial's start to the last one's end, pauses included
    epochs: int  # that were run
    pruned: int  # after an epoch or more
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
    pair: tuple[str, str]  # the two most important numerical parameters
    surface: Surface | None  # over this pair


def find(study: Study, configuration: StudyConfig, *, seed: int = 0) -> Findings:
    importances = find_importances(study, configuration, seed=seed)
    pair = most_important_pair(configuration.search_space, importances)
    return Findings(
        importances,
        find_interaction(study, configuration, seed=seed),
        find_cost(study, configuration),
        find_failures(study),
        find_edges(study, configuration),
        pair,
        smooth_surface(complete_trials(study), configuration.search_space, pair),
    )


def find_importances(study: Study, configuration: StudyConfig, *, seed: int = 0) -> Importances:
    sample = sample_of(study, configuration)
    result = Importances(len(sample.trials), caveat=sample.caveat)
    if result.trials < TRIALS_FOR_IMPORTANCE:
        there = {0: "there is none", 1: "there is 1"}.get(result.trials, f"there are {result.trials}")
        reason = f"Importance needs {TRIALS_FOR_IMPORTANCE} complete trials besides the default; {there}."
        return replace(result, reason=reason)
    if len({trial.value for trial in sample.trials}) == 1:
        return replace(result, reason="All complete trials have the same value, so no parameter matters.")
    shares = _resampled_shares(sample.trials, list(configuration.search_space), seed=seed)
    parameters = [
        Importance(name, float(np.mean(values)), *(() if sample.biases else _interval(values)))
        for name, values in shares.items()
    ]
    return replace(result, parameters=tuple(sorted(parameters, key=lambda importance: -importance.mean)))


def find_cost(study: Study, configuration: StudyConfig) -> Cost:
    trials = finished_trials(study)
    seconds = {trial.number: taken for trial in trials if (taken := seconds_of(trial))}
    starts = [trial.datetime_start for trial in trials if trial.datetime_start]
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED and epochs_of(trial)]
    saved = {trial.number: max(configuration.base.training.epochs - epochs_of(trial), 0) for trial in pruned}
    return Cost(
        trial_seconds=seconds,
        total_seconds=sum(seconds.values()),
        median_seconds=statistics.median(seconds.values()) if seconds else 0.0,
        elapsed_seconds=(max(ends) - min(starts)).total_seconds() if starts and ends else 0.0,
        epochs=sum(epochs_of(trial) for trial in trials),
        pruned=len(pruned),
        epochs_saved=sum(saved.values()),
        seconds_saved=sum(saved[trial.number] * seconds.get(trial.number, 0.0) / epochs_of(trial) for trial in pruned),
    )


def find_failures(study: Study) -> tuple[Failure, ...]:
    numbers = defaultdict(list)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        numbers[str(trial.user_attrs.get(FAILURE, "no reason was recorded"))].append(trial.number)
    failures = [Failure(reason, tuple(failed)) for reason, failed in numbers.items()]
    return tuple(sorted(failures, key=lambda failure: (-len(failure.trials), failure.trials)))


def find_edges(study: Study, configuration: StudyConfig) -> tuple[str, ...]:
    """A sentence for each range with the best trial at its edge, unless the range cannot be widened (dropout 0)."""
    if (best := best_trial(study, configuration.search_space)) is None:
        return ()
    notes = []
    for name, range_ in configuration.search_space.items():
        if isinstance(range_, CategoricalDistribution) or not covers(best.params, {name: range_}):
            continue
        place = to_unit(range_, best.params[name])
        edge = "lower" if place <= EDGE else "upper" if place >= 1 - EDGE else None
        if edge and _may_be_widened(configuration, name, range_, edge):
            notes.append(
                f"{name} of the search's best trial, {best.params[name]:.3g}, lies at the {edge} edge of its range, "
                f"{describe({name: range_})[name]}: widen it in study/search_space.py."
            )
    return tuple(notes)


def _resampled_shares(trials: list[FrozenTrial], names: list[str], *, seed: int) -> dict[str, list[float]]:
    """The importance of each parameter in each of the bootstrap resamples of the trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = HeldTrials()
    study = optuna.create_study(storage=storage, direction="maximize")
    generator = np.random.default_rng(seed)
    shares: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(resamples_of(len(trials))):
        storage.trials = [copy.copy(trials[index]) for index in generator.integers(len(trials), size=len(trials))]
        for number, trial in enumerate(storage.trials):
            trial._trial_id = trial.number = number
        if len({trial.value for trial in storage.trials}) > 1:
            with warnings.catch_warnings(action="ignore"):  # for resamples in which the values are nearly all the same
                importances = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
            for name in names:
                shares[name].append(importances.get(name, 0.0))
    return shares


def _may_be_widened(configuration: StudyConfig, name: str, range_: BaseDistribution, edge: str) -> bool:
    value = from_unit(range_, -EDGE if edge == "lower" else 1 + EDGE)
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


def most_important_pair(space: Space, importances: Importances) -> tuple[str, str]:
    """The two most important numerical parameters; the first two of the space if the importances are unknown."""
    numbers = [name for name, range_ in space.items() if not isinstance(range_, CategoricalDistribution)]
    if len(numbers) > 2 and importances.parameters:
        numbers = [importance.parameter for importance in importances.parameters if importance.parameter in numbers]
    return numbers[0], numbers[1]


def parallel_parameters(space: Space, importances: Importances) -> list[str]:
    """The most important parameters, at most `AXES`, in the order of the space."""
    ranked = [importance.parameter for importance in importances.parameters] or list(space)
    return [name for name in space if name in ranked[:AXES]]
