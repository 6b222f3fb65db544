"""Real studies of a toy corpus: each trial trains for a fraction of a second."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest

from study.command_line import run_command
from study.run import app

TABLE = ("number", "state", "params", "value", "intermediate_values")
QUICK = ("--epochs", "3", "--max-tokens", "20", "--workers", "1")


@dataclass(frozen=True)
class ToyStudies:
    """`study.run` on the toy corpus in its own folder, and what it leaves there."""

    csv: Path

    @property
    def folder(self) -> Path:
        return self.csv.parent

    def run(self, *arguments: object) -> int:
        """Call the command in this process; returns the exit code."""
        return run_command(app, ["--data", str(self.csv), *QUICK, *map(str, arguments)])

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        """Start the command as a process of its own."""
        command = [sys.executable, "-m", "study.run", "--data", self.csv.name, *QUICK, *map(str, arguments)]
        return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def load(self, name: str = "toy-lstm", file: str = "study.db") -> optuna.Study:
        return optuna.load_study(study_name=name, storage=f"sqlite:///{self.folder / file}")

    def table(self, **study: str) -> list[dict[str, Any]]:
        """What must be the same when a study is run again: all but times."""
        return [
            {**{column: getattr(trial, column) for column in TABLE}, "curve": trial.user_attrs.get("curve")}
            for trial in self.load(**study).trials
        ]


@pytest.fixture
def toy(toy_csv: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ToyStudies]:
    monkeypatch.chdir(toy_csv.parent)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]  # the command sets its own, for the whole process
    for number in signals:  # none is ignored, as SIGINT is where a shell has started the tests in the background
        signal.signal(number, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield ToyStudies(toy_csv)
    for number, handler in zip(signals, handlers, strict=True):
        signal.signal(number, handler)
