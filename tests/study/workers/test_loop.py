"""The loop of a worker: failures are recorded as such, and too many of them end it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
import torch
from optuna import Study, TrialPruned
from optuna.distributions import FloatDistribution
from optuna.pruners import ThresholdPruner
from optuna.trial import Trial, TrialState, create_trial

from data.source import Split, find_source
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.batches import TextLimits
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.search_space import Space
from study.signals import Interrupted
from study.storage.attributes import WORKER
from study.storage.connection import open_storage
from study.storage.retrying import STORAGE_ERRORS, RetryingStorage, reason_of
from study.storage.trial_queue import TrialQueue
from study.trials.objective import CURVES, checkpoint_file, run_trial
from study.workers.loop import FAILURES_IN_A_ROW, RunTrial, TooManyFailuresError, run_trials

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-2)}
OnEpoch = Callable[[EpochResult], None]


def search_in(study: Study, storage: RetryingStorage, space: Space, run: RunTrial, **options: Any) -> None:
    queue = TrialQueue(study, storage, Path("unused"))
    run_trials(queue, space, run, **{"deadline": float("inf"), "on_change": lambda: None} | options)


def objective(base: Settings, prepared: PreparedTexts) -> RunTrial:
    folder = prepared.entry.folder.parent
    paths = {"cache_dir": folder, "checkpoints": folder / "checkpoints"}
    return partial(run_trial, base=base, prepared=prepared, device=torch.device("cpu"), on_event=print, **paths)


@pytest.fixture
def storage(tmp_path: Path) -> RetryingStorage:
    return open_storage(f"sqlite:///{tmp_path / 'study.db'}")


@pytest.fixture
def study(storage: RetryingStorage) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(storage=storage, study_name="s", direction="maximize", sampler=None, pruner=None)


@pytest.fixture
def prepared(toy_csv: Path, tmp_path: Path) -> PreparedTexts:
    return prepare_for_search(Split(find_source(str(toy_csv))[0]), cache_dir=tmp_path / "cache")


def test_a_trial_whose_loss_is_nan_fails_with_a_reason_and_the_study_continues(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts
) -> None:
    base = Settings(LSTMConfig(), TrainingConfig(epochs=2), TextLimits())
    run = objective(base, prepared)
    diverging = {"learning_rate": FloatDistribution(1e39, 1e40)}
    search_in(study, storage, diverging, run, trials=1)
    search_in(study, storage, SPACE, run, trials=2)
    failed, complete = study.trials
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["failure"].startswith("TrainingDivergedError: The training loss is ")
    assert complete.state == TrialState.COMPLETE


def test_a_trial_stores_what_its_training_reports(study: Study, prepared: PreparedTexts) -> None:
    torch.set_num_threads(2)  # so that the training shows that it takes one
    run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=2, seed=7), TextLimits()), prepared)
    trial = study.ask(SPACE)
    heard: list[EpochResult] = []
    trained: list[TrainingResult] = []
    value = run(trial, heard.append, on_trained=trained.append)
    (result,) = trained
    assert heard == list(result.curve)
    assert value == result.best.macro_f1
    told = {**trial.user_attrs}
    assert told.pop("seconds") == pytest.approx(sum(epoch.seconds for epoch in heard), abs=0.006)
    assert told == {
        "training_seed": 7,
        "accuracy": result.best.accuracy,
        "macro_f1": result.best.macro_f1,
        "best_epoch": result.best.epoch,
        "epochs": 2,
        "threads": 1,
        "curve": {name: [round(getattr(epoch, name), 6) for epoch in heard] for name in CURVES},
    }


def test_a_trial_is_not_pruned_after_its_last_epoch(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts
) -> None:
    study.pruner = ThresholdPruner(lower=1.1, n_warmup_steps=1)  # prunes everything from the second epoch on
    for epochs in (2, 3):
        run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=epochs), TextLimits()), prepared)
        search_in(study, storage, SPACE, run, trials=len(study.trials) + 1)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert study.trials[1].user_attrs["epochs"] == 2


@pytest.fixture
def interrupted(study: Study, prepared: PreparedTexts) -> tuple[RunTrial, Trial, list[EpochResult]]:
    """An objective of three epochs, a trial that was interrupted after the second one, and what it has reported."""
    run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=3), TextLimits()), prepared)
    trial = study.ask(SPACE)
    heard: list[EpochResult] = []

    def interrupt(result: EpochResult) -> None:
        heard.append(result)
        if result.epoch == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(trial, interrupt)
    return run, trial, heard


def test_an_interrupted_trial_continues_from_its_checkpoint(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]],
) -> None:
    run, trial, before = interrupted
    told: list[str] = []
    heard: list[EpochResult] = []
    run(trial, heard.append, on_event=told.append)
    assert told == []
    assert [result.epoch for result in heard] == [0, 1, 2]
    assert heard[0] == before[0]  # even the time that it took: it was not trained again


def test_a_trial_whose_checkpoint_is_gone_starts_over_and_says_so(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], prepared: PreparedTexts
) -> None:
    run, trial, _ = interrupted
    checkpoint_file(prepared.entry.folder.parent / "checkpoints", trial.number).unlink()
    told: list[str] = []
    heard: list[EpochResult] = []
    run(trial, heard.append, on_event=told.append)
    assert told == ["There is no checkpoint of trial 0 here; it starts over."]
    assert [result.epoch for result in heard] == [0, 1, 2]


def test_a_checkpoint_of_other_parameters_is_not_used(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], storage: RetryingStorage
) -> None:
    run, *_ = interrupted
    other = optuna.create_study(storage=storage, study_name="other", direction="maximize")
    told: list[str] = []
    run(other.ask({"learning_rate": FloatDistribution(2e-2, 3e-2)}), lambda _: None, on_event=told.append)
    (line,) = told
    assert "0.pt is not used (it is of another training or version)" in line


def test_a_checkpoint_of_another_precision_is_not_used(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trial, _ = interrupted
    monkeypatch.setattr("study.trials.objective.compute_type", lambda *_: torch.float16)  # as on another machine
    told: list[str] = []
    run(trial, lambda _: None, on_event=told.append)
    (line,) = told
    assert "0.pt is not used (it is of another training or version)" in line


def test_pruned_and_failed_trials_count_toward_the_budget(study: Study, storage: RetryingStorage) -> None:
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


def test_too_many_failures_in_a_row_end_the_search(study: Study, storage: RetryingStorage) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        raise ValueError(f"broken {trial.number}")

    for number in (4, 9):  # also when the same command is started again
        way_out = r"Fix the cause, then start the same command again\."
        message = rf"5 trials in a row have failed, .*ValueError: broken {number}\. {way_out}"
        with pytest.raises(TooManyFailuresError, match=message):
            search_in(study, storage, SPACE, run, trials=50)
        assert len(study.trials) == number + 1


def test_failures_of_another_run_do_not_count_whatever_the_clocks_say(study: Study, storage: RetryingStorage) -> None:
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
    study: Study, storage: RetryingStorage
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


def test_failures_of_an_earlier_run_do_not_end_a_search(study: Study, storage: RetryingStorage) -> None:
    for trials in (FAILURES_IN_A_ROW - 1, FAILURES_IN_A_ROW):
        search_in(study, storage, SPACE, lambda *_: 1 / 0, trials=trials)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * FAILURES_IN_A_ROW


def test_failures_with_a_success_between_them_do_not_end_a_search(study: Study, storage: RetryingStorage) -> None:
    def run(trial: Trial, _: OnEpoch) -> float:
        return {FAILURES_IN_A_ROW - 1: 0.5}[trial.number]

    search_in(study, storage, SPACE, run, trials=2 * FAILURES_IN_A_ROW - 1)
    failed = [TrialState.FAIL] * (FAILURES_IN_A_ROW - 1)
    assert [trial.state for trial in study.trials] == [*failed, TrialState.COMPLETE, *failed]


def test_the_end_of_each_trial_is_reported_after_it_is_stored(study: Study, storage: RetryingStorage) -> None:
    told: list[tuple[int, TrialState]] = []

    def on_trial_end(number: int) -> None:
        told.append((number, study.trials[number].state))

    search_in(study, storage, SPACE, lambda trial, _: 1 / trial.number, trials=3, on_trial_end=on_trial_end)
    assert told == [(0, TrialState.FAIL), (1, TrialState.COMPLETE), (2, TrialState.COMPLETE)]


def test_a_search_starts_no_trial_after_its_deadline(study: Study, storage: RetryingStorage) -> None:
    search_in(study, storage, SPACE, lambda *_: 0.5, trials=1, deadline=time.monotonic())
    assert study.trials == []


def test_a_search_ends_only_when_the_last_trials_of_other_workers_have_ended(
    study: Study, storage: RetryingStorage
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
    moment: str, study: Study, storage: RetryingStorage
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


def test_an_interrupted_trial_waits_under_its_own_number(study: Study, storage: RetryingStorage) -> None:
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


@pytest.mark.parametrize("moment", ["after the report", "before the end is told"])
def test_a_trial_interrupted_while_it_is_pruned_is_pruned_at_the_same_epoch(
    moment: str, storage: RetryingStorage, prepared: PreparedTexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Settings(LSTMConfig(), TrainingConfig(epochs=6, patience=6), TextLimits())
    run = objective(base, prepared)

    def two_trials(name: str) -> Study:
        """A study with two trials, of which the second one learns too slowly and is pruned."""
        pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2)
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", pruner=pruner)
        for rate in (1e-2, 1e-6):
            study.enqueue_trial({"learning_rate": rate})
        return study

    space = {"learning_rate": FloatDistribution(1e-6, 1e-2)}
    whole = two_trials("whole")
    search_in(whole, storage, space, run, trials=2)
    assert whole.trials[1].state == TrialState.PRUNED

    parts = two_trials("parts")
    owner, method = (Trial, "should_prune") if moment == "after the report" else (Study, "tell")
    monkeypatch.setattr(owner, method, interrupt_in_the_second_trial(getattr(owner, method)))
    with pytest.raises(Interrupted):
        search_in(parts, storage, space, run, trials=2)
    monkeypatch.undo()
    assert [trial.state for trial in parts.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    assert parts.trials[1].intermediate_values
    search_in(parts, storage, space, run, trials=2)
    assert parts.trials[1].state == TrialState.PRUNED
    assert parts.trials[1].intermediate_values == whole.trials[1].intermediate_values
    assert parts.trials[1].user_attrs["curve"] == whole.trials[1].user_attrs["curve"]


def interrupt_in_the_second_trial(original: Callable[..., Any]) -> Callable[..., Any]:
    """Interrupt a method of a trial, or one that gets a trial, at a moment when the trial would be pruned."""

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        trial = self if isinstance(self, Trial) else arguments[0]
        if trial.number == 1 and len(trial.study.trials[1].intermediate_values) == 3:
            raise Interrupted
        return original(self, *arguments, **options)

    return method


def test_a_database_error_does_not_fail_the_trial(study: Study, storage: RetryingStorage) -> None:
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
