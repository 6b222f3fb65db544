"""The openings of test splits, which are recorded with the studies of a database."""

import hashlib
import json
from dataclasses import dataclass

from optuna.study import Study

from study.configuration import StudyConfig
from study.storage.attributes import OPENINGS
from study.storage.retrying import RetryingStorage
from study.storage.study_lock import study_lock


@dataclass(frozen=True)
class Opening:
    """An opening of a test split: when, by which study, and after how many finished trials of its search."""

    test_split: str
    study: str
    moment: str  # ISO 8601, UTC
    search_trials: int
    compared: str = ""  # the attribute of its results: an interrupted opening is continued, not recorded twice


def openings(storage: RetryingStorage, configuration: StudyConfig) -> list[Opening]:
    """Every opening of this test split by any study of the database, the earliest first."""
    split = split_hash(configuration)
    stamps = []
    for study in storage.get_all_studies():
        stamps += [Opening(**stamp) for stamp in study.user_attrs.get(OPENINGS, []) if stamp["test_split"] == split]
    return sorted(stamps, key=lambda opening: opening.moment)


def split_hash(configuration: StudyConfig) -> str:
    """A digest that identifies the test texts; given ones, as of a standard corpus, do not depend on a seed."""
    source = configuration.source
    seed = None if source.has_own_test else configuration.split_seed
    facts: list[object] = [source.test_sha256 or source.sha256, source.label_column, source.text_column, seed]
    facts += [source.split_column] if source.split_column and not source.test_sha256 else []
    facts += [source.group_column] if source.group_column and not source.has_own_test else []
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def record(confirmation: Study, storage: RetryingStorage, opening: Opening) -> None:
    """Record an opening, unless it continues an interrupted one."""
    with study_lock(storage, confirmation.study_name):
        stamps = confirmation.user_attrs.get(OPENINGS, [])
        if not any(stamp.get("compared") == opening.compared for stamp in stamps):
            confirmation.set_user_attr(OPENINGS, [*stamps, vars(opening)])
