"""Studies in memory, for reports: as they were at one moment, and with fewer trials for figures."""

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.configuration import StudyConfig
from study.storage.queries import default_trial, running_best


class HeldTrials(InMemoryStorage):
    """A storage of trials that are neither copied nor changed; copying 10,000 of them takes longer than a report."""

    def __init__(self, trials: Sequence[FrozenTrial] = ()) -> None:
        super().__init__()
        self.trials = trials

    def get_all_trials(
        self,
        study_id: int,  # noqa: ARG002
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        trials = [trial for trial in self.trials if states is None or trial.state in states]
        return copy.deepcopy(trials) if deepcopy else trials


def snapshot(study: Study) -> Study:
    """The study as it is now, in memory, so that many queries are consistent and fast.

    What is written to it is lost.
    """
    return _with_trials(study, study.get_trials(deepcopy=False))


def thinned(study: Study, configuration: StudyConfig, most: int) -> Study:
    """The study with about `most` of its trials, for a figure; they keep their numbers.

    Those that set a new best and the one with the default configuration are among them; the others are spread evenly.
    """
    trials = study.get_trials(deepcopy=False)
    if len(trials) <= most:
        return study
    best, kept = -float("inf"), {trials[round(place * (len(trials) - 1) / (most - 1))].number for place in range(most)}
    for number, value in running_best(study, configuration.search_space).items():
        if value > best:
            best = value
            kept.add(number)
    if (default := default_trial(study, configuration)) is not None:
        kept.add(default.number)
    return _with_trials(study, [trial for trial in trials if trial.number in kept])


def _with_trials(study: Study, trials: Sequence[FrozenTrial]) -> Study:
    held = optuna.create_study(storage=HeldTrials(trials), study_name=study.study_name, direction="maximize")
    for name, value in study.user_attrs.items():
        held.set_user_attr(name, value)
    for name, value in study._storage.get_study_system_attrs(study._study_id).items():
        held._storage.set_study_system_attr(held._study_id, name, value)
    return held
