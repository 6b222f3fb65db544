"""`study.look` as a user meets it: lines, a page, and refusals that a search has, too."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.command_line import run_command
from study.look import app
from study.run import app as run_app

Capture = pytest.CaptureFixture[str]
WriteCsv = Callable[[list[tuple[str, str]]], Path]


def test_lines_and_a_page_tell_what_is_in_the_texts(toy: Any, capsys: Capture) -> None:
    assert run_command(app, ["--data", str(toy.csv), "--output", "look.html", "--cache-dir", "cache"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Texts: 144 for training, 18 for validation, 18 held back for the test; 3 classes." in lines
    assert "Note: 180 rows read (separated by commas, UTF-8)." in lines
    assert lines[-1] == "Written: look.html"
    (estimate,) = [line for line in lines if line.startswith("A search of 50 trials")]
    assert "will take about 1 min here" in estimate
    (linear,) = [line for line in lines if line.startswith("A linear model of 144 training texts")]
    assert "accuracy of 1.0000" in linear
    page = Path("look.html").read_text()
    for part in ("The texts", "Sizes of the classes", "Words that tell the classes", "surgeon"):
        assert part in page
    assert "<script" not in page


def test_the_test_split_stays_closed(marked_csv: Path, toy: Any, capsys: Capture) -> None:
    del toy
    assert run_command(app, ["--data", str(marked_csv), "--output", "look.html", "--cache-dir", "cache"]) == 0
    assert "testword" not in capsys.readouterr().out + Path("look.html").read_text()


@pytest.mark.parametrize("command", [app, run_app])
def test_texts_that_make_a_study_senseless_are_refused_by_a_look_and_by_a_search(
    command: Any, write_csv: WriteCsv, toy: Any, capsys: Capture
) -> None:
    del toy
    path = write_csv([("ham", f"text {number}") for number in range(100)] + [("spam", "a"), ("spam", "b")])
    assert run_command(command, ["--data", str(path)]) == 2
    assert "Validation has texts of one class, 'ham', so that all scores would mean nothing" in capsys.readouterr().err
    path = write_csv([("ab"[number % 2], "the same text") for number in range(100)])
    assert run_command(command, ["--data", str(path)]) == 2
    assert "have the same text. Is --text-column right?" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_one_line(toy: Any, capsys: Capture) -> None:
    assert run_command(app, ["--data", str(toy.csv), "--output", "nowhere/look.html", "--cache-dir", "cache"]) == 2
    assert "nowhere/look.html cannot be written: No such file or directory" in capsys.readouterr().err
    assert run_command(app, ["--data", str(toy.csv), "--output", "."]) == 2
    assert ". is a folder; name a file with --output." in capsys.readouterr().err


def test_help_answers_at_once() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "study.look", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & {"torch", "optuna", "pandas", "numpy", "pyarrow"}
