"""A lock on a file that says who holds it: a process that was suspended must not keep the others waiting silently."""

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LONG_SECONDS = 5.0  # what is done within a lock takes a hundredth of that


@contextmanager
def file_lock(file: Path, *, timeout: float | None = None) -> Iterator[None]:
    """Alone among all processes that ask for this file; a note on standard error tells whom a long wait is for.

    Raises `filelock.Timeout` after `timeout` seconds.
    """
    lock, holder = FileLock(file, poll_interval=0.01), file.with_suffix(".holder")
    _acquire(lock, holder, timeout)
    try:
        with suppress(OSError):  # a full disk takes no more than the name from those who wait
            holder.write_text(f"{os.getpid()} {socket.gethostname()} {shlex.join(sys.orig_argv)[:200]}")
        yield
    finally:
        with suppress(OSError):
            holder.write_text("")  # one that is suspended before it has written its own name is not taken for this one
        lock.release()


def _acquire(lock: FileLock, holder: Path, timeout: float | None) -> None:
    """Where many wait, the lock passes from one to the next: only one who keeps it is told of."""
    if timeout is not None:
        lock.acquire(timeout)
        return
    has_noted = False
    while not lock.is_locked:
        before = _last_change(holder)
        try:
            lock.acquire(LONG_SECONDS)
        except Timeout:
            if not has_noted and _last_change(holder) == before:
                print(f"Note: {_describe(holder)}", file=sys.stderr, flush=True)
                has_noted = True


def _last_change(holder: Path) -> int | None:
    with suppress(OSError):
        return holder.stat().st_mtime_ns
    return None


def _describe(holder: Path) -> str:
    try:
        process, host, command = " ".join(holder.read_text().split()).split(" ", 2)
    except (OSError, ValueError):
        return f"another process holds {holder.with_suffix('.lock')} and does not go on. End it, if it is suspended."
    return (
        f"waiting for process {process} on {host} ({command}), which keeps others out of the database and does not go "
        f"on. If it is suspended, continue it with kill -CONT {process}, or end it with kill -KILL {process}: nothing "
        "is lost."
    )
