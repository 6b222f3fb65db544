"""Opens the Optuna storage of a URL, with settings that are safe for many processes, and retries failed calls."""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy
from optuna.exceptions import OptunaError, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from study.errors import StudyError
from study.formatting import safe_url
from study.storage.file_lock import LONG_SECONDS, file_lock

T = TypeVar("T")
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)  # the database has failed, not what was done with it
RETRY_SECONDS = {"sqlite": 60.0, "postgresql": 120.0}  # how long to wait for a database that is locked or not reachable
BUSY_SECONDS = 1.0  # how long SQLite itself waits; no signal is handled meanwhile
SERVER_SETTINGS = {  # per connection; all but the time zone free the locks of a machine that is gone or asleep
    "timezone": "UTC",  # heartbeats are stored without one
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
}
CLIENT_SETTINGS = {  # to notice a server that is gone (libpq's names; seconds, the last in milliseconds)
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
LATER_STATES = ("57P01", "57P02", "57P03", "53300")  # SQLSTATEs of a server that stops, starts or is full
LATER_WORDS = ("starting up", "shutting down", "recovery", "too many")  # the same for errors without an SQLSTATE
NEVER_ALIVE = """
    SELECT trial_id FROM trials WHERE study_id = :study_id AND state = 'RUNNING'
    AND NOT EXISTS (SELECT 1 FROM trial_heartbeats WHERE trial_heartbeats.trial_id = trials.trial_id)
"""
IDEMPOTENT_CALLS = (  # safe to repeat when a connection breaks after the call has been executed
    *("get_all_studies", "get_study_directions", "get_study_id_from_name", "get_study_name_from_id"),
    *("get_study_system_attrs", "get_study_user_attrs", "set_study_system_attr", "set_study_user_attr"),
    *("_get_trials", "get_all_trials", "get_trial", "get_trial_id_from_study_id_trial_number", "get_trial_param"),
    *("_set_trial_param", "set_trial_intermediate_value", "set_trial_system_attr", "set_trial_user_attr"),
    *("_get_stale_trial_ids", "record_heartbeat"),
)


class RetryingStorage(RDBStorage):
    """A storage that repeats every idempotent call while the database is locked or not reachable."""

    retry_seconds = 0.0
    locked_in: int | None = None  # the thread with a lock that a broken connection loses: it must not retry

    def silent_trials(self, study_id: int) -> set[int]:
        """The ids of running trials without a heartbeat within the grace period, or without any at all."""
        never_alive = retry(self, lambda: self._never_alive(study_id))
        return never_alive.union(self._get_stale_trial_ids(study_id))

    def _never_alive(self, study_id: int) -> set[int]:
        """The running trials without any heartbeat: those of earlier versions of this project, or of other programs."""
        session = self.scoped_session()
        try:
            return set(session.scalars(sqlalchemy.text(NEVER_ALIVE), {"study_id": study_id}))
        finally:
            session.close()

    def get_heartbeat_interval(self) -> None:
        """None, since Optuna's own heartbeat loop is not used, and `ask` would warn of that."""


def _repeated(name: str) -> Callable[..., Any]:
    once = getattr(RDBStorage, name)

    def call(self: RetryingStorage, *arguments: Any, **named: Any) -> Any:
        return retry(self, lambda: once(self, *arguments, **named))

    return call


for _name in IDEMPOTENT_CALLS:
    setattr(RetryingStorage, _name, _repeated(_name))


def retry(storage: RetryingStorage, call: Callable[[], T]) -> T:
    """Repeat the call while the database is locked or not reachable. The call must be idempotent."""
    if storage.locked_in == threading.get_ident():
        return call()
    return _until_it_answers(call, seconds=storage.retry_seconds, between=storage.remove_session)


def parse_url(url: str) -> URL:
    """Parse a storage URL. Raises `StudyError` for an invalid one, or for a folder that does not exist."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StudyError("--storage must be a URL such as sqlite:///study.db or postgresql://HOST/DATABASE.") from None
    if parsed.get_backend_name() not in RETRY_SECONDS:
        raise StudyError(f"--storage must be a sqlite:/// or postgresql:// URL, not {parsed.get_backend_name()}.")
    file = sqlite_file(parsed)
    if file is not None and not file.name:
        raise StudyError("--storage must name a file of SQLite, as in sqlite:///study.db.")
    if file is not None and (names := _count_names(file)) > 1:
        raise StudyError(
            f"{file} has {names} names (hard links), and processes that open it by different ones would damage it. "
            "Remove the others, or use another --storage."
        )
    if file is not None and not file.parent.is_dir():
        raise StudyError(f"The folder of {file} does not exist; create it, or name another file with --storage.")
    if file is not None and "uri" in parsed.query:  # SQLite would read a file that is not the one above
        raise StudyError("--storage must name a file of SQLite by its path, without uri=; as sqlite:///study.db.")
    if parsed.get_backend_name() == "sqlite" and file is None:
        raise StudyError("A database in memory is gone when the run ends; name a file, as in sqlite:///study.db.")
    return parsed


def _count_names(file: Path) -> int:
    """The number of hard links to a file; 1 where that is not known, as for a file that does not exist yet."""
    try:
        return file.stat().st_nlink
    except OSError:
        return 1


def sqlite_file(url: URL) -> Path | None:
    """The absolute path of a SQLite database; None for one in memory and for other kinds of database."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(os.path.abspath(str(url.database))).resolve()  # noqa: PTH100  # as SQLAlchemy reads `..` after a link


def locks_beside(file: Path) -> Path:
    """The folder with the lock files of the processes that use a SQLite database."""
    return file.with_name(f".{file.name}.locks")


def open_storage(url: str, *, patient: bool = False, create: bool = True) -> RetryingStorage:
    """Open the database, or create it if `create` is set; `patient`: wait for a server that is not reachable.

    Raises `StudyError`, also for a SQLite file that holds something else, which is left as it is.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    seconds = RETRY_SECONDS[parsed.get_backend_name()]
    try:
        if file is None:
            storage = _until_it_answers(partial(_open_server, url), seconds=seconds if patient else 0)
        else:
            storage = _until_it_answers(partial(_open_file, url, file, create=create), seconds=seconds)
    except ImportError:
        if "+" in parsed.drivername:
            raise StudyError(
                f"The driver {parsed.drivername} is not installed; --storage needs none: write "
                f"{parsed.get_backend_name()}://."
            ) from None
        raise StudyError(
            "The driver for PostgreSQL is not installed: pip install -c constraints.txt -e '.[postgres]'."
        ) from None
    except (SQLAlchemyError, sqlite3.Error, OptunaError, RuntimeError, OSError, ValueError, TypeError) as error:
        raise StudyError(
            f"The storage {safe_url(url)} cannot be opened: {reason_of(error)}. Fix that, or use another --storage."
        ) from error
    storage.retry_seconds = seconds
    return storage


def reason_of(error: Exception) -> str:
    """The message of the database itself, in one line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    return reason.split(" Is the server running")[0].rstrip(".")


def close_storage(storage: RetryingStorage) -> None:
    """Close the database; a SQLite database becomes a single file again, so that it can be copied."""
    storage.remove_session()
    if sqlite_file(storage.engine.url) is not None:
        with suppress(SQLAlchemyError), storage.engine.connect() as connection:  # others may still use it
            connection.execute(sqlalchemy.text("PRAGMA wal_checkpoint(TRUNCATE)"))
    storage.engine.dispose()


def _open_file(url: str, file: Path, *, create: bool) -> RetryingStorage:
    if not file.exists() and not create:
        raise StudyError(f"There is no file {file}; name that of a study with --storage, or start one with study.run.")
    engine_kwargs: dict[str, Any] = {"connect_args": {"timeout": BUSY_SECONDS}}
    engine = sqlalchemy.create_engine(url, **engine_kwargs)
    engine.dialect.create_connect_args(engine.url)  # raises for invalid options, before any file is created
    locks_beside(file).mkdir(exist_ok=True)
    with file_lock(locks_beside(file) / "creation.lock"):  # creating it twice at once would fail
        if file.exists():
            tables = sqlalchemy.inspect(engine).get_table_names()
            engine.dispose()
            if "studies" not in tables and (tables or not create):
                raise StudyError(
                    f"{file} is a database without studies; start one with study.run, or name another with --storage."
                )
        return RetryingStorage(url, engine_kwargs=engine_kwargs | {"pool_events": [(_set_pragmas, "connect")]})


def _open_server(url: str) -> RetryingStorage:
    engine_kwargs: dict[str, Any] = {
        "connect_args": CLIENT_SETTINGS,
        "pool_size": 1,  # per worker; servers allow for about a hundred connections
        "max_overflow": 3,
        "pool_pre_ping": True,
        "pool_events": [(_set_server_settings, "connect")],
    }
    engine = sqlalchemy.create_engine(url, **engine_kwargs)
    try:
        with engine.begin() as connection:  # creating the tables twice at once would fail
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(hashtext('optuna tables'))"))
            return RetryingStorage(url, engine_kwargs=engine_kwargs)
    finally:
        engine.dispose()


def _until_it_answers(call: Callable[[], T], *, seconds: float, between: Callable[[], None] | None = None) -> T:
    start, pause, has_noted = time.monotonic(), 0.1, False
    while True:
        try:
            return call()
        except STORAGE_ERRORS as error:
            waited = time.monotonic() - start
            if not _may_answer_later(error) or waited + pause > seconds:
                raise
            if waited > LONG_SECONDS and not has_noted:
                reason = reason_of(error)
                print(
                    f"Note: waiting up to {seconds:.0f} seconds for the database: {reason}.",
                    file=sys.stderr,
                    flush=True,
                )
                has_noted = True
        if between:
            between()
        time.sleep(pause)
        pause = min(2 * pause, 5.0)


def _may_answer_later(error: BaseException | None) -> bool:
    """Whether the database is locked, or its server down or starting; False where it has refused the call."""
    while error is not None and not isinstance(error, DBAPIError):
        if isinstance(error, PendingRollbackError):  # Optuna has continued with a connection that broke
            return True
        error = error.__cause__
    if error is None:
        return False
    if isinstance(error.orig, sqlite3.Error):
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    state, text = getattr(error.orig, "sqlstate", None), str(error.orig)
    if state is None:  # no answer, or the connection failed
        return "FATAL" not in text or any(word in text for word in LATER_WORDS)
    return state.startswith("08") or state in LATER_STATES


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
