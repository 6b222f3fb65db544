"""A URL to an Optuna storage, with the settings that make it safe, and who may work on a study."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import sqlalchemy
from filelock import FileLock, Timeout
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from study.errors import StudyError

STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)  # the database has failed, not what was done with it
SQLITE_TIMEOUT_SECONDS = 60  # how long to wait for a database that another program has locked


def parse_url(url: str) -> URL:
    """Raises `StudyError` for what is no storage URL, or points to a folder that is not there."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StudyError(f"--storage must be a URL such as sqlite:///study.db, got '{url}'.") from None
    file = sqlite_file(parsed)
    if file is not None and not file.parent.is_dir():
        raise StudyError(f"The folder of {file} does not exist; create it, or name another file with --storage.")
    if parsed.get_backend_name() == "sqlite" and file is None:
        raise StudyError("A database in memory is gone when the run ends; name a file, as in sqlite:///study.db.")
    return parsed


def sqlite_file(url: URL) -> Path | None:
    """Where a SQLite database lies, absolute; None for one in memory and for other kinds of database."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).resolve()


def open_storage(url: str) -> RDBStorage:
    """Open or create the database. Raises `StudyError` when that cannot be."""
    parsed = parse_url(url)
    engine_kwargs: dict[str, Any] = {}
    if parsed.get_backend_name() == "sqlite":
        engine_kwargs = {
            "connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS},
            "pool_events": [(_set_pragmas, "connect")],
        }
    try:
        file = sqlite_file(parsed)
        with nullcontext() if file is None else _lock_beside(file, ""):  # creating it twice at once would fail
            return RDBStorage(url, engine_kwargs=engine_kwargs)
    except ImportError:
        raise StudyError(
            f"The driver for {parsed.drivername} databases is not installed; for PostgreSQL: "
            "pip install 'psycopg[binary]'."
        ) from None
    except (SQLAlchemyError, sqlite3.Error, OptunaError, RuntimeError, OSError) as error:
        raise StudyError(
            f"The storage {safe_url(url)} cannot be opened: {reason_of(error)}. Name another with --storage."
        ) from error


def safe_url(url: str) -> str:
    """The URL with its password masked."""
    return make_url(url).render_as_string(hide_password=True)


def reason_of(error: Exception) -> str:
    """What the database itself has said, in one line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return " ".join(str(getattr(error, "orig", None) or error).split())


def close_storage(storage: RDBStorage) -> None:
    """Close the database; one of SQLite becomes one whole file again, for those who copy it."""
    storage.remove_session()
    if storage.engine.dialect.name == "sqlite":
        with suppress(SQLAlchemyError), storage.engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    storage.engine.dispose()


@contextmanager
def sole_runner(url: str, name: str) -> Iterator[bool]:
    """Hold the right to run a study; the kernel takes it back when the process ends, however it ends.

    Raises `StudyError` when another process has it. Gives False for databases that are not local files: there,
    others may be running the study, too.
    """
    file = sqlite_file(parse_url(url))
    if file is None:
        yield False
        return
    try:
        lock = _lock_beside(file, name)
        lock.acquire(timeout=0)
    except Timeout:
        raise StudyError(f"Another process is running study '{name}' in {file}; wait for it, or use --name.") from None
    except OSError as error:
        raise StudyError(
            f"{file.parent} cannot be written ({error.strerror}); name another file with --storage."
        ) from None
    try:
        yield True
    finally:
        lock.release()


def requeue_interrupted(study: Study, storage: RDBStorage) -> int:
    """Put RUNNING trials back into the queue, under their own numbers; returns how many they were.

    For the sole runner, before it runs any: what is RUNNING then was left by a process that is gone.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    for trial in running:
        storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
    return len(running)


def _lock_beside(file: Path, purpose: str) -> FileLock:
    digest = hashlib.sha256(purpose.encode()).hexdigest()[:8]
    return FileLock(file.with_name(f".{file.name}.{digest}.lock"))


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
