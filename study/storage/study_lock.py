"""Locks between processes, which are released when the process ends, however it ends."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import sqlalchemy
from filelock import Timeout
from sqlalchemy.exc import SQLAlchemyError

from study.errors import StudyError
from study.storage.file_lock import file_lock
from study.storage.retrying import RetryingStorage
from study.storage.urls import locks_beside, sqlite_file

SLEEP_SETTING = "SET idle_session_timeout = '60s'"  # a suspended process must lose the lock


@contextmanager
def study_lock(storage: RetryingStorage, study_name: str, *, timeout: float | None = None) -> Iterator[None]:
    """Hold the lock on a study among all processes that use the same database.

    Raises `filelock.Timeout` after `timeout` seconds (SQLite), or one of `STORAGE_ERRORS` (PostgreSQL).
    """
    file = sqlite_file(storage.engine.url)
    if file is None:
        with _advisory_lock(storage, _number(study_name), timeout):
            yield
        return
    with file_lock(_lock_file(file, study_name), timeout=timeout):
        yield


@contextmanager
def only_one(storage: RetryingStorage, name: str, busy: str) -> Iterator[None]:
    """Hold a lock of this name, for hours if need be. Raises `StudyError(busy)` if another process holds it."""
    file = sqlite_file(storage.engine.url)
    if file is not None:
        with ExitStack() as stack:
            try:
                stack.enter_context(file_lock(_lock_file(file, name), timeout=0))
            except Timeout:
                raise StudyError(busy) from None
            yield
        return
    with storage.engine.connect() as connection:
        question = sqlalchemy.text("SELECT pg_try_advisory_lock(:number)")
        is_free = connection.execute(question, {"number": _number(name)}).scalar_one()
        connection.commit()  # the server ends idle transactions, but not idle sessions
        try:
            if not is_free:
                raise StudyError(busy)
            yield
        finally:
            connection.invalidate()  # closes it, which releases the lock


def _lock_file(database: Path, name: str) -> Path:
    folder = locks_beside(database)
    folder.mkdir(exist_ok=True)
    return folder / f"study-{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock"


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


@contextmanager
def _advisory_lock(storage: RetryingStorage, number: int, timeout: float | None) -> Iterator[None]:
    """A lock of PostgreSQL that lasts as long as its connection, the only one that the thread uses within the lock.

    So when the lock is lost, the work that it protects stops, too.
    """
    storage.remove_session()
    with storage.engine.connect() as connection:
        try:
            connection.execute(sqlalchemy.text(SLEEP_SETTING))
            connection.execute(sqlalchemy.text(f"SET lock_timeout = {round(1000 * timeout) if timeout else 0}"))
            connection.execute(sqlalchemy.text("SELECT pg_advisory_lock(:number)"), {"number": number})
            connection.commit()
            storage.scoped_session(bind=connection)
            storage.locked_in = threading.get_ident()
            yield
            storage.remove_session()
            connection.execute(sqlalchemy.text("SELECT pg_advisory_unlock(:number)"), {"number": number})
            connection.execute(sqlalchemy.text("RESET idle_session_timeout"))
            connection.execute(sqlalchemy.text("RESET lock_timeout"))
            connection.commit()
        except BaseException:
            connection.invalidate()  # closes it, which releases the lock
            raise
        finally:
            storage.locked_in = None
            with suppress(SQLAlchemyError):
                storage.remove_session()
