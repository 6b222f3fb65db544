"""Starts worker processes, watches them, replaces those that die, and stops them.

Their progress is read from the storage, so that it does not matter where a worker runs.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from study.errors import StudyError
from study.signals import hold_signals
from study.storage.queries import finished_trials
from study.storage.trial_queue import TrialQueue

LOOK_SECONDS = 0.1  # how often to check whether a worker has ended
SHOW_SECONDS = 1.0  # how often to read the storage
STOP_SECONDS = 3.0  # how long a worker may take to stop before it is killed
DEATHS_IN_A_ROW = 10  # without an epoch in between: then the run ends
ENDS_ALL = 4  # the exit code of a worker whose error would stop all others, too
NOTE = "Note: "  # prefix of a line for the user
ERROR = "Error: "  # prefix of the line with the reason why a command ends


class WorkerError(StudyError):
    """The workers cannot continue. The message is theirs."""

    exit_code = 1


class Worker(Protocol):
    """A `study.worker` process, wherever it runs."""

    number: int

    @property
    def exit_code(self) -> int | None: ...
    def new_lines(self) -> list[str]: ...
    def ask_to_stop(self) -> None: ...
    def wait(self, seconds: float) -> None: ...


class LocalWorker:
    """A `study.worker` process that ends with this process, and does not get the terminal's Ctrl-C."""

    def __init__(self, number: int, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.number = number
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `wait`
        self._read = 0  # bytes of its standard error
        paths = [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "study.worker", "--supervised", *arguments],  # -P: not out of this folder
            stdin=subprocess.PIPE,  # closes when this process dies, which the worker notices
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | environment,
            process_group=0,
        )

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def new_lines(self) -> list[str]:
        """The lines written to standard error since the last call."""
        content = os.pread(self._errors.fileno(), 1 << 20, self._read)
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Wait until it has ended; kill it when that takes too long."""
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._errors.close()


class Team:
    """Worker processes: watched, replaced when they die, and stopped at the end of the context.

    `trials`: once so many have finished, a dead worker is not replaced; None: it always is. `homogeneous`: an error of
    one worker would occur in all; otherwise, as on several machines, the others continue. `on_event` is called with a
    sentence for the user.
    """

    def __init__(
        self,
        queue: TrialQueue,
        start_worker: Callable[[int], Worker],
        *,
        trials: int | None,
        homogeneous: bool = True,
        on_event: Callable[[str], None],
    ) -> None:
        self._workers: list[Worker] = []
        self._queue, self._start_worker, self._on_event = queue, start_worker, on_event
        self._trials, self._homogeneous = trials, homogeneous
        self._watch = _DeathWatch(queue, on_event)
        self._last_lines: dict[Worker, str] = {}
        self._notes: set[str] = set()

    def __enter__(self) -> "Team":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            hold_signals()
        self._stop()
        if kind is not None:
            self._queue.release()

    def __len__(self) -> int:
        return len(self._workers)

    def grow(self, workers: int) -> None:
        """Start what is missing of so many workers."""
        for number in range(len(self) + 1, workers + 1):
            self._start(number)

    def watch(self) -> bool:
        """Watch for about a second; returns whether a worker is left. Raises `WorkerError` if they cannot continue."""
        end = time.monotonic() + SHOW_SECONDS
        while self._workers and time.monotonic() < end:
            time.sleep(LOOK_SECONDS)
            for worker in list(self._workers):
                self._look_at(worker)
        return bool(self._workers)

    def _start(self, number: int) -> None:
        self._workers.append(self._start_worker(number))

    def _look_at(self, worker: Worker) -> None:
        """Pass on its messages, and handle its end. Raises `WorkerError` when the others cannot continue."""
        code = worker.exit_code
        for line in worker.new_lines():
            if not line.startswith(NOTE):
                self._last_lines[worker] = line
            elif line not in self._notes:  # printed once for all workers
                self._notes.add(line)
                self._on_event(line)
        if code is not None:
            self._workers.remove(worker)
            worker.wait(0)
            self._has_ended(worker.number, code, self._last_lines.pop(worker, ""))

    def _stop(self) -> None:
        """Ask all workers to stop, and kill those that take too long."""
        for worker in self._workers:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.wait(deadline - time.monotonic())
        self._workers.clear()

    def _has_ended(self, number: int, code: int, error: str) -> None:
        if code and error.startswith(ERROR):
            if self._homogeneous or not self._workers or code == ENDS_ALL:
                raise WorkerError(error.removeprefix(ERROR))
            self._on_event(f"{NOTE}worker {number} has left: {error.removeprefix(ERROR)}")
        elif code:
            self._watch.died(number, _reason(code, error))
            if self._trials is None or len(finished_trials(self._queue.study)) < self._trials:
                self._start(number)


class _DeathWatch:
    """Reports workers that have died, and gives up when too many do."""

    def __init__(self, queue: TrialQueue, on_event: Callable[[str], None]) -> None:
        self._queue = queue
        self._on_event = on_event
        self._in_a_row = 0
        self._progress = self._epochs()

    def died(self, number: int, reason: str) -> None:
        """Put the worker's trial back into the queue. Raises `WorkerError` when too many die."""
        put_back = self._queue.recover()
        what = ", ".join(f"trial {trial.number}" for trial in put_back)
        self._on_event(f"{NOTE}worker {number} {reason}; it is replaced{f', and {what} continues' if what else ''}.")
        progress = self._epochs()
        self._in_a_row = 1 if progress != self._progress else self._in_a_row + 1
        self._progress = progress
        if self._in_a_row >= DEATHS_IN_A_ROW:
            raise WorkerError(f"{DEATHS_IN_A_ROW} workers have died in a row, the last one {reason}. Fix the cause.")

    def _epochs(self) -> int:
        """The number of epochs reported so far and of trials that have ended."""
        trials = self._queue.study.get_trials(deepcopy=False)
        return sum(len(trial.intermediate_values) + trial.state.is_finished() for trial in trials)


def _reason(code: int, error: str) -> str:
    if code > 0:
        return f"ended with {error or f'exit code {code}'}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"
