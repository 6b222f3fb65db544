"""Lost workers: their trials are continued, those of living ones are left alone."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial, TrialState
from sqlalchemy.pool import NullPool

from study.sampling import make_sampler
from study.storage.attributes import FAILURE, WORKER
from study.storage.retrying import RetryingStorage
from study.storage.trial_queue import CRASHES_IN_AN_EPOCH, TrialQueue

NewQueue = Callable[[str, Path], TrialQueue]
SPACE = {"x": FloatDistribution(0, 1)}
ALL_KINDS = {
    "x": FloatDistribution(0.1, 1, log=True),
    "n": IntDistribution(1, 3),
    "kind": CategoricalDistribution(["a", "b"]),
}
UP = "sqlite:///folder/../study.db"  # SQLAlchemy takes this for ./study.db, also where the folder is a link
KILLED_PROGRAM = """
import os, signal, sys, optuna
from pathlib import Path
from optuna.distributions import FloatDistribution
from study.storage.connection import open_storage
from study.storage.trial_queue import CRASHES_IN_AN_EPOCH, TrialQueue

storage = open_storage(sys.argv[1])
study = optuna.load_study(study_name=sys.argv[3], storage=storage)
queue = TrialQueue(study, storage, Path(sys.argv[2]))
with queue.worker():
    queue.claim({"x": FloatDistribution(0, 1)}, trials=1)
    os.kill(os.getpid(), signal.SIGKILL)
