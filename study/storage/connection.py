"""Opens the Optuna storage of a URL, with settings that are safe for many processes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy
from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from study.errors import StudyError, safe_url
from study.storage.file_lock import file_lock
from study.storage.retrying import STORAGE_ERRORS, RetryingStorage, reason_of, until_it_answers
from study.storage.urls import RETRY_SECONDS, locks_beside, parse_url, sqlite_file

NO_RECORD = "Record does not exist."  # Optuna's message for a study or trial that is gone
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


@contextmanager
def opened_storage(
    url: str, name: str | None, *, patient: bool = False, create: bool = True
) -> Iterator[RetryingStorage]:
    """The database of a study, for all of its use. Raises `StudyError`, also when it fails on the way."""
    storage = open_storage(url, patient=patient, create=create)
    try:
        yield storage
    except STORAGE_ERRORS as error:
        raise StudyError(
            f"The storage {safe_url(url)} has failed: {reason_of(error)}. What has finished is kept; "
            "when the cause is fixed, start the same command again."
        ) from error
    except KeyError as error:
        if NO_RECORD not in error.args:
            raise
        raise StudyError(f"There is no study '{name}' in {safe_url(url)}; it may have been deleted.") from error
    finally:
        close_storage(storage)


def open_storage(url: str, *, patient: bool = False, create: bool = True) -> RetryingStorage:
    """Open the database, or create it if `create` is set; `patient`: wait for a server that is not reachable.

    Raises `StudyError`, also for a SQLite file that holds something else, which is left as it is.
    """
    parsed = parse_url(url)
    file = sqlite_file(parsed)
    seconds = RETRY_SECONDS[parsed.get_backend_name()]
    try:
        if file is None:
            storage = until_it_answers(partial(_open_server, url), seconds=seconds if patient else 0)
        else:
            storage = until_it_answers(partial(_open_file, url, file, create=create), seconds=seconds)
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
            hint = _if_copied_alone(file) if "studies" not in tables else ""
            if "studies" not in tables and (tables or hint or not create):
                raise StudyError(
                    f"{file} is a database without studies; start one with study.run, or name another with --storage."
                    + hint
                )
        return RetryingStorage(url, engine_kwargs=engine_kwargs | {"pool_events": [(_set_pragmas, "connect")]})


def _if_copied_alone(file: Path) -> str:
    """What to do if a database may lack what was in the file beside it while a search ran."""
    with file.open("rb") as content:
        keeps_a_log = content.read(20)[18:] == b"\x02\x02"  # https://www.sqlite.org/fileformat.html
    if not keeps_a_log or file.with_name(f"{file.name}-wal").exists():
        return ""
    return f" If it is a copy that was made while a search ran, copy {file.name}-wal beside it, too."


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
