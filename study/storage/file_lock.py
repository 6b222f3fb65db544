"""A file lock that records its holder, so that a long wait for a suspended process can be explained."""

import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

LONG_SECONDS = 5.0  # work within a lock takes a hundredth of that


@contextmanager
def file_lock(file: Path, *, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock on this file among all processes; a note on standard error names the holder after a long wait.

    Raises `filelock.Timeout` after `timeout` seconds.
    """
    lock, holder = FileLock(file, poll_interval=0.01), file.with_suffix(".holder")
    _acquire(lock, holder, timeout)
    try:
        with suppress(OSError):  # on a full disk, those who wait only lack the name
            holder.write_text(f"{os.getpid()} {socket.gethostname()} {shlex.join(sys.orig_argv)[:200]}")
        yield
    finally:
        with suppress(OSError):
            holder.write_text("")  # so that this name never stands for the next holder
        lock.release()


def _acquire(lock: FileLock, holder: Path, timeout: float | None) -> None:
    """Where many wait, the lock passes from one to the next: the note is only for a holder that does not change."""
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
        return f"another process holds {holder.with_suffix('.lock')} and makes no progress. End it, if it is suspended."
    return (
        f"waiting for process {process} on {host} ({command}), which has locked the database and makes no progress. "
        f"If it is suspended, continue it with kill -CONT {process}, or end it with kill -KILL {process}: nothing is "
        "lost."
    )
