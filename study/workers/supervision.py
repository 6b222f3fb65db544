"""Workers as processes of their own: started, watched, replaced when they die, and stopped.

What they do is seen in the storage, not told by them: so it does not matter where a worker runs.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from study.errors import StudyError
from study.signals import hold_signals
from study.storage.queries import finished_trials
from study.storage.trial_queue import TrialQueue

LOOK_SECONDS = 0.1  # how often to look whether a worker has ended
SHOW_SECONDS = 1.0  # how often to look into the storage
STOP_SECONDS = 3.0  # how long a worker may take to put its trial back before it is killed
DEATHS_IN_A_ROW = 10  # so many workers die without an epoch between, and the run ends
ENDS_ALL = 4  # the exit code of a worker that knows that no other can go on, either
NOTE = "Note: "  # how a line begins that the user should see
ERROR = "Error: "  # how the line begins by which a command says why it ends


class WorkerError(StudyError):
    """The workers cannot go on. The message is theirs."""

    exit_code = 1


class Worker(Protocol):
    """A process of `study.worker`, wherever it runs."""

    number: int

    @property
    def exit_code(self) -> int | None: ...
    def new_lines(self) -> list[str]: ...
    def ask_to_stop(self) -> None: ...
    def wait(self, seconds: float) -> None: ...


class LocalWorker:
    """A process of `study.worker` that ends when this one does, and is left alone by the terminal's Ctrl-C."""

    def __init__(self, number: int, arguments: Sequence[str], environment: dict[str, str]) -> None:
        self.number = number
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `wait`
        self._read = 0  # bytes of what it has written to standard error
        self._process = subprocess.Popen(
            [sys.executable, "-m", "study.worker", "--supervised", *arguments],
            stdin=subprocess.PIPE,  # never written to: it closes when this process dies, and the worker sees that
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=os.environ | environment,
            process_group=0,
        )

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def new_lines(self) -> list[str]:
        """What it has written to standard error since the last time."""
        content = os.pread(self._errors.fileno(), 1 << 20, self._read)
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        return whole.decode(errors="replace").splitlines()

    def ask_to_stop(self) -> None:
        self._process.terminate()

    def wait(self, seconds: float) -> None:
        """Until it has ended; it is killed when that takes too long."""
        try:
            self._process.wait(max(seconds, 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._errors.close()


def supervise(
    queue: TrialQueue,
    start_worker: Callable[[int], Worker],
    *,
    workers: int,
    trials: int,
    homogeneous: bool,
    on_change: Callable[[], None],
    on_event: Callable[[str], None],
) -> None:
    """Keep `workers` processes at work until they say that nothing is left to do.

    `homogeneous`: what one of them cannot do, none can; otherwise, as on several machines, the others go on without it.
    `on_change` is called about once a second, `on_event` with a sentence for the user. However it ends, no worker is
    left. Raises `WorkerError` when they cannot go on.
    """
    team: list[Worker] = []
    watch = _DeathWatch(queue, on_event)
    last_lines: dict[Worker, str] = {}
    told: set[str] = set()
    shown = 0.0
    try:
        team += (start_worker(number) for number in range(1, workers + 1))
        while team:
            time.sleep(LOOK_SECONDS)
            for worker in list(team):
                code = worker.exit_code
                for line in worker.new_lines():
                    if line.startswith(NOTE):
                        if line not in told:  # by another worker
                            on_event(line)
                        told.add(line)
                    else:
                        last_lines[worker] = line
                if code is None:
                    continue
                team.remove(worker)
                worker.wait(0)
                error = last_lines.pop(worker, "")
                if code and error.startswith(ERROR):
                    if homogeneous or not team or code == ENDS_ALL:
                        raise WorkerError(error.removeprefix(ERROR))
                    on_event(f"{NOTE}worker {worker.number} has left: {error.removeprefix(ERROR)}")
                elif code:
                    watch.died(worker.number, _reason(code, error))
                    if len(finished_trials(queue.study)) < trials:
                        team.append(start_worker(worker.number))
            if time.monotonic() - shown > SHOW_SECONDS:
                shown = time.monotonic()
                on_change()
        on_change()
    except BaseException:
        hold_signals()
        for worker in team:
            worker.ask_to_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in team:
            worker.wait(deadline - time.monotonic())
        queue.release()
        raise


class _DeathWatch:
    """Tells of workers that have died, and knows when it is no use to go on."""

    def __init__(self, queue: TrialQueue, on_event: Callable[[str], None]) -> None:
        self._queue = queue
        self._on_event = on_event
        self._in_a_row = 0
        self._progress = self._epochs()

    def died(self, number: int, reason: str) -> None:
        """Put back what the worker ran. Raises `WorkerError` when too many die."""
        put_back = self._queue.recover()
        what = ", ".join(f"trial {trial.number}" for trial in put_back)
        self._on_event(f"{NOTE}worker {number} {reason}; it is replaced{f', {what} goes on' if what else ''}.")
        progress = self._epochs()
        self._in_a_row = 1 if progress != self._progress else self._in_a_row + 1
        self._progress = progress
        if self._in_a_row >= DEATHS_IN_A_ROW:
            raise WorkerError(f"{DEATHS_IN_A_ROW} workers have died in a row, the last one {reason}. Fix the cause.")

    def _epochs(self) -> int:
        """Epochs that have been reported so far, and trials that have ended."""
        trials = self._queue.study.get_trials(deepcopy=False)
        return sum(len(trial.intermediate_values) + trial.state.is_finished() for trial in trials)


def _reason(code: int, error: str) -> str:
    if code > 0:
        return f"ended with {error or f'exit code {code}'}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    return f"was killed by {name}{' (out of memory?)' if -code == signal.SIGKILL else ''}"
