"""One process at a time holds the lock, and the others say what they are waiting for."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from study.storage.connection import close_storage, open_storage
from study.storage.study_lock import study_lock

HOLDER = """
import os, signal, sys
from study.storage.study_lock import study_lock
from study.storage.connection import open_storage

with study_lock(open_storage("sqlite:///study.db"), sys.argv[1]):
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""
WAITER = """
import study.storage.file_lock
from study.storage.study_lock import study_lock
from study.storage.connection import open_storage

study.storage.file_lock.LONG_SECONDS = 0.05
with study_lock(open_storage("sqlite:///study.db"), "s"):
    print("alone")
"""


@contextmanager
def started(program: str, *arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", program, *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def suspended(name: str, *, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is suspended while it keeps others out of the study of that name."""
    with started(HOLDER, name, folder=folder) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
        yield holder


def test_the_process_that_keeps_others_waiting_is_named_once_and_they_continue_after_it(tmp_path: Path) -> None:
    with suspended("s", folder=tmp_path) as holder, started(WAITER, folder=tmp_path) as waiter:
        assert waiter.stderr is not None
        line = waiter.stderr.readline()
        assert line.startswith(f"Note: waiting for process {holder.pid} on ")
        assert "import os, signal, sys" in line
        assert f"kill -CONT {holder.pid}" in line
        with pytest.raises(subprocess.TimeoutExpired):
            waiter.wait(0.5)  # seconds, ten times `LONG_SECONDS`
        holder.send_signal(signal.SIGCONT)
        output, errors = waiter.communicate()
        assert (output, errors) == ("alone\n", "")


def test_a_process_with_a_short_timeout_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with suspended("s", folder=tmp_path):
        storage = open_storage("sqlite:///study.db")
        with pytest.raises(Timeout), study_lock(storage, "s", timeout=0.01):
            pass
        with study_lock(storage, "another study", timeout=0.01):
            pass
        close_storage(storage)


@pytest.mark.slow
def test_workers_report_what_they_wait_for_through_their_supervisor(toy: Any) -> None:
    process = toy.start("--trials", 2, "--workers", 2, "--epochs", 40, "--patience", 40)
    toy.wait_for_running(count=2)
    with suspended("toy-lstm", folder=toy.folder) as holder:
        assert any(line.startswith(f"Note: waiting for process {holder.pid}") for line in process.stdout)
        holder.send_signal(signal.SIGCONT)
        output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "Note: waiting for" not in output
