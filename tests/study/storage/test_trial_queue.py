"""Claims: each trial is run once, and never more than requested, whatever is interrupted."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import Trial, TrialState
from sqlalchemy.pool import NullPool

from study.search_space import Space
from study.storage.attributes import WORKER
from study.storage.connection import close_storage, open_storage
from study.storage.trial_queue import TrialQueue

NewQueue = Callable[[str, Path], TrialQueue]
SPACE = {"x": FloatDistribution(0, 1)}
UP = "sqlite:///folder/../study.db"  # SQLAlchemy takes this for ./study.db, also where the folder is a link
SPELLINGS = ("sqlite:///study.db", "sqlite:///./study.db", "sqlite+pysqlite:///study.db", "sqlite:///link.db", UP)
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
sqlite_only = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
postgresql_only = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


def drop_connections(url: str) -> None:
    """Drop all connections, as a server that stops does."""
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(sqlalchemy.text(f"{query} AND usename = 'study'"))


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
