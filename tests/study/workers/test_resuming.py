"""Budgets, restarts, interruptions and several processes: the same table of trials in the end."""

import signal
import subprocess
import sys
import time
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

Capture = pytest.CaptureFixture[str]


def test_a_cnn_study_continues_although_its_widths_are_a_tuple(toy: Any) -> None:
    for trials in (1, 2):
        assert toy.run("--model", "cnn", "--trials", trials) == 0
    assert len(toy.load("toy-cnn").trials) == 2


def test_trials_are_counted_in_total_over_restarts(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 2)
    before = toy.table()
    assert toy.run("--trials", 2) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert toy.table() == before
    assert toy.run("--trials", 5) == 0
    assert toy.table()[:2] == before
    assert len(toy.load().trials) == 5


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table_also_when_run_in_two_parts(toy: Any) -> None:
    sampled = 13  # more than the random ones, so that TPE has chosen some
    assert toy.run("--trials", sampled, "--storage", "sqlite:///whole.db") == 0
    assert toy.run("--trials", 6, "--storage", "sqlite:///parts.db") == 0
    assert toy.run("--trials", sampled, "--storage", "sqlite:///parts.db") == 0
    whole, parts = (toy.table(file=file) for file in ("whole.db", "parts.db"))
    assert whole == parts
    assert len({str(trial["params"]) for trial in whole}) == sampled


@pytest.mark.slow
def test_another_seed_gives_another_table(toy: Any) -> None:
    for seed in (0, 1):
        assert toy.run("--trials", 3, "--seed", seed, "--name", f"seed{seed}") == 0
    tables = [toy.table(name=f"seed{seed}") for seed in (0, 1)]
    assert tables[0][0]["params"] == tables[1][0]["params"]  # the default configuration
    assert tables[0][1]["params"] != tables[1][1]["params"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop",
    [signal.SIGKILL, signal.SIGINT, signal.SIGTERM],
    ids=lambda stop: stop.name,
)
def test_an_interrupted_study_continues_to_the_same_table(stop: signal.Signals, toy: Any) -> None:
    slow = ["--epochs", 12, "--patience", 12]
    process = toy.start("--trials", 500, *slow)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial   0"):
            break
    time.sleep(0.3)  # most likely in the middle of the next trial
    process.send_signal(stop)
    output, _ = process.communicate()
    states = [trial.state for trial in toy.load().trials]
    killed = stop == signal.SIGKILL
    assert process.returncode == (-stop if killed else 130)
    assert ("To continue: python -m study.run --data toy.csv" in output) == (not killed)
    assert states.count(TrialState.RUNNING) <= (1 if killed else 0)
    trials = len(states) + 1
    assert toy.run("--trials", trials, *slow) == 0
    assert toy.run("--trials", trials, *slow, "--storage", "sqlite:///whole.db") == 0
    assert toy.table() == toy.table(file="whole.db")


def test_after_a_search_the_database_is_a_single_file(toy: Any) -> None:
    toy.searched("--trials", 1)
    assert [path.name for path in toy.folder.glob("study.db*")] == ["study.db"]


def test_no_new_trial_is_started_after_a_timeout(toy: Any) -> None:
    toy.searched("--trials", 100, "--timeout", 0.5)
    assert 1 <= sum(trial.state.is_finished() for trial in toy.load().trials) < 100


@pytest.mark.slow
def test_studies_that_create_a_database_at_the_same_time_all_run(toy: Any) -> None:
    processes = [toy.start("--trials", 1, "--epochs", 1, "--name", name) for name in "abcd"]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sorted(optuna.get_all_study_names(f"sqlite:///{toy.folder / 'study.db'}")) == list("abcd")


@pytest.mark.slow
def test_a_hangup_does_not_end_what_was_started_with_nohup(toy: Any) -> None:
    program = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from study.run import *; "
    call = "sys.exit(run_command(app, ['--data', 'toy.csv', '--trials', '3', '--epochs', '3']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program + call], cwd=toy.folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            process.send_signal(signal.SIGHUP)
            break
    process.communicate()
    assert process.returncode == 0
    assert len(toy.load().trials) == 3


def test_a_search_leaves_no_checkpoint(toy: Any) -> None:
    toy.searched("--trials", 2)
    assert list(toy.folder.glob(".cache/checkpoints/*"))  # the folder of the study
    assert list(toy.folder.glob(".cache/checkpoints/*/*")) == []
