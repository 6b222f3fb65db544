"""The Optuna storage that repeats calls while the database is locked or not reachable."""

import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from study.storage.file_lock import LONG_SECONDS

T = TypeVar("T")
STORAGE_ERRORS = (StorageInternalError, SQLAlchemyError)  # the database has failed, not what was done with it
LATER_STATES = ("57P01", "57P02", "57P03", "53300")  # SQLSTATEs of a server that stops, starts or is full
LATER_WORDS = ("starting up", "shutting down", "recovery", "too many")  # the same for errors without an SQLSTATE
NEVER_ALIVE = """
    SELECT trial_id FROM trials WHERE study_id = :study_id AND state = 'RUNNING'
    AND NOT EXISTS (SELECT 1 FROM trial_heartbeats WHERE trial_heartbeats.trial_id = trials.trial_id)
"""
TRIALS_BY_STATE = """
    SELECT state, COALESCE(value_type, 'FINITE') = 'FINITE', COUNT(*) FROM trials
    LEFT JOIN trial_values ON trial_values.trial_id = trials.trial_id WHERE study_id = :study_id GROUP BY 1, 2
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

    def count_trials(self, study_id: int) -> Counter[tuple[TrialState, bool]]:
        """The number of trials by state and whether the value is finite; to read 10,000 trials would take seconds."""
        return retry(self, lambda: self._count_trials(study_id))

    def _count_trials(self, study_id: int) -> Counter[tuple[TrialState, bool]]:
        session = self.scoped_session()
        try:
            rows = session.execute(sqlalchemy.text(TRIALS_BY_STATE), {"study_id": study_id})
            return Counter({(TrialState[state], bool(is_finite)): count for state, is_finite, count in rows})
        finally:
            session.close()

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
    return until_it_answers(call, seconds=storage.retry_seconds, between=storage.remove_session)


def until_it_answers(call: Callable[[], T], *, seconds: float, between: Callable[[], None] | None = None) -> T:
    """Repeat the call for `seconds` at most; `between` is called before each repetition."""
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


def reason_of(error: Exception) -> str:
    """The message of the database itself, in one line."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    return reason.split(" Is the server running")[0].rstrip(".")
