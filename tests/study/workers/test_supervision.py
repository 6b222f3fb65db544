"""Several workers on one study: the budget is shared, dead workers are replaced, and no process is left behind."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from study.storage.attributes import CRASHES
from study.storage.connection import open_storage
from study.storage.trial_queue import CRASHES_IN_AN_EPOCH, TrialQueue
from study.workers.supervision import DEATHS_IN_A_ROW, WorkerError, _DeathWatch

Capture = pytest.CaptureFixture[str]
SLOW = ("--epochs", 40, "--patience", 40)  # so that a trial runs for seconds
SOON_SECONDS = 15  # at most three on an idle machine, but this one may be busy


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children(recursive=True) if child.is_running()]


@pytest.mark.slow
def test_workers_share_the_budget_and_numbers_have_no_gap(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # so that the workers show that they take one
    assert toy.run("--trials", 7, "--workers", 3) == 0
    assert [path.name for path in toy.folder.glob("study.db*")] == ["study.db"]
    assert "Workers: 3 on cpu." in capsys.readouterr().out
    trials = toy.load().trials
    assert [trial.number for trial in trials] == list(range(7))
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in trials)
    assert len({trial.user_attrs["worker"] for trial in trials}) > 1
    assert all(trial.user_attrs["threads"] == 1 for trial in trials)
    assert trials[0].params == {"hidden_size": 64, "learning_rate": 1e-2}


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_trial_continues(toy: Any) -> None:
    process = toy.start("--trials", 2, "--workers", 2, *SLOW)
    toy.wait_for_running(count=2, step=1)
    children(process)[0].kill()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "was killed by SIGKILL (out of memory?); it is replaced, and trial " in output
    trials = toy.load().trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    whole = ["--trials", 1, *SLOW, "--storage", "sqlite:///whole.db"]
    assert toy.run(*whole) == 0
    assert toy.table()[0] == toy.table(file="whole.db")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [signal.SIGINT, signal.SIGTERM, signal.SIGHUP],
    ids=lambda stop: stop.name,
)
def test_a_signal_stops_all_workers_immediately(stop: signal.Signals, toy: Any, still_alive: Any) -> None:
    process = toy.start("--trials", 500, "--workers", 2, *SLOW)
    toy.wait_for_running(count=2)
    workers = children(process)
    assert len(workers) == 2
    start = time.monotonic()
    process.send_signal(stop)
    output, _ = process.communicate()
    assert time.monotonic() - start < SOON_SECONDS
    assert process.returncode == 130
    assert "To continue: python -m study.run --data toy.csv" in output
    assert still_alive(workers, 0) == []
    assert {trial.state for trial in toy.load().trials} == {TrialState.WAITING}


@pytest.mark.slow
def test_workers_end_soon_after_their_parent_is_killed_and_a_rerun_continues_at_once(
    toy: Any, still_alive: Any
) -> None:
    process = toy.start("--trials", 3, "--workers", 2, *SLOW)
    toy.wait_for_running(count=2, step=1)
    workers = children(process)
    process.kill()
    assert still_alive(workers, 2) == []
    process.communicate()
    assert [trial.state for trial in toy.load().trials] == [TrialState.RUNNING] * 2
    again = toy.start("--trials", 3, "--workers", 2, *SLOW)
    output, _ = again.communicate()
    assert again.returncode == 0, output
    assert "interrupted before, and continued now: trial 0, 1." in output
    assert [trial.state for trial in toy.load().trials] == [TrialState.COMPLETE] * 3


@pytest.mark.slow
def test_a_fatal_error_of_a_worker_ends_the_run_with_the_same_line(toy: Any) -> None:
    process = toy.start("--trials", 40, "--workers", 2, *SLOW)
    toy.wait_for_running(count=2)
    connection = sqlite3.connect(toy.folder / "study.db", timeout=60)
    connection.execute("DROP TABLE trial_intermediate_values")
    connection.commit()
    output, _ = process.communicate()
    assert process.returncode in (1, 2)
    assert output.count("Error: ") == 1
    assert "no such table: trial_intermediate_values" in output
    assert "Traceback" not in output


def kill_a_worker_in_its_trial(folder: Path) -> None:
    program = (
        "import os, signal, optuna; from pathlib import Path; from study.storage.connection import open_storage\n"
        "from study.storage.trial_queue import TrialQueue\n"
        "storage = open_storage('sqlite:///study.db'); study = optuna.load_study(study_name='s', storage=storage)\n"
        "queue = TrialQueue(study, storage, Path())\n"
        "with queue.worker(): queue.claim({}, trials=9); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_trial_that_kills_its_workers_fails_in_the_end(toy: Any) -> None:
    storage = open_storage("sqlite:///study.db")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    kill_a_worker_in_its_trial(toy.folder)
    TrialQueue(study, storage, Path()).recover(count_crashes=False)  # as when all were killed together
    assert CRASHES not in study.trials[0].user_attrs
    for _ in range(CRASHES_IN_AN_EPOCH):
        assert all(trial.state in (TrialState.WAITING, TrialState.RUNNING) for trial in study.trials)
        kill_a_worker_in_its_trial(toy.folder)
    TrialQueue(study, storage, Path()).recover()
    assert [trial.state for trial in study.trials] == [TrialState.FAIL]
    assert study.trials[0].user_attrs["failure"].startswith("5 workers crashed on it in the same epoch")


def test_workers_that_keep_dying_are_not_replaced_forever(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    watch = _DeathWatch(TrialQueue(study, storage, Path()), lambda _: None)
    for death in range(DEATHS_IN_A_ROW - 1):
        watch.died(death, "ended")
    with pytest.raises(WorkerError, match="10 workers have died in a row"):
        watch.died(DEATHS_IN_A_ROW, "ended")


@pytest.mark.slow
def test_eight_processes_that_start_a_study_at_the_same_time_all_work(toy: Any) -> None:
    processes = [toy.start("--trials", 16, "--epochs", 1) for _ in range(8)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, outputs
    assert optuna.get_all_study_names(f"sqlite:///{toy.folder / 'study.db'}") == ["toy-lstm"]
    trials = toy.load().trials
    assert [trial.number for trial in trials] == list(range(16))
    assert all(trial.state.is_finished() for trial in trials)
    assert len({trial.user_attrs["worker"] for trial in trials}) > 4
    assert len(list((toy.folder / ".cache" / "prepared").glob("*/meta.json"))) == 1


@pytest.mark.slow
def test_an_interruption_takes_effect_while_another_program_locks_the_database(toy: Any) -> None:
    process = toy.start("--trials", 50, "--workers", 1, *SLOW)
    toy.wait_for_running(step=1)
    connection = sqlite3.connect(toy.folder / "study.db", timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(1)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert time.monotonic() - start < SOON_SECONDS
    assert process.returncode == 130
    assert "To continue: " in output
    connection.close()


@pytest.mark.slow
def test_workers_wait_for_a_database_that_another_program_locks_for_thirty_seconds(toy: Any) -> None:
    process = toy.start("--trials", 3, "--workers", 2, *SLOW)
    toy.wait_for_running(count=2)
    connection = sqlite3.connect(toy.folder / "study.db", timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(30)
    connection.execute("ROLLBACK")
    connection.close()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert all(trial.state.is_finished() for trial in toy.load().trials)
    assert "replaced" not in output


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_one_line_and_a_database_that_opens(toy: Any) -> None:
    toy.searched("--trials", 1)
    limit = (toy.folder / "study.db").stat().st_size + 40_000  # of a file, in bytes
    program = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); from study.run import *; "
    )
    call = "sys.exit(run_command(app, sys.argv[1:]))"
    command = [sys.executable, "-c", program + call, "--data", "toy.csv", "--epochs", "3", "--max-tokens", "20"]
    for workers in ("1", "2"):
        done = subprocess.run(
            [*command, "--trials", "90", "--workers", workers],
            cwd=toy.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ,
            check=False,
        )
        assert done.returncode in (1, 2), done.stdout
        assert done.stdout.count("Error: ") == 1, done.stdout
        assert "Traceback" not in done.stdout
        assert sqlite3.connect(toy.folder / "study.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    before = len(toy.load().get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
    assert toy.run("--trials", before + 2) == 0
