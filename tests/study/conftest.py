"""Real studies of a toy corpus: each trial trains for a fraction of a second."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import psutil
import pytest
import torch
from optuna.trial import TrialState
from sqlalchemy.pool import NullPool

from models.bert_learner import _features_found
from study.command_line import run_command
from study.run import app
from study.storage.connection import close_storage, open_storage
from study.trials.repeats import _prepare

TABLE = ("number", "state", "params", "value", "intermediate_values")
QUICK = ("--epochs", "3", "--max-tokens", "20", "--workers", "1")


def _precision(arguments: tuple[object, ...]) -> tuple[str, ...]:
    """Not measured, since the time of so small texts tells nothing, and runs are compared bit for bit."""
    return () if {"linear", "--precision"} & set(map(str, arguments)) else ("--precision", "float32")


@dataclass(frozen=True)
class ToyStudies:
    """`study.run` on the toy corpus in its own folder, and what it leaves there."""

    csv: Path
    copies: Path  # of the folder, by what was searched there
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.csv.parent

    def run(self, *arguments: object) -> int:
        """Call the command in this process; returns the exit code."""
        return run_command(app, ["--data", str(self.csv), *QUICK, *_precision(arguments), *map(str, arguments)])

    def searched(self, *arguments: object) -> None:
        """Fill an empty folder with what `run` leaves there; it runs once for the same arguments, others get a copy.

        This is for tests that start from a finished search; they do not see what it printed.
        """
        assert list(self.folder.iterdir()) == [self.csv]
        facts = f"{self.csv.read_text()} {arguments}"
        copy = self.copies / hashlib.sha256(facts.encode()).hexdigest()
        if not copy.exists():
            with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # so that no test sees it
                assert self.run(*arguments) == 0
            shutil.copytree(self.folder, copy)
        shutil.copytree(copy, self.folder, dirs_exist_ok=True)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start the command as a separate process, which is ended with the test."""
        pipe, env = subprocess.PIPE, os.environ | environment
        options = [*QUICK, *_precision(arguments), *map(str, arguments)]
        command = [sys.executable, "-m", "study.run", "--data", self.csv.name, *options]
        process = subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=subprocess.STDOUT, text=True, env=env)
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End what is still running in the folder, so that a failed test fails alone and the next one has its own."""
        for process in self.started:
            if process.returncode is None:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()
        left = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == str(self.folder)]
        for other in left:  # a worker whose parent was killed
            if other.pid != os.getpid():
                other.kill()
        psutil.wait_procs([other for other in left if other.pid != os.getpid()], timeout=60)

    def load(self, name: str = "toy-lstm", file: str = "study.db", url: str | None = None) -> optuna.Study:
        storage = optuna.storages.RDBStorage(
            url or f"sqlite:///{self.folder / file}",
            engine_kwargs={"poolclass": NullPool},  # leaves no connection open
        )
        return optuna.load_study(study_name=name, storage=storage)

    def wait_for_running(self, count: int = 1, step: int = 0, **study: str) -> None:
        """Wait until this many running trials have reported the epoch `step`."""
        deadline = time.monotonic() + 300  # the machine may be slow, and busy
        while time.monotonic() < deadline:
            time.sleep(0.1)
            with suppress(KeyError, optuna.exceptions.StorageInternalError):  # there is no study yet
                trials = self.load(**study).get_trials(deepcopy=False, states=(TrialState.RUNNING,))
                if sum(trial.last_step is not None and trial.last_step >= step for trial in trials) >= count:
                    return
        pytest.fail("The workers did not get to work.")

    def table(self, **study: str) -> list[dict[str, Any]]:
        """What must be the same when a study is run again: everything except times."""
        return [
            {**{column: getattr(trial, column) for column in TABLE}, "curve": trial.user_attrs.get("curve")}
            for trial in self.load(**study).trials
        ]


@pytest.fixture
def toy_csv(toy_frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus in a folder with the same name in each test, so that studies, which store paths, can be copied."""
    folder = tmp_path_factory.getbasetemp() / "toy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    toy_frame.to_csv(folder / "toy.csv", index=False)
    return folder / "toy.csv"


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture
def study(tmp_path: Path) -> Iterator[optuna.Study]:
    """A study without trials."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    yield optuna.create_study(study_name="toy", storage=storage, direction="maximize")
    close_storage(storage)


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer resamples, for tests that show importances and interactions but do not check their intervals."""
    monkeypatch.setattr("study.analysis.findings.RESAMPLES", 10)
    monkeypatch.setattr("study.analysis.interaction.RESAMPLES", 10)


@pytest.fixture
def pictures() -> None:
    """For tests that look at the pictures of trials; other tests of the toy corpus draw none, since that takes time."""


@pytest.fixture
def toy(
    toy_csv: Path,
    copies: Path,
    few_resamples: None,  # noqa: ARG001
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ToyStudies]:
    _prepare.cache_clear()  # it remembers folders of the last test, which had the same paths
    _features_found.clear()
    torch.set_num_threads(2)  # so that a test can see that training sets it to one
    draws_pictures = "pictures" in request.fixturenames
    if not draws_pictures:
        monkeypatch.setattr("study.trials.artifacts.write_pictures", lambda *_: None)
    monkeypatch.chdir(toy_csv.parent)
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = [signal.getsignal(number) for number in signals]  # the command sets its own, for the whole process
    for number in signals:  # none may be ignored, as SIGINT is if a shell runs the tests in the background
        signal.signal(number, signal.default_int_handler)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    studies = ToyStudies(toy_csv, copies / str(draws_pictures))
    yield studies
    studies.stop()
    for number, handler in zip(signals, handlers, strict=True):
        signal.signal(number, handler)
    torch.set_num_threads(1)


@pytest.fixture
def still_alive() -> Callable[[list[psutil.Process], float], list[psutil.Process]]:
    """The processes that have not ended after this many seconds.

    A zombie has ended: when the system removes it, after the end of its parent, is beyond our control.
    """

    def look(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
        deadline = time.monotonic() + seconds
        while alive := [process for process in processes if not _has_ended(process)]:
            if time.monotonic() > deadline:
                return alive
            time.sleep(0.02)
        return []

    return look


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@dataclass(frozen=True)
class PostgresServer:
    """A real server on loopback with a data directory of its own."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql://study:secret@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        (self.folder / "password").write_text("secret\n")
        self._run("initdb", "-A", "scram-sha-256", "-U", "study", f"--pwfile={self.folder / 'password'}", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-o", options, "-l", str(self.folder / "log"), "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-m", "fast", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        command = [self.programs / program, "-D", self.folder / "data", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **user)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))  # Debian does not put these on the path
    program = shutil.which("initdb") or (str(found[-1]) if found else None)
    if program is None:
        if "CI" in os.environ:
            pytest.fail("PostgreSQL is not installed.")
        pytest.skip("PostgreSQL is not installed.")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="study-postgres-") as name:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(name, "postgres", "postgres")
        server = PostgresServer(Path(program).resolve().parent, Path(name), port)
        server.create()
        server.start()
        yield server
        server.stop()
