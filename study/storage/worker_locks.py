"""The lock files that show which workers of this machine are alive.

The kernel releases a process's lock when the process ends, however it ends. The file stays: unlocked, it shows that its
worker is gone.
"""

import hashlib
import os
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from study.storage.retrying import RetryingStorage
from study.storage.urls import locks_beside, sqlite_file

MACHINE_ID = Path("/etc/machine-id")


class WorkerLocks:
    """The lock files of a study's workers: in `folder`, or for a SQLite file in its own folder of locks."""

    def __init__(self, storage: RetryingStorage, study_name: str, folder: Path) -> None:
        file = sqlite_file(storage.engine.url)
        self.is_complete = file is not None  # no other machine can have workers
        if file is None:
            self.folder = folder / _digest(f"{storage.engine.url.render_as_string()} {study_name}")
        else:  # the file's own folder, since one file has many URLs
            self.folder = locks_beside(file) / _digest(study_name)

    def lock_of(self, worker: str) -> FileLock:
        """The lock that this worker is to hold while it lives."""
        return FileLock(self._file(worker))

    def exists(self, worker: str) -> bool:
        return self._file(worker).exists()

    def is_free(self, worker: str) -> bool:
        """Whether the worker has had a lock file and has ended."""
        return self.exists(worker) and _is_free(self._file(worker))

    def is_gone(self, worker: str, *, is_silent: bool) -> bool:
        """Whether a worker has ended; `is_silent`: it has sent no heartbeat within the grace period."""
        if self.is_complete:
            return self.is_free(worker) if self.exists(worker) else is_silent
        # The locks of another machine are not seen, even in a shared cache folder. And a lock of this machine may be
        # held by a suspended process.
        return is_silent or (worker.startswith(f"{_machine()}-") and self.is_free(worker))

    def clean_up(self) -> None:
        """Delete the files of workers that are gone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.iterdir():
            if _is_free(left):
                left.unlink(missing_ok=True)

    def _file(self, worker: str) -> Path:
        """The lock file of a worker, named by a digest: a name from the database must not lead out of the folder."""
        return self.folder / f"{_digest(worker)}.lock"


def new_worker_name() -> str:
    """A name for this process as a worker, which no other has."""
    return f"{_machine()}-{os.getpid()}-{secrets.token_hex(3)}"


def _machine() -> str:
    """The name of this machine or container, with a digest that distinguishes it from others of the same name."""
    host = re.sub(r"[^A-Za-z0-9]", "", socket.gethostname())[:40]
    with suppress(OSError):
        return f"{host}-{_digest(MACHINE_ID.read_text())[:4]}"
    return host


def _is_free(lock_file: Path) -> bool:
    """Whether nobody holds the lock."""
    try:
        with FileLock(lock_file, timeout=0):
            return True
    except Timeout:
        return False


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
