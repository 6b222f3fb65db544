"""A URL to an Optuna storage, with the settings that make it safe for many processes."""

import hashlib
import os
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning, OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from study.errors import StudyError

T = TypeVar("T")
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)  # the database has failed, not what was done with it
SQLITE_TIMEOUT_SECONDS = 60  # how long to wait for a database that another program has locked
SERVER_TIMEOUT_SECONDS = 120  # how long to wait for a server that is away, as while it is started again
SERVER_SETTINGS = {  # of PostgreSQL, per connection: a machine that is gone or asleep must not keep what it has locked
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
HEARTBEAT_SECONDS = int(os.environ.get("STUDY_HEARTBEAT_SECONDS", "30"))  # the same for all workers of a study
MISSED_HEARTBEATS = 4  # so many, and a worker on another machine counts as gone
REPEATABLE = (  # calls that may have been done already when a connection breaks, and come to the same when done twice
    *("get_all_studies", "get_study_directions", "get_study_id_from_name", "get_study_name_from_id"),
    *("get_study_system_attrs", "get_study_user_attrs", "set_study_system_attr", "set_study_user_attr"),
    *("_get_trials", "get_all_trials", "get_trial", "get_trial_id_from_study_id_trial_number", "get_trial_param"),
    *("_set_trial_param", "set_trial_intermediate_value", "set_trial_system_attr", "set_trial_user_attr"),
    *("_get_stale_trial_ids", "record_heartbeat"),
)


def parse_url(url: str) -> URL:
    """Raises `StudyError` for what is no storage URL, or points to a folder that is not there."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StudyError("--storage must be a URL such as sqlite:///study.db.") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise StudyError(f"--storage must be a sqlite:/// or postgresql:// URL, not {parsed.get_backend_name()}.")
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


def safe_url(url: str) -> str:
    """The URL with its password masked."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        return "***"


def open_storage(url: str, *, patient: bool = False) -> RDBStorage:
    """Open or create the database; `patient`: wait for a server that is away. Raises `StudyError`."""
    parsed = parse_url(url)
    try:
        file = sqlite_file(parsed)
        if file is None:
            return _until_it_answers(partial(_open_server, url), seconds=SERVER_TIMEOUT_SECONDS if patient else 0)
        locks_beside(file).mkdir(exist_ok=True)
        engine_kwargs = {
            "connect_args": {"timeout": SQLITE_TIMEOUT_SECONDS},
            "pool_events": [(_set_pragmas, "connect")],
        }
        with FileLock(locks_beside(file) / "creation.lock"):  # creating it twice at once would fail
            return RDBStorage(url, engine_kwargs=engine_kwargs)
    except ImportError:
        raise StudyError("The driver for PostgreSQL is not installed: pip install -e '.[postgres]'.") from None
    except (SQLAlchemyError, sqlite3.Error, OptunaError, RuntimeError, OSError) as error:
        raise StudyError(
            f"The storage {safe_url(url)} cannot be opened: {reason_of(error)}. Name another with --storage."
        ) from error


def locks_beside(file: Path) -> Path:
    """The folder by which the processes that use a SQLite database know of one another."""
    return file.with_name(f".{file.name}.locks")


@contextmanager
def exclusive(storage: RDBStorage, study_name: str, *, timeout: float = -1) -> Iterator[None]:
    """Alone among all processes that ask for the same study of the same database; who dies lets go of it.

    Raises `filelock.Timeout` after `timeout` seconds (SQLite), or one of `STORAGE_ERRORS` (PostgreSQL).
    """
    file = sqlite_file(storage.engine.url)
    if file is None:
        with _advisory_lock(storage.engine, b"study " + study_name.encode()):
            yield
        return
    folder = locks_beside(file)
    folder.mkdir(exist_ok=True)
    digest = hashlib.sha256(study_name.encode()).hexdigest()
    with FileLock(folder / f"study-{digest[:16]}.lock", timeout=timeout, poll_interval=0.01):
        yield


def patiently(storage: RDBStorage, call: Callable[[], T]) -> T:
    """Call again while a database server is away. What is called must bear to be called twice."""
    if not isinstance(storage, _ServerStorage):
        return call()

    def call_anew() -> T:
        storage.remove_session()
        return call()

    return _until_it_answers(call_anew, seconds=storage.patience_seconds)


def wait_no_more(storage: RDBStorage) -> None:
    """From now on a server that is away is an error at once."""
    if isinstance(storage, _ServerStorage):
        storage.patience_seconds = 0


def reason_of(error: Exception) -> str:
    """What the database itself has said, in one line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    return " ".join(str(getattr(error, "orig", None) or error).split())


def close_storage(storage: RDBStorage) -> None:
    """Close the database; one of SQLite becomes one whole file again, for those who copy it."""
    storage.remove_session()
    if sqlite_file(storage.engine.url) is not None:
        with suppress(SQLAlchemyError), storage.engine.connect() as connection:
            connection.execute(sqlalchemy.text("PRAGMA busy_timeout=1000"))  # others may still be at work
            connection.execute(sqlalchemy.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    storage.engine.dispose()


class _ServerStorage(RDBStorage):
    """Waits for a server that is away, in every call that bears to be done twice."""

    patience_seconds = SERVER_TIMEOUT_SECONDS

    def get_heartbeat_interval(self) -> None:
        """None: Optuna's own loop, which would give the signs of life, is not used, and `ask` would warn of that."""


def _repeated(name: str) -> Callable[..., Any]:
    once = getattr(RDBStorage, name)

    def call(self: RDBStorage, *arguments: Any, **named: Any) -> Any:
        return patiently(self, lambda: once(self, *arguments, **named))

    return call


for _name in REPEATABLE:
    setattr(_ServerStorage, _name, _repeated(_name))


def _until_it_answers(call: Callable[[], T], *, seconds: float) -> T:
    deadline, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return call()
        except STORAGE_ERRORS:
            if time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


@contextmanager
def _advisory_lock(engine: Engine, purpose: bytes) -> Iterator[None]:
    number = int.from_bytes(hashlib.sha256(purpose).digest()[:8], "big", signed=True)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})
        yield


def _open_server(url: str) -> RDBStorage:
    engine_kwargs: dict[str, Any] = {
        "connect_args": {"connect_timeout": 10},
        "pool_size": 1,  # what a worker holds for good; servers allow for about a hundred connections
        "max_overflow": 3,
        "pool_pre_ping": True,
        "pool_events": [(_set_server_settings, "connect")],
    }
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=engine_kwargs["connect_args"])
    with (
        _advisory_lock(engine, b"creation"),  # creating the tables twice at once would fail
        warnings.catch_warnings(action="ignore", category=ExperimentalWarning),
    ):
        return _ServerStorage(
            url,
            engine_kwargs=engine_kwargs,
            heartbeat_interval=HEARTBEAT_SECONDS,
            grace_period=MISSED_HEARTBEATS * HEARTBEAT_SECONDS,
        )


def _set_pragmas(connection: sqlite3.Connection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _set_server_settings(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        for name, value in SERVER_SETTINGS.items():
            cursor.execute(f"SET {name} = '{value}'")
    connection.commit()
