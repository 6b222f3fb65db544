"""Claims: each trial is run once, never more than requested, and the trials of dead workers are continued."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import Trial, TrialState, create_trial
from sqlalchemy.pool import NullPool

from study.sampling import make_sampler
from study.search_space import Space
from study.storage.attributes import FAILURE, WORKER
from study.storage.connection import close_storage, open_storage
from study.storage.retrying import RetryingStorage
from study.storage.trial_queue import CRASHES_IN_AN_EPOCH, TrialQueue

SPACE = {"x": FloatDistribution(0, 1)}
ALL_KINDS = {
    "x": FloatDistribution(0.1, 1, log=True),
    "n": IntDistribution(1, 3),
    "kind": CategoricalDistribution(["a", "b"]),
}
WORKER_PROGRAM = """
import os, sys, time, optuna
from pathlib import Path
from optuna.distributions import FloatDistribution
from study.workers.loop import run_trials
from study.storage.connection import open_storage
from study.storage.trial_queue import CRASHES_IN_AN_EPOCH, TrialQueue

def run(trial, on_epoch_end):
    with open(Path(sys.argv[2], f"runs of {trial.study.study_name}"), "a") as runs:
        runs.write(f"{trial.number}\\n")
    trial.report(trial.params["x"], 0)
    return trial.params["x"]

storage = open_storage(sys.argv[1], patient=True)
optuna.logging.set_verbosity(optuna.logging.WARNING)
for name in sys.argv[3:]:
    Path(sys.argv[2], f"{name} {os.getpid()}.ready").touch()
    while len(list(Path(sys.argv[2]).glob(f"{name} *.ready"))) < 4:  # or the first would run all trials
        time.sleep(0.001)
    study = optuna.load_study(study_name=name, storage=storage)
    queue = TrialQueue(study, storage, Path(sys.argv[2]))
    run_trials(queue, {"x": FloatDistribution(0, 1)}, run, trials=40, deadline=float("inf"), on_change=lambda: None)
"""
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


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres").url)
    return f"sqlite:///{tmp_path / 'study.db'}"


NewQueue = Callable[[str, Path], TrialQueue]


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


@pytest.mark.slow
def test_queued_trials_are_run_once_each_by_four_workers_in_three_studies(
    url: str, new_queue: NewQueue, tmp_path: Path
) -> None:
    studies = [new_queue(f"{tmp_path.name} {number}", tmp_path).study for number in range(3)]
    for study in studies:
        for _ in range(40):
            study.enqueue_trial({})
    command = [sys.executable, "-c", WORKER_PROGRAM, url, str(tmp_path), *(study.study_name for study in studies)]
    workers = [subprocess.Popen(command) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    for study in studies:
        runs = (tmp_path / f"runs of {study.study_name}").read_text()
        assert sorted(map(int, runs.split())) == list(range(40))
        assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 40
        assert len({trial.user_attrs[WORKER] for trial in study.trials}) > 1


def test_a_trial_of_a_living_worker_is_left_alone_and_the_budget_counts_it(new_queue: NewQueue, tmp_path: Path) -> None:
    first, second = (new_queue(tmp_path.name, tmp_path) for _ in range(2))
    with first.worker(), second.worker():
        trial = first.claim(SPACE, trials=2)
        other = second.claim(SPACE, trials=2)
        assert trial is not None
        assert other is not None
        assert {trial.number, other.number} == {0, 1}
        assert first.claim(SPACE, trials=2) is not None  # by claiming again, the first worker has given up its trial
        assert second.recover() == []


def test_a_claim_interrupted_before_it_is_signed_is_repeated_by_the_same_worker(
    new_queue: NewQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    original = Study.ask

    def ask_and_stop(study: Study, space: Space) -> Trial:
        original(study, space)
        raise KeyboardInterrupt

    with queue.worker():
        monkeypatch.setattr(Study, "ask", ask_and_stop)
        with pytest.raises(KeyboardInterrupt):
            queue.claim(SPACE, trials=1)
        monkeypatch.undo()
        assert queue.study.trials[0].state == TrialState.RUNNING
        trial = queue.claim(SPACE, trials=1)
        assert trial is not None
        assert trial.number == 0


def crash(queue: TrialQueue, *, epoch: int, count_crashes: bool = True) -> None:
    """Let a worker die without notice after this epoch, and recover its trial."""
    with queue.worker():
        trial = queue.claim(SPACE, trials=1)
        assert trial is not None
        queue._storage.set_trial_intermediate_value(trial._trial_id, epoch, 0.5)
    queue.recover(count_crashes=count_crashes)


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


def put_back(queue: TrialQueue, trial: Trial) -> None:
    """Queue a trial again, as others do if its worker was silent for too long."""
    queue._storage.set_trial_user_attr(trial._trial_id, WORKER, None)
    queue._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)


def test_a_trial_that_another_program_has_just_started_is_left_to_it(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    theirs = queue.study.ask(SPACE)
    with queue.worker():
        ours = queue.claim(SPACE, trials=2)
        assert ours is not None
        assert ours.number != theirs.number
        assert queue.recover() == []
        queue.study.tell(theirs, 0.7)
        queue.finish(ours, 0.5)
    assert [trial.value for trial in queue.study.trials] == [0.7, 0.5]


def test_a_trial_that_another_program_abandoned_long_ago_is_recovered(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue._storage.heartbeat_interval, queue._storage.grace_period = 1, 1
    theirs = queue.study.ask(SPACE)
    assert queue.recover() == []
    assert [trial.number for trial in queue.of_others()] == [theirs.number]
    time.sleep(1.1)
    assert [trial.number for trial in queue.recover()] == [theirs.number]


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
def test_a_claim_whose_connection_breaks_is_repeated_within_the_budget(
    url: str, new_queue: NewQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (new_queue(tmp_path.name, tmp_path) for _ in range(2))
    original = Study.ask

    def ask_after_a_break(study: Study, space: Space) -> Trial:
        """Between the count and the claim, the server drops all connections and another worker claims a trial."""
        monkeypatch.undo()
        drop_connections(url)
        assert second.claim(SPACE, trials=1) is not None
        return original(study, space)

    with first.worker(), second.worker():
        monkeypatch.setattr(Study, "ask", ask_after_a_break)
        assert first.claim(SPACE, trials=1) is None
        assert [trial.state for trial in first.study.trials] == [TrialState.RUNNING]


@postgresql_only
def test_a_claim_whose_connection_breaks_while_trials_are_read_is_repeated(
    url: str, new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    breaks = []

    def break_once(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "trial_user_attributes" in statement and not breaks:
            breaks.append(statement)
            drop_connections(url)

    with queue.worker():
        queue.study.ask(SPACE)
        sqlalchemy.event.listen(queue._storage.engine, "before_cursor_execute", break_once)
        assert queue.claim(SPACE, trials=9) is not None
    assert len(breaks) == 1


def drop_connections(url: str) -> None:
    """Drop all connections, as a server that stops does."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(sqlalchemy.text(f"{query} AND usename = 'study'"))


