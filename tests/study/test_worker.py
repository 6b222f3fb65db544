"""`study.worker` as a user meets it: it joins a study, from another folder, too, and each mistake is one line."""

import subprocess
import sys
from typing import Any

import pytest
from optuna.trial import TrialState

from study.command_line import run_command
from study.storage.attributes import CRASHES
from study.worker import app as worker_app

Capture = pytest.CaptureFixture[str]
SLOW = ("--epochs", 40, "--patience", 40)  # so that a trial runs for seconds


def test_a_worker_can_join_a_study_by_hand(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 2)
    assert run_command(worker_app, ["--trials", "4"]) == 0
    assert "Nothing is left to do" in capsys.readouterr().out
    assert run_command(worker_app, ["--name", "toy-lstm"]) == 0  # the --trials of study.run: 2
    assert [trial.number for trial in toy.load().trials] == [0, 1, 2, 3]
    whole = ["--trials", 4, "--storage", "sqlite:///whole.db"]
    assert toy.run(*whole) == 0
    assert toy.table() == toy.table(file="whole.db")


@pytest.mark.slow
def test_a_worker_imports_only_what_its_trial_needs(toy: Any) -> None:
    """Importing the compiler and scikit-learn takes seconds and 200 MB, in every worker."""
    toy.searched("--trials", 1)
    code = "import study.worker, sys; study.worker.run_command(study.worker.app, sys.argv[1:]); print(*sys.modules)"
    command = [sys.executable, "-c", code, "--trials", "2"]
    output = subprocess.run(command, cwd=toy.folder, capture_output=True, text=True, check=True).stdout
    assert "Nothing is left to do" in output
    imported = set(output.splitlines()[-1].split())
    assert "matplotlib" in imported  # for the pictures of the trial
    assert not imported & {"torch._dynamo", "torch._inductor", "sklearn", "scipy", "plotly", "optuna_dashboard"}


@pytest.mark.slow
def test_a_worker_in_another_folder_may_use_a_different_url_for_the_database(toy: Any) -> None:
    elsewhere = toy.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "link.db").symlink_to(toy.folder / "study.db")
    process = toy.start("--trials", 3, *SLOW)
    toy.wait_for_running()
    command = [sys.executable, "-m", "study.worker", "--storage", f"sqlite+pysqlite:///{elsewhere / 'link.db'}"]
    other = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=False)
    output, _ = process.communicate()
    assert other.returncode == 0, other.stdout + other.stderr
    assert process.returncode == 0, output
    trials = toy.load().trials
    assert [trial.number for trial in trials] == list(range(3))
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert len({trial.user_attrs["worker"] for trial in trials}) == 2
    assert not any(CRASHES in trial.user_attrs for trial in trials)


def test_a_worker_refuses_other_data_and_takes_its_own_paths(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    other = toy.folder / "other.csv"
    other.write_text(toy.csv.read_text() + "surgeon,one more\n")
    assert run_command(worker_app, ["--data", "other.csv", "--trials", "2"]) == 2
    assert "other.csv is not the file that the study is about" in capsys.readouterr().err
    toy.csv.rename(toy.folder / "moved.csv")
    assert run_command(worker_app, ["--cache-dir", "elsewhere", "--trials", "2"]) == 2
    assert "toy.csv is not there" in capsys.readouterr().err
    assert run_command(worker_app, ["--data", "moved.csv", "--cache-dir", "elsewhere", "--trials", "2"]) == 0
    assert len(toy.load().trials) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "nothing"], "There is no study 'nothing'"),
        (["--storage", "sqlite:///no/such/folder/study.db"], "does not exist"),
        (["--trials", "0"], "--trials"),
    ],
)
def test_a_bad_call_of_a_worker_is_a_one_line_error(
    arguments: list[str], message: str, toy: Any, capsys: Capture
) -> None:
    toy.searched("--trials", 1)
    capsys.readouterr()
    assert run_command(worker_app, arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
