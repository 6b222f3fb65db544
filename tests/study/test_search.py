"""The loop: failures are recorded as such, and too many of them end it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import optuna
import pytest
import sqlalchemy
import torch
from optuna import Study, TrialPruned
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from data.source import find_source
from models.lstm import LSTMConfig
from models.training import EpochResult, TrainingConfig
from preprocessing.batches import TextLimits
from preprocessing.prepared import prepare_for_search
from study.interruption import Interrupted
from study.objective import run_trial
from study.search import FAILURES_IN_A_ROW, TooManyFailuresError, search
from study.search_space import TrialSettings
from study.storage import STORAGE_ERRORS, open_storage, reason_of, requeue_interrupted

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-2)}
OnEpoch = Callable[[EpochResult], None]


class Silent:
    def trial_started(self, trial: Trial) -> None: ...
    def epoch_ended(self, result: EpochResult) -> None: ...
    def trial_ended(self, study: Study, trial: FrozenTrial) -> None: ...


@pytest.fixture
def storage(tmp_path: Path) -> RDBStorage:
    return open_storage(f"sqlite:///{tmp_path / 'study.db'}")


@pytest.fixture
def study(storage: RDBStorage) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=storage, study_name="s", direction="maximize", sampler=None, pruner=None)


def test_a_trial_whose_loss_is_nan_fails_with_its_reason_and_the_study_goes_on(
    study: Study, storage: RDBStorage, toy_csv: Path, tmp_path: Path
) -> None:
    prepared = prepare_for_search(find_source(str(toy_csv))[0], split_seed=0, cache_dir=tmp_path / "cache")
    base = TrialSettings(LSTMConfig(), TrainingConfig(epochs=2), TextLimits())
    run = partial(run_trial, base=base, prepared=prepared, device=torch.device("cpu"))
    diverging = {"learning_rate": FloatDistribution(1e39, 1e40)}
    search(study, storage, diverging, run, trials=1, timeout=None, watcher=Silent())
    search(study, storage, SPACE, run, trials=2, timeout=None, watcher=Silent())
    failed, complete = study.trials
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["failure"].startswith("TrainingDivergedError: The training loss is ")
    assert complete.state == TrialState.COMPLETE


def test_pruned_and_failed_trials_count_for_the_budget(study: Study, storage: RDBStorage) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        trial.report(0.5, 0)
        if trial.number % 3 == 1:
            raise TrialPruned
        if trial.number % 3 == 2:
            raise MemoryError("no\nmore")
        return 0.9

    search(study, storage, SPACE, run, trials=7, timeout=None, watcher=Silent())
    complete, pruned, failed = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    assert [trial.state for trial in study.trials] == [complete, pruned, failed] * 2 + [complete]
    assert study.trials[2].user_attrs["failure"] == "MemoryError: no more"
    assert study.trials[1].value == 0.5


def test_too_many_failures_in_a_row_end_the_search(study: Study, storage: RDBStorage) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        raise ValueError(f"broken {trial.number}")

    with pytest.raises(TooManyFailuresError, match=r"5 trials in a row have failed, .*ValueError: broken 4"):
        search(study, storage, SPACE, run, trials=50, timeout=None, watcher=Silent())
    assert len(study.trials) == FAILURES_IN_A_ROW


def test_an_interrupted_trial_waits_under_its_own_number(study: Study, storage: RDBStorage) -> None:
    def interrupted(trial: Trial, _: OnEpoch) -> float:
        trial.report(0.1, 0)
        if trial.number == 1:
            raise Interrupted
        return 0.5

    with pytest.raises(Interrupted):
        search(study, storage, SPACE, interrupted, trials=3, timeout=None, watcher=Silent())
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    parameters = study.trials[1].params
    search(study, storage, SPACE, lambda *_: 0.7, trials=3, timeout=None, watcher=Silent())
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[1].params == parameters


def test_a_database_that_fails_is_no_failure_of_the_trial(study: Study, storage: RDBStorage) -> None:
    def break_the_database(trial: Trial, _: OnEpoch) -> float:
        with storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE trial_intermediate_values"))
        trial.report(0.1, 0)
        return 0.5

    with pytest.raises(STORAGE_ERRORS) as caught:
        search(study, storage, SPACE, break_the_database, trials=2, timeout=None, watcher=Silent())
    assert reason_of(caught.value) == "no such table: trial_intermediate_values"


def test_trials_of_a_process_that_is_gone_are_queued_again(study: Study, storage: RDBStorage) -> None:
    study.ask(SPACE)
    assert requeue_interrupted(study, storage) == 1
    assert study.ask(SPACE).number == 0