"""
sqlite_only = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def crash(queue: TrialQueue, *, epoch: int, count_crashes: bool = True) -> None:
    """Let a worker die without notice after this epoch, and recover its trial."""
    with queue.worker():
        trial = queue.claim(SPACE, trials=1)
        assert trial is not None
        queue._storage.set_trial_intermediate_value(trial._trial_id, epoch, 0.5)
    queue.recover(count_crashes=count_crashes)


def put_back(queue: TrialQueue, trial: Trial) -> None:
    """Queue a trial again, as others do if its worker was silent for too long."""
    queue._storage.set_trial_user_attr(trial._trial_id, WORKER, None)
    queue._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def test_a_trial_that_crashes_five_workers_in_the_same_epoch_fails_with_a_reason(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    crash(queue, epoch=0)
    for _ in range(CRASHES_IN_AN_EPOCH - 1):
        crash(queue, epoch=1)
        assert queue.study.trials[0].state == TrialState.WAITING
    crash(queue, epoch=1)
    (trial,) = queue.study.trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs[FAILURE].startswith("5 workers crashed on it in the same epoch; it may")


def test_neither_crashes_in_different_epochs_nor_a_power_cut_fail_a_trial(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    for epoch in range(2 * CRASHES_IN_AN_EPOCH):
        crash(queue, epoch=epoch)
    for _ in range(2 * CRASHES_IN_AN_EPOCH):
        crash(queue, epoch=99, count_crashes=False)
    assert queue.study.trials[0].state == TrialState.WAITING


def test_a_trial_interrupted_while_its_parameters_are_drawn_is_queued_again_at_once(
    new_queue: NewQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue.study.sampler = make_sampler("random", seed=0)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with queue.worker():
        monkeypatch.setattr(RetryingStorage, "_set_trial_param", stop)
        with pytest.raises(KeyboardInterrupt):
            queue.claim(SPACE, trials=1)
        monkeypatch.undo()
    with new_queue(tmp_path.name, tmp_path).worker():
        trial = queue.study.get_trials(deepcopy=False)[0]
        assert trial.state == TrialState.WAITING


def test_a_worker_that_was_declared_dead_cannot_finish_its_trial(new_queue: NewQueue, tmp_path: Path) -> None:
    first, second = (new_queue(tmp_path.name, tmp_path) for _ in range(2))
    with first.worker(), second.worker():
        trial = first.claim(SPACE, trials=1)
        assert trial is not None
        put_back(first, trial)
        again = second.claim(SPACE, trials=1)
        assert again is not None
        assert again.number == 0
        assert again.params == trial.params
        assert not first.holds(trial)
        assert first.finish(trial, 0.1) is None
        ended = second.finish(again, 0.2)
        assert ended is not None
        assert ended.value == 0.2
        assert first.finish(trial, 0.1) is None
        assert second.finish(again, 0.2) == ended  # as if the connection had broken before the answer


@postgresql_only
def test_a_worker_on_another_machine_is_dead_when_its_heartbeats_stop(new_queue: NewQueue, tmp_path: Path) -> None:
    here, there = (new_queue(tmp_path.name, tmp_path / folder) for folder in ("here", "there"))
    with there.worker(), here.worker():
        trial = there.claim(SPACE, trials=1)
        assert trial is not None
        assert here.claim(SPACE, trials=1) is None
        here._storage.grace_period = 1
        time.sleep(1.5)
        again = here.claim(SPACE, trials=1)
        assert again is not None
        assert again.number == 0


@postgresql_only
def test_a_worker_in_another_time_zone_is_not_declared_dead(
    new_queue: NewQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queues = []
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # a day apart
        monkeypatch.setenv("PGTZ", zone)
        queues.append(new_queue(tmp_path.name, tmp_path / zone))
    east, west = queues
    with east.worker(), west.worker():
        assert west.claim(SPACE, trials=9) is not None
        assert east.recover() == []


@sqlite_only
def test_a_trial_with_half_of_its_parameters_keeps_them_and_draws_the_others(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    half = queue.study.ask({"x": ALL_KINDS["x"]})
    put_back(queue, half)
    with queue.worker():
        trial = queue.claim(ALL_KINDS, trials=1)
        assert trial is not None
        assert trial.number == 0
        assert trial.params["x"] == half.params["x"]
        assert trial.params.keys() == ALL_KINDS.keys()


@sqlite_only
def test_a_worker_whose_lock_was_deleted_is_dead_only_when_its_heartbeats_stop(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    first, second = (new_queue(tmp_path.name, tmp_path) for _ in range(2))
    with first.worker():
        trial = first.claim(SPACE, trials=1)
        assert trial is not None
        shutil.rmtree(tmp_path / ".study.db.locks")
        assert second.recover() == []
        assert [unseen.number for unseen in second.out_of_sight()] == [trial.number]
        second._storage.grace_period = -1  # seconds
        assert [silent.number for silent in second.recover()] == [trial.number]
        assert second.out_of_sight() == []


@sqlite_only
def test_a_worker_sends_heartbeats(url: str, new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue._storage.heartbeat_interval = 0.01
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with queue.worker(), engine.connect() as connection:
        assert queue.claim(SPACE, trials=1) is not None
        connection.execute(sqlalchemy.text("UPDATE trial_heartbeats SET heartbeat = '2026-01-01 00:00:00'"))
        connection.commit()
        while queue._storage.silent_trials(queue.study._study_id):
            time.sleep(0.01)


@sqlite_only
def test_a_trial_of_an_earlier_version_without_locks_and_heartbeats_is_recovered_at_once(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    trial = queue.study.ask(SPACE)
    trial.set_user_attr(WORKER, "machine-1-abcdef")
    assert [left.number for left in queue.recover()] == [trial.number]


def test_a_trial_that_its_worker_did_not_release_is_recovered_by_the_next_worker(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    first, second = (new_queue(tmp_path.name, tmp_path) for _ in range(2))
    with first.worker():
        trial = first.claim(SPACE, trials=1)
    assert trial is not None
    assert [left.number for left in second.recover()] == [trial.number]


def test_the_trial_of_a_killed_worker_is_continued_at_once_and_its_lock_is_removed(
    url: str, new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    subprocess.run([sys.executable, "-c", KILLED_PROGRAM, url, str(tmp_path), tmp_path.name], check=False)
    left = [path for path in tmp_path.rglob("*.lock") if path.parent.name == queue._locks.folder.name]
    assert len(left) == 1
    with queue.worker():
        assert not left[0].exists()
        trial = queue.claim(SPACE, trials=1)
        assert trial is not None
        assert trial.number == 0
