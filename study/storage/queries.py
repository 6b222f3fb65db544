"""Queries of a study's trials: the finished ones, the best one, the sample that shows how parameters matter."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.configuration import StudyConfig
from study.search_space import Space, covers, default_parameters, is_configuration, lies_in
from study.storage.attributes import WORKER

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


@dataclass(frozen=True)
class TrialSample:
    trials: list[FrozenTrial]  # complete ones of the space, without the default configuration, which was not sampled
    biases: tuple[str, ...]  # of the sample; none for random, unpruned trials

    @property
    def caveat(self) -> str:
        """A sentence on what figures from a biased sample show; empty for an unbiased sample."""
        if not self.biases:
            return ""
        return (
            f"Computed from the trials that {' and '.join(self.biases)}, it shows where this search has looked, not "
            "how the score depends on a parameter everywhere; a study with --sampler random --pruner none shows that, "
            "with an interval."
        )


def sample_of(study: Study, configuration: StudyConfig) -> TrialSample:
    """The trials from which parameters are judged, and their biases, under which an interval would mislead."""
    trials = [
        trial
        for trial in complete_trials(study)
        if "fixed_params" not in trial.system_attrs and is_configuration(trial.params, configuration.search_space)
    ]
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    biases = [
        *(["TPE chose"] if configuration.sampler != "random" else []),
        *(["pruning left"] if pruned else []),
    ]
    return TrialSample(trials, tuple(biases))


def finished_trials(study: Study) -> list[FrozenTrial]:
    """The COMPLETE, PRUNED and FAIL trials; interrupted trials are waiting, not finished."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def complete_trials(study: Study) -> list[FrozenTrial]:
    """The COMPLETE trials with a finite score: a trial that is told by hand may have an infinite one."""
    return _complete(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _complete(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return [trial for trial in complete if trial.value is not None and math.isfinite(trial.value)]


def asked_parameters(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a waiting trial was queued with, and those sampled before it was interrupted."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def best_trial(study: Study, space: Space) -> FrozenTrial | None:
    """The complete trial of the space with the highest value, the earliest of equals.

    Trials that were added by hand with other parameters do not count: no model could be trained with them.
    """
    return best_of(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)), space)


def best_of(trials: Iterable[FrozenTrial], space: Space) -> FrozenTrial | None:
    """The best of these trials, as in `best_trial`."""
    candidates = [trial for trial in _complete(trials) if lies_in(trial.params, space)]
    return max(candidates, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def running_best(study: Study, space: Space) -> dict[int, float]:
    """The best value so far at each complete trial of the space, by its number."""
    best, values = -np.inf, {}
    for trial in complete_trials(study):
        if not lies_in(trial.params, space):
            continue
        best = max(best, trial.value if trial.value is not None else best)
        values[trial.number] = float(best)
    return values


def default_trial(study: Study, configuration: StudyConfig) -> FrozenTrial | None:
    """The first complete trial with the default configuration."""
    default = default_parameters(configuration.search_space, configuration.base)
    return next((trial for trial in complete_trials(study) if trial.params == default), None)


def default_value(study: Study, configuration: StudyConfig) -> float | None:
    trial = default_trial(study, configuration)
    return None if trial is None else trial.value


def curve_of(trial: FrozenTrial, metric: str) -> list[float]:
    """The score of each epoch; for a trial without a recorded curve, its intermediate values."""
    values = [value for _, value in sorted(trial.intermediate_values.items())]
    if isinstance(curves := trial.user_attrs.get("curve"), dict):
        values = curves.get(metric) or values
    return [float(value) for value in values if isinstance(value, int | float) and math.isfinite(value)]


def seconds_of(trial: FrozenTrial) -> float:
    """The training time over all interruptions; the wall-clock time of a trial that has finished no epoch."""
    if isinstance(seconds := trial.user_attrs.get("seconds"), int | float):
        return float(seconds)
    return trial.duration.total_seconds() if trial.duration else 0.0


def epochs_of(trial: FrozenTrial) -> int:
    """The number of epochs that were run."""
    epochs = trial.user_attrs.get("epochs")
    return epochs if isinstance(epochs, int) else len(trial.intermediate_values)


def workers_of(trials: list[FrozenTrial]) -> dict[int, str]:
    """A short name for the worker of each trial, by the trial's number; the worker that started first is worker 1."""
    ordered = sorted(trials, key=lambda trial: trial.number)
    by_number = {trial.number: str(trial.user_attrs.get(WORKER) or "") for trial in ordered}
    names = [name for name in dict.fromkeys(by_number.values()) if name]
    short = {name: f"Worker {number}" for number, name in enumerate(names, start=1)}
    return {number: short.get(name, "By hand") for number, name in by_number.items()}


def height_of(trial: FrozenTrial) -> float | None:
    """The value of a trial if it can be drawn; None for a failed trial."""
    return trial.value if trial.value is not None and np.isfinite(trial.value) else None


def with_values(trials: list[FrozenTrial], space: Space, names: Iterable[str]) -> list[FrozenTrial]:
    """The trials that have a value of each of these parameters; trials that were added by hand may lack some."""
    ranges = {name: space[name] for name in names}
    return [trial for trial in trials if covers(trial.params, ranges)]


def best_first(trial: FrozenTrial) -> tuple[float, int]:
    """The key that sorts trials by value, the best first."""
    return -(trial.value or 0.0), trial.number
