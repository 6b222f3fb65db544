"""Commands in situations that are not their fault: other modules in the way, no input, a console without UTF-8."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.learners.classifier import TextClassifier
from study.command_line import run_command
from study.look import app as look
from study.predict import app as predict
from study.run import app as run

Capture = pytest.CaptureFixture[str]


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_modules_in_the_current_folder_are_not_taken_for_those_of_the_program(classifier: TextClassifier) -> None:
    for name in ("models", "data", "rich", "torch", "json"):
        Path(f"{name}.py").write_text("raise RuntimeError('the user's own')")
    result = start(sys.executable, "-m", "study.predict", "court")
    assert result.stderr == "Model: reports/study/model, the newest under reports\n"
    assert result.stdout.split("\t")[0] == " ".join(classifier.predict(["court"])[0].split())


def test_a_text_that_begins_like_an_option_is_told_as_such(classifier: TextClassifier) -> None:
    del classifier
    result = start(sys.executable, "-m", "study.predict", "-5 degrees tonight")
    assert result.returncode == 2
    assert result.stderr == (
        "Error: No such option: -5 . If it is a text, put -- before it: study.predict -- TEXT.\n"
        if "-5 ." in result.stderr
        else "Error: No such option: -5. If it is a text, put -- before it: study.predict -- TEXT.\n"
    )
    assert start(sys.executable, "-m", "study.predict", "--", "-5 degrees tonight").returncode == 0


def test_a_closed_standard_input_is_one_line(classifier: TextClassifier) -> None:
    del classifier
    result = start("bash", "-c", f"'{sys.executable}' -m study.predict <&-")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: Give texts, or --input FILE, or pipe in a text a line; see --help.\n"


def test_a_console_without_utf_8_gets_other_characters(write_model: Callable[..., None], toy: Any) -> None:
    write_model(toy.folder / "reports" / "été" / "model")
    config = toy.folder / "reports" / "été" / "model" / "config.json"
    config.write_text(config.read_text().replace('"7"', '"été"').replace('"art"', '"été2"'))
    result = start(sys.executable, "-m", "study.predict", "--top", "3", "court", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "?t?" in result.stdout
    assert "reports/?t?/model" in result.stderr


@pytest.mark.slow
def test_a_search_whose_output_nobody_reads_ends_as_after_ctrl_c_and_continues(toy: Any) -> None:
    options = "--data toy.csv --model linear --trials 4 --workers 1"
    result = start("bash", "-c", f"'{sys.executable}' -m study.run {options} | head -n 2; exit ${{PIPESTATUS[0]}}")
    assert (result.returncode, result.stderr) == (130, "")
    assert len(result.stdout.splitlines()) == 2
    assert run_command(run, options.split()) == 0
    assert [trial.state.name for trial in toy.load("toy-linear").trials] == ["COMPLETE"] * 4


def test_the_home_folder_is_meant_by_a_tilde_in_every_option(
    toy: Any, monkeypatch: pytest.MonkeyPatch, write_model: Callable[..., None], capsys: Capture
) -> None:
    home = toy.folder / "home"
    (home / "c").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    (home / "t.csv").write_bytes(toy.csv.read_bytes())
    folders = ["--cache-dir", "~/c", "--artifact-dir=~/a", "--storage", "sqlite:///~/s.db"]
    options = ["--data", "~/t.csv", "--model", "linear", "--trials", "1", "--workers", "1"]
    assert run_command(run, [*options, *folders]) == 0
    assert run_command(look, ["--data", "~/t.csv", "--cache-dir=~/c", "--output", "~/look.html"]) == 0
    write_model(home / "m")
    files = ["--input", "~/t.csv", "--output=~/out.csv", "--text-column", "description_pre"]
    assert run_command(predict, ["--model", "~/m", *files]) == 0
    assert {path.name for path in home.iterdir()} >= {"a", "c", "s.db", "look.html", "out.csv"}
    assert not [path for path in toy.folder.iterdir() if "~" in path.name]
    capsys.readouterr()
