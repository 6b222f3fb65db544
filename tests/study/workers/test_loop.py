"""The loop of a worker: failures are recorded as such, and too many of them end it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
import torch
from optuna import Study, TrialPruned
from optuna.distributions import FloatDistribution
from optuna.trial import Trial, TrialState, create_trial

from models.training.trainer import EpochResult
from study.signals import Interrupted
from study.storage.attributes import WORKER
from study.storage.retrying import STORAGE_ERRORS, RetryingStorage, reason_of
from study.storage.trial_queue import TrialQueue
from study.workers.loop import FAILURES_IN_A_ROW, TooManyFailuresError

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-2)}
SearchIn = Callable[..., None]
OnEpoch = Callable[[EpochResult], None]


def test_pruned_and_failed_trials_count_toward_the_budget(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        trial.report(0.5, 0)
        if trial.number % 3 == 1:
            raise TrialPruned
        if trial.number % 3 == 2:
            raise MemoryError("no\nmore")
        return 0.9

    search_in(study, storage, SPACE, run, trials=7)
    complete, pruned, failed = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
    assert [trial.state for trial in study.trials] == [complete, pruned, failed] * 2 + [complete]
    assert study.trials[2].user_attrs["failure"] == "MemoryError: no more"
    assert study.trials[1].value == 0.5


def test_too_many_failures_in_a_row_end_the_search(study: Study, storage: RetryingStorage, search_in: SearchIn) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        raise ValueError(f"broken {trial.number}")

    for number in (4, 9):  # also when the same command is started again
        way_out = r"Fix the cause, then start the same command again\."
        message = rf"5 trials in a row have failed, .*ValueError: broken {number}\. {way_out}"
        with pytest.raises(TooManyFailuresError, match=message):
            search_in(study, storage, SPACE, run, trials=50)
        assert len(study.trials) == number + 1


def test_failures_of_another_run_do_not_count_whatever_the_clocks_say(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    later = datetime.now() + timedelta(hours=9)  # as stored by a machine in another time zone
    for number in range(FAILURES_IN_A_ROW):
        old = create_trial(state=TrialState.FAIL, user_attrs={WORKER: f"machine-{number}"})
        old.datetime_complete = later
        study.add_trial(old)

    def run(trial: Trial, _: OnEpoch) -> float:
        if trial.number % FAILURES_IN_A_ROW:
            raise ValueError("by chance")
        return 0.5

    search_in(study, storage, SPACE, run, trials=4 * FAILURES_IN_A_ROW)
    assert len(study.trials) == 4 * FAILURES_IN_A_ROW


def test_failures_among_many_concurrent_trials_do_not_count_as_consecutive(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    others = [TrialQueue(study, storage, Path("unused")) for _ in range(2 * FAILURES_IN_A_ROW)]
    with ExitStack() as stack:
        for other in others:
            stack.enter_context(other.worker())
        running = [(other, other.claim(SPACE, trials=50)) for other in others]

        def run(trial: Trial, _: OnEpoch) -> float:
            """The first trial fails after every second concurrent one has failed; then the others complete."""
            is_first = trial.number == len(running)
            for other, claimed in running[1::2] if is_first else running[::2]:
                assert claimed is not None
                other.finish(claimed, None if is_first else 0.5, TrialState.FAIL if is_first else None)
            if is_first:
                raise ValueError("by chance")
            return 0.5

        search_in(study, storage, SPACE, run, trials=2 * FAILURES_IN_A_ROW + 2)


def test_failures_of_an_earlier_run_do_not_end_a_search(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    for trials in (FAILURES_IN_A_ROW - 1, FAILURES_IN_A_ROW):
        search_in(study, storage, SPACE, lambda *_: 1 / 0, trials=trials)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * FAILURES_IN_A_ROW


def test_failures_with_a_success_between_them_do_not_end_a_search(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        return {FAILURES_IN_A_ROW - 1: 0.5}[trial.number]

    search_in(study, storage, SPACE, run, trials=2 * FAILURES_IN_A_ROW - 1)
    failed = [TrialState.FAIL] * (FAILURES_IN_A_ROW - 1)
    assert [trial.state for trial in study.trials] == [*failed, TrialState.COMPLETE, *failed]


def test_the_end_of_each_trial_is_reported_after_it_is_stored(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    told: list[tuple[int, TrialState]] = []

    def on_trial_end(number: int) -> None:
        told.append((number, study.trials[number].state))

    search_in(study, storage, SPACE, lambda trial, _: 1 / trial.number, trials=3, on_trial_end=on_trial_end)
    assert told == [(0, TrialState.FAIL), (1, TrialState.COMPLETE), (2, TrialState.COMPLETE)]


def test_a_search_starts_no_trial_after_its_deadline(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    search_in(study, storage, SPACE, lambda *_: 0.5, trials=1, deadline=time.monotonic())
    assert study.trials == []


def test_a_search_ends_only_when_the_last_trials_of_other_workers_have_ended(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    other = TrialQueue(study, storage, Path("unused"))
    with other.worker():
        trial = other.claim(SPACE, trials=1)
        assert trial is not None
        changes = iter([lambda: None, lambda: other.finish(trial, 0.5)])
        search_in(study, storage, SPACE, lambda *_: 0.7, trials=1, on_change=lambda: next(changes)())
    assert list(changes) == []
    assert [trial.value for trial in study.trials] == [0.5]


@pytest.mark.parametrize("moment", ["at the end of an epoch", "when it fails"])
def test_a_trial_that_was_given_to_another_worker_is_reported_only_by_that_worker(
    moment: str, study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    runs: list[int] = []
    told: list[int] = []

    def run(trial: Trial, on_epoch_end: OnEpoch) -> float:
        """Give the trial to another worker, which ends at once, so that the trial comes back."""
        runs.append(trial.number)
        if len(runs) == 2:
            return 0.7
        other = TrialQueue(study, storage, Path("unused"))
        with other.worker():
            name = other._worker
        storage.set_trial_user_attr(trial._trial_id, WORKER, name)
        if moment == "at the end of an epoch":
            on_epoch_end(EpochResult(0, 1.0, 1.0, 0.5, 0.5, 1.0, torch.zeros(1)))
        raise ValueError

    search_in(study, storage, SPACE, run, trials=1, on_trial_end=told.append)
    assert (runs, told) == ([0, 0], [0])
    assert study.trials[0].value == 0.7


def test_an_interrupted_trial_waits_under_its_own_number(
    study: Study, storage: RetryingStorage, search_in: SearchIn
) -> None:
    def interrupted(trial: Trial, _: OnEpoch) -> float:
        trial.report(0.1, 0)
        if trial.number == 1:
            raise Interrupted
        return 0.5

    with pytest.raises(Interrupted):
        search_in(study, storage, SPACE, interrupted, trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    parameters = study.trials[1].params
    search_in(study, storage, SPACE, lambda *_: 0.7, trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert study.trials[1].params == parameters


def test_a_database_error_does_not_fail_the_trial(study: Study, storage: RetryingStorage, search_in: SearchIn) -> None:
    def break_the_database(trial: Trial, _: OnEpoch) -> float:
        with storage.engine.begin() as connection:
            connection.execute(sqlalchemy.text("DROP TABLE trial_intermediate_values"))
        trial.report(0.1, 0)
        return 0.5

    with pytest.raises(STORAGE_ERRORS) as caught:
        search_in(study, storage, SPACE, break_the_database, trials=2)
    assert reason_of(caught.value) == "no such table: trial_intermediate_values"


def test_trials_of_a_process_that_is_gone_are_queued_again(study: Study, storage: RetryingStorage) -> None:
    queue = TrialQueue(study, storage, Path("unused"))
    with queue.worker():
        assert queue.claim(SPACE, trials=1) is not None
    assert [trial.number for trial in queue.recover()] == [0]
    assert study.ask(SPACE).number == 0
