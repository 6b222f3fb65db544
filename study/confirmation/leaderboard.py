"""The studies of a database side by side: those with the same texts, split and metric.

They are ranked by validation scores, never by the test. The outcome of a confirmation is stored with its study, so that
the comparison needs no training and opens nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import optuna
from optuna.study import Study

from study.analysis.findings import find_cost
from study.configuration import StudyConfig
from study.confirmation.bootstrap import Estimate
from study.confirmation.openings import split_hash
from study.errors import StudyError
from study.model_settings import variant_of
from study.storage.attributes import CONFIGURATION, CONFIRMED_IDENTITY, IDENTITY, OUTCOME, SUFFIX
from study.storage.queries import best_trial, finished_trials
from study.storage.retrying import RetryingStorage
from study.storage.studies import load_configuration

OUTCOME_RULES = 2  # version; outcomes of 1 were scored on the repeats that ranked them


@dataclass(frozen=True)
class Outcome:
    """The result of a confirmation: its winner and its scores."""

    parameters: dict[str, Any]
    mean: float  # validation score on repeats that have ranked nothing
    deviation: float | None  # None for a single repeat
    draws: int  # repeats
    search_trials: int  # that the search had finished by then
    seconds: float  # of one training, the mean
    weights: int  # how many the trained model has
    accuracy: Estimate  # on the test split
    macro_f1: Estimate
    rules: int = OUTCOME_RULES


@dataclass(frozen=True)
class ComparedStudy:
    name: str
    model: str  # with its strategy or its vectors
    trials: int
    seconds: float  # of training in the search, over all workers
    best: float | None  # the best validation score of the search, optimistic
    parameters: dict[str, Any]  # the winner's, or the search's best
    outcome: Outcome | None  # None: not confirmed


def save_outcome(confirmation: Study, outcome: Outcome) -> None:
    confirmation.set_user_attr(OUTCOME, asdict(outcome))


def compare(
    storage: RetryingStorage, configuration: StudyConfig, snapshots: Mapping[str, Study] | None = None
) -> list[ComparedStudy]:
    """The confirmed studies, the best first, then the others.

    `snapshots`: by name, the studies that are compared as they were when their report began. Studies of another version
    of this project, whose settings cannot be read, are left out.
    """
    there = storage.get_all_studies()
    confirmations = {frozen.study_name: frozen.user_attrs for frozen in there}
    studies = []
    for frozen in there:
        if CONFIGURATION not in frozen.user_attrs or frozen.study_name.endswith(SUFFIX):
            continue
        study = (snapshots or {}).get(frozen.study_name) or optuna.load_study(
            study_name=frozen.study_name, storage=storage
        )
        try:
            other = load_configuration(study)
        except StudyError:
            continue
        if basis(other) == basis(configuration):
            confirmation = confirmations.get(f"{frozen.study_name}{SUFFIX}", {})
            is_own = confirmation.get(CONFIRMED_IDENTITY) == frozen.user_attrs[IDENTITY]  # not of a deleted namesake
            studies.append(_compared(study, other, confirmation.get(OUTCOME) if is_own else None))
    return sorted(studies, key=_place)


def _place(study: ComparedStudy) -> tuple[bool, float]:
    """The key that sorts the best confirmed study first."""
    return study.outcome is None, -(study.outcome.mean if study.outcome else study.best or 0.0)


def basis(configuration: StudyConfig) -> tuple[object, ...]:
    """What two studies must share to be compared: training, validation and test texts, and the metric."""
    source = configuration.source
    sides = source.sha256, source.split_column, source.group_column, configuration.split_seed
    return (split_hash(configuration), *sides, configuration.base.limits.max_training_texts, configuration.metric)


def _compared(study: Study, configuration: StudyConfig, stored: dict[str, Any] | None) -> ComparedStudy:
    outcome = None
    if stored and stored.get("rules") == OUTCOME_RULES:
        estimates = {name: Estimate(**stored[name]) for name in ("accuracy", "macro_f1")}
        outcome = Outcome(**{**stored, **estimates})
    best, vectors = best_trial(study, configuration.search_space), configuration.base.vectors
    return ComparedStudy(
        name=study.study_name,
        model=variant_of(configuration.base) + (f" with {vectors.name}" if vectors else ""),
        trials=len(finished_trials(study)),
        seconds=find_cost(study, configuration).total_seconds,
        best=None if best is None else best.value,
        parameters=outcome.parameters if outcome else best.params if best else {},
        outcome=outcome,
    )
