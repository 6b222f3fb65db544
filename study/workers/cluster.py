"""Workers on the machines of a Dask cluster: each task starts `study.worker` as a process there.

Not in the task's thread, since Dask's threads share a process and so torch's random state. Results go through the
study's storage; Dask only decides where a worker runs.
"""

import logging
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distributed import Client, Future, Status, get_worker

from study.command_line import STORAGE_VARIABLE
from study.errors import StudyError
from study.workers.supervision import ENDS_ALL, ERROR, STOP_SECONDS, LocalWorker

LOOK_SECONDS = 0.5  # how often a task checks its process
CONNECT_SECONDS = 15

SCHEDULER_GONE = f"{ERROR}The Dask scheduler is gone. Nothing is lost; start the same command again when it is back."


class Secret:
    """A string that is not shown in logs: Dask logs the arguments of tasks that fail."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return "***"


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """Connect to the scheduler. Raises `StudyError` when it does not answer."""
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # we report a lost scheduler ourselves, in one line
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False, name="study.run")
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise StudyError(f"No Dask scheduler answers at {address} ({reason}). Check --cluster.") from None
    with client:
        yield client


def default_workers(client: Client) -> int:
    """The number of tasks that the cluster can run at a time. Raises `StudyError` when it has no workers."""
    slots = int(sum(client.nthreads().values()))
    if slots == 0:
        raise StudyError("The Dask cluster has no workers yet; start some, or say how many will come with --workers.")
    return slots


class ClusterWorker:
    """A `study.worker` process on a machine of the cluster; Dask restarts it when that machine is lost."""

    def __init__(self, client: Client, number: int, arguments: Sequence[str], url: str) -> None:
        self.number = number
        self._client = client
        key = f"study-worker-{number}-{secrets.token_hex(4)}"
        self._result: tuple[int, list[str]] | None = None
        self._future: Future = client.submit(run_on_node, number, list(arguments), Secret(url), key=key, pure=False)

    @property
    def exit_code(self) -> int | None:
        if self._result is None and self._future.status != "pending":
            self._result = self._fetch()
        elif self._result is None and self._client.status not in ("running", "connecting"):
            self._result = ENDS_ALL, [SCHEDULER_GONE]
        return self._result[0] if self._result else None

    def new_lines(self) -> list[str]:
        """The lines that it wrote to standard error; empty until it has ended."""
        if self._result is None:
            return []
        lines, self._result = self._result[1], (self._result[0], [])
        return lines

    def _fetch(self) -> tuple[int, list[str]]:
        """The result of the task, or the reason why there is none."""
        if self._future.status == "finished":
            try:
                return self._future.result(timeout=CONNECT_SECONDS)  # type: ignore[no-any-return]
            except (OSError, TimeoutError):
                return 1, ["the loss of its node"]
        if self._future.status == "error":
            return 1, [" ".join(str(self._future.exception(timeout=CONNECT_SECONDS)).split())]
        return ENDS_ALL, [SCHEDULER_GONE]

    def ask_to_stop(self) -> None:
        self._future.cancel()

    def wait(self, seconds: float) -> None:
        """Return at once: the worker is ended by its machine."""


def run_on_node(number: int, arguments: list[str], url: Secret) -> tuple[int, list[str]]:
    """Run a worker until it ends or the task is cancelled; returns its exit code and the lines of standard error."""
    node = get_worker()
    key = node.get_current_task()
    worker = LocalWorker(number, arguments, {STORAGE_VARIABLE: url.text})
    try:
        while worker.exit_code is None:
            task = node.state.tasks.get(key)
            is_cancelled = task is None or task.state == "cancelled"  # also when the client that asked for it is gone
            if is_cancelled or node.status not in (Status.running, Status.paused):  # also when its scheduler is gone
                return -signal.SIGTERM, []
            time.sleep(LOOK_SECONDS)
        return worker.exit_code, worker.new_lines()
    finally:
        worker.ask_to_stop()
        worker.wait(STOP_SECONDS)
