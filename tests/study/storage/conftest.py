"""Queues over each kind of database."""

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from study.storage.connection import close_storage, open_storage
from study.storage.trial_queue import TrialQueue

NewQueue = Callable[[str, Path], TrialQueue]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres").url)
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def new_queue(url: str) -> Iterator[NewQueue]:
    """Make a queue of the study of that name, each with its own storage object."""
    storages = []

    def new(name: str, folder: Path) -> TrialQueue:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storages.append(open_storage(url))
        study = optuna.create_study(storage=storages[-1], study_name=name, direction="maximize", load_if_exists=True)
        return TrialQueue(study, storages[-1], folder)

    yield new
    for storage in storages:
        close_storage(storage)