@sqlite_only
def test_names_in_the_database_do_not_lead_out_of_the_folder(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue("../../../x", tmp_path)
    outside = tmp_path / "precious.lock"
    outside.write_text("precious")
    trial = queue.study.ask(SPACE)
    trial.set_user_attr(WORKER, "../../precious")
    assert [trial.number for trial in queue.recover()] == [0]
    assert outside.read_text() == "precious"
    with queue.worker():
        assert {path.name for path in tmp_path.iterdir()} <= {"precious.lock", "study.db", ".study.db.locks"} | {
            f"study.db-{suffix}" for suffix in ("wal", "shm")
        }


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
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"x": 0}, r"`x` must lie in 0.1-1 \(log\), got 0\. Queue another value"),
        ({"x": None}, "got None"),
        ({"x": "a word"}, "got 'a word'"),
        ({"x": "0.5"}, "got '0.5'"),
        ({"x": float("nan")}, "got nan"),
        ({"x": 2.0}, "got 2.0"),
        ({"x": 10**400}, "got 1000"),
        ({"n": 2.5}, "`n` must lie in 1-3, got 2.5"),
        ({"x": 0.5, "kind": "c"}, r"`kind` must lie in a\|b, got 'c'"),
        ({"learning_rat": 0.1}, "`learning_rat` is not searched; queue values of x, n, kind only"),
    ],
)
def test_a_queued_trial_that_cannot_be_run_fails_with_a_reason_and_the_next_is_claimed(
    parameters: dict[str, Any], reason: str, new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue.study.enqueue_trial(parameters)
    queue.study.enqueue_trial({"x": 0.5})
    with queue.worker():
        trial = queue.claim(ALL_KINDS, trials=2)
        assert trial is not None
        assert trial.params["x"] == 0.5
        refused = queue.study.trials[0]
        assert refused.state == TrialState.FAIL
        assert re.search(reason, refused.user_attrs[FAILURE])
        assert queue.finish(trial, 0.5) is not None
        assert queue.claim(ALL_KINDS, trials=2) is None


@sqlite_only
def test_a_waiting_trial_with_values_of_another_range_fails(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    wider = {"x": FloatDistribution(0.1, 9, log=True)}
    queue.study.add_trial(create_trial(state=TrialState.WAITING, params={"x": 5.0}, distributions=wider))
    with queue.worker():
        trial = queue.claim(ALL_KINDS, trials=2)
        assert trial is not None
        assert trial.number == 1
        assert "got 5.0" in queue.study.trials[0].user_attrs[FAILURE]


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


UP = "sqlite:///folder/../study.db"  # SQLAlchemy takes this for ./study.db, also where the folder is a link
SPELLINGS = ("sqlite:///study.db", "sqlite:///./study.db", "sqlite+pysqlite:///study.db", "sqlite:///link.db", UP)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_different_urls_of_a_database_see_the_same_workers(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.db").symlink_to("study.db")
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "folder").symlink_to("elsewhere/inner")
    first, second = open_storage(f"sqlite:///{tmp_path / 'study.db'}"), open_storage(spelling)
    assert [path.name for path in tmp_path.rglob("*.locks")] == [".study.db.locks"]
    optuna.create_study(storage=first, study_name="it's ../50 % of the\u200bwörk", direction="maximize")
    queues = [
        TrialQueue(optuna.load_study(study_name="it's ../50 % of the\u200bwörk", storage=storage), storage, tmp_path)
        for storage in (first, second)
    ]
    with queues[0].worker(), queues[1].worker():
        assert queues[0].claim(SPACE, trials=9) is not None
        assert queues[1].recover() == []
        other = queues[1].claim(SPACE, trials=9)
        assert other is not None
        assert other.number == 1
    for storage in (first, second):
        close_storage(storage)


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
