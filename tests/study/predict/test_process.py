"""`study.predict` as a process of its own: with standard input, at a terminal, and `--help`."""

import os
import signal
import subprocess
import sys

import pytest

from models.learners.classifier import TextClassifier

PROGRAM = (sys.executable, "-m", "study.predict")


def test_lines_of_standard_input_are_labelled_whatever_their_bytes(classifier: TextClassifier) -> None:
    content = b"court judge\r\n\n\xff\xfe broken\nsurgeon"
    result = subprocess.run(PROGRAM, input=content, capture_output=True, check=True)
    predictions = classifier.predictions(["court judge", "", "broken", "surgeon"])
    assert [line.split("\t")[1] for line in result.stdout.decode().splitlines()] == [
        f"{share:.4f}" for share in predictions.probabilities.max(axis=1)
    ]
    shell = f"'{sys.executable}' -m study.predict | head -n 1; exit ${{PIPESTATUS[0]}}"
    cut = subprocess.run(["bash", "-c", shell], input=b"court\n" * 20_000, capture_output=True, check=False)
    assert cut.returncode in (0, 128 + signal.SIGPIPE)  # it may end before `head` does
    assert cut.stdout.count(b"\n") == 1
    assert b"Traceback" not in cut.stderr


def test_the_command_does_not_wait_for_input_from_a_terminal(classifier: TextClassifier) -> None:
    del classifier
    terminal, other = os.openpty()
    result = subprocess.run(PROGRAM, stdin=other, capture_output=True, text=True, timeout=60, check=False)
    os.close(terminal)
    os.close(other)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "Error: Give texts, or --input FILE, or pipe in a text a line; see --help.\n"


def test_help_answers_at_once_with_every_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command = [sys.executable, "-X", "importtime", "-m", "study.predict", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & {"torch", "optuna", "pandas", "numpy", "pyarrow"}
    for default in ("(the newest reports/*/model)", "(the one of the training)", "label", "probability"):
        assert f"[default: {default}]" in result.stdout
    assert "--input new.csv --output labelled.csv" in result.stdout
