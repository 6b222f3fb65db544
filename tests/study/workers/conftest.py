"""A study, and the loop of a worker on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna import Study

from study.search_space import Space
from study.storage.connection import open_storage
from study.storage.retrying import RetryingStorage
from study.storage.trial_queue import TrialQueue
from study.workers.loop import RunTrial, run_trials


@pytest.fixture
def storage(tmp_path: Path) -> RetryingStorage:
    return open_storage(f"sqlite:///{tmp_path / 'study.db'}")


@pytest.fixture
def study(storage: RetryingStorage) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=storage, study_name="s", direction="maximize", sampler=None, pruner=None)


@pytest.fixture
def search_in() -> Callable[..., None]:
    """Run the loop of a worker on a study until it ends."""

    def search(study: Study, storage: RetryingStorage, space: Space, run: RunTrial, **options: Any) -> None:
        queue = TrialQueue(study, storage, Path("unused"))
        run_trials(queue, space, run, **{"deadline": float("inf"), "on_change": lambda: None} | options)

    return search
