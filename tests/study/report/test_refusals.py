"""What `study.report` refuses or cannot finish: one line that says what to do, nothing half-written, nothing lost."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from study.command_line import run_command
from study.report import app

Capture = pytest.CaptureFixture[str]
QUICK = ("--top", "1", "--seeds", "1", "--workers", "1")
# Runs the command with a limit on the size of every file, as on a full disk.
ON_A_FULL_DISK = """
import resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from study.report import app
from study.command_line import run_command
sys.exit(run_command(app, sys.argv[2:]))
"""


def refused(capsys: Capture, *arguments: str) -> str:
    """The one line that the command ends with."""
    capsys.readouterr()
    assert run_command(app, [*arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def left_of_reports(folder: Path) -> list[Path]:
    return list((folder / "reports").rglob("*"))


def test_a_missing_database_is_not_created(toy: Any, capsys: Capture) -> None:
    before = set(toy.folder.iterdir())
    assert "There is no file" in refused(capsys)
    assert set(toy.folder.iterdir()) == before


def test_a_database_of_another_program_is_left_unchanged(toy: Any, capsys: Capture) -> None:
    with closing(sqlite3.connect("study.db")) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    before = Path("study.db").read_bytes()
    assert "is a database without studies" in refused(capsys)
    assert toy.run("--trials", 1) == 2
    assert "is a database without studies" in capsys.readouterr().err
    assert Path("study.db").read_bytes() == before


@pytest.mark.parametrize(
    ("version", "way_out"), [("v3.0.0.a", "storage upgrade"), ("v99.0.0.a", "pip install -U optuna")]
)
def test_the_error_for_the_schema_of_another_optuna_says_what_to_do(
    version: str, way_out: str, toy: Any, capsys: Capture
) -> None:
    optuna.create_study(storage="sqlite:///study.db", study_name="toy-lstm", direction="maximize")
    with closing(sqlite3.connect("study.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
        connection.execute("UPDATE version_info SET schema_version = ?", (99 if version == "v99.0.0.a" else 12,))
        connection.commit()
    error = refused(capsys)
    assert "cannot be opened" in error
    assert way_out in error
    assert left_of_reports(toy.folder) == []


def test_a_study_that_is_not_a_search_is_an_error(toy: Any, capsys: Capture) -> None:
    study = optuna.create_study(storage="sqlite:///study.db", study_name="other", direction="maximize")
    study.add_trial(optuna.create_trial(value=1.0))
    assert "There is no study of study.run in" in refused(capsys)
    assert "Names that end with /confirmation" in refused(capsys, "--name", "other/confirmation")
    assert left_of_reports(toy.folder) == []


def test_a_folder_that_holds_more_than_a_report_is_not_replaced(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    assert run_command(app, ["--no-retrain", "--output", "here"]) == 0
    assert run_command(app, ["--no-retrain", "--output", "here"]) == 0
    Path("here/notes.md").write_text("mine")
    assert "notes.md" in refused(capsys, "--no-retrain", "--output", "here")
    assert Path("here/notes.md").read_text() == "mine"
    Path("file").write_text("mine, too")
    assert "it is a file" in refused(capsys, "--no-retrain", "--output", "file")
    assert Path("file").read_text() == "mine, too"


@pytest.mark.slow
@pytest.mark.parametrize("limit", [200_000, 1_000_000], ids=["the weights", "the page"])
def test_a_full_disk_is_a_one_line_error_and_the_same_command_continues(limit: int, toy: Any) -> None:
    assert toy.run("--trials", 1, "--epochs", 1) == 0  # with one epoch, there is no checkpoint
    shutil.rmtree("artifacts")
    command = [sys.executable, "-c", ON_A_FULL_DISK, str(limit), *QUICK]
    done = subprocess.run(command, cwd=toy.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stdout
    assert left_of_reports(toy.folder) == []
    assert not list(toy.folder.rglob("*.writing"))
    assert run_command(app, list(QUICK)) == 0
    assert [trial.state for trial in toy.load(name="toy-lstm/confirmation").trials] == [TrialState.COMPLETE]


def test_a_study_of_another_version_is_a_one_line_error_and_does_not_affect_the_others(
    toy: Any, capsys: Capture
) -> None:
    toy.searched("--trials", 1)
    for name in ("older", "newer"):
        assert toy.run("--trials", 1, "--name", name) == 0
        study = toy.load(name=name)
        stored = study.user_attrs["configuration"]
        if name == "older":  # as before rules existed
            del stored["rules"]
        else:
            stored["base"]["model"]["peepholes"] = True
        study.set_user_attr("configuration", stored)
    assert "another version of this project (its rules are version 1, now" in refused(capsys, "--name", "older")
    assert "peepholes" in refused(capsys, "--name", "newer", "--no-retrain")
    assert "There is no report on older, newer" in refused(capsys, "--no-retrain")
    assert (toy.folder / "reports" / "toy-lstm-search" / "report.html").exists()


@pytest.mark.slow
def test_ctrl_c_at_any_moment_leaves_the_old_report_or_a_new_one(toy: Any) -> None:
    toy.searched("--trials", 3)
    assert run_command(app, list(QUICK)) == 0
    folder = toy.folder / "reports" / "toy-lstm"
    files = {path.relative_to(folder) for path in folder.rglob("*")}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    command = [sys.executable, "-m", "study.report", *QUICK]
    start = time.perf_counter()
    subprocess.run(command, cwd=toy.folder, check=True, **pipes)
    whole = time.perf_counter() - start
    ended = []
    for tenths in (3, 5, 6, 7, 8, 9, 10):
        with subprocess.Popen(command, cwd=toy.folder, **pipes) as process:
            try:
                output, _ = process.communicate(timeout=whole * tenths / 10)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate()
        ended.append(process.returncode)
        assert "Traceback" not in output
        last = ("", *output.splitlines())[-1]  # empty if it came before the command itself started
        assert last == "" or last.startswith(("Interrupted.", "Browse:")), output
        assert {path.relative_to(folder) for path in folder.rglob("*")} == files
        assert [path.name for path in folder.parent.iterdir()] == ["toy-lstm"]
    assert 130 in ended


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--name", "nothing"], "There is no study 'nothing'"),
        (["--storage", "sqlite:///none/study.db"], "does not exist"),
        (["--top", "0"], "--top"),
        (["--audit", "-1"], "--audit"),
        (["--audit", "2"], "--top, --seeds, --audit and --refit say what to train, --no-retrain trains nothing"),
        (["--refit"], "--refit say what to train, --no-retrain trains nothing"),
        (["--retrain", "--refit", "--single"], "leave out one"),
        (["--output", "toy.csv/report"], "cannot be written"),
    ],
)
def test_a_bad_call_is_a_one_line_error_and_writes_nothing(
    arguments: list[str], message: str, toy: Any, capsys: Capture
) -> None:
    toy.searched("--trials", 1)
    capsys.readouterr()
    assert message in refused(capsys, "--no-retrain", *arguments)
    assert not (toy.folder / "reports").exists() or not list((toy.folder / "reports").iterdir())
