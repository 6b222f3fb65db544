"""Who runs which trial: claims, that no two workers make twice, and trials whose worker is gone.

A worker holds a lock on a file of its own; the kernel lets go of it when the process ends, however it ends. So on one
machine there is nothing to wait for. Of workers whose file is not here, as those on other machines, only their signs of
life are known.
"""

import hashlib
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from study.sampling import SeededPerTrialSampler
from study.search_space import Space, misfit
from study.storage.attributes import BESIDE_OTHERS, CRASHES, FAILURE, WITHDRAWN, WORKER
from study.storage.connection import STORAGE_ERRORS, RetryingStorage, locks_beside, retry, sqlite_file
from study.storage.lock import study_lock
from study.storage.queries import FINISHED, asked_parameters

CRASHES_IN_AN_EPOCH = 5  # so many, and the trial has failed
MISSED_HEARTBEATS = 4  # so many, and a worker whose lock is not here counts as gone
MACHINE_ID = Path("/etc/machine-id")


def describe_failure(error: Exception) -> str:
    """One line, of a length that does not slow the dashboard."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


class TrialQueue:
    """The trials of a study, as one worker sees them, or one who only looks after others'.

    `folder` holds the locks of the workers on this machine where the storage is not a SQLite file, which has its own.
    """

    def __init__(self, study: Study, storage: RetryingStorage, folder: Path, *, heartbeat_seconds: int = 30) -> None:
        self.study = study
        self._storage = storage
        file = sqlite_file(storage.engine.url)
        self._local = file is not None  # no other machine can be at work
        if file is None:
            self._folder = folder / _digest(f"{storage.engine.url.render_as_string()} {study.study_name}")
        else:  # it is the file's own, and one file has many URLs
            self._folder = locks_beside(file) / _digest(study.study_name)
        self._worker: str | None = None
        self._before_ask: set[int] | None = None  # all that ran or had ended before a claim that was perhaps cut short
        self._first_seen: dict[int, float] = {}  # trials that run without a worker's name, since when on this clock
        self._beating: int | None = None  # the trial, by its id in the storage, of which a sign of life is given
        storage.heartbeat_interval = heartbeat_seconds
        storage.grace_period = MISSED_HEARTBEATS * heartbeat_seconds

    @property
    def poll_seconds(self) -> float:
        """How often to claim again while others run the last trials: one of them may die and leave its trial."""
        return 0.5 if self._local else 5.0  # a server may have many to answer

    @contextmanager
    def worker(self) -> Iterator[None]:
        """A context in which this process can claim trials."""
        name = f"{_machine()}-{os.getpid()}-{secrets.token_hex(3)}"
        lock = FileLock(self._lock_file(name))
        retry(self._storage, lambda: self._register(lock))
        stop = threading.Event()
        try:
            self._worker = name
            if isinstance(self.study.sampler, SeededPerTrialSampler):  # a claim that is cut short is known as one, too
                self.study.sampler.on_start = self._sign
            threading.Thread(target=self._beat, args=(stop,), daemon=True).start()
            yield
        finally:
            stop.set()
            if isinstance(self.study.sampler, SeededPerTrialSampler):
                self.study.sampler.on_start = None
            self._worker = None
            lock.release(force=True)  # the file stays: being free, it tells that what is left to run was left

    def claim(self, space: Space, *, trials: int) -> Trial | None:
        """The next trial, or None when `trials` are finished or being run by others.

        Trials that wait come first, under their own numbers; one is never given to two workers. Those that wait with
        values which cannot be tried fail with their reason.
        """
        return retry(self._storage, lambda: self._claim(space, trials))

    def holds(self, trial: Trial) -> bool:
        """Whether the trial is still this worker's: one that has slept for too long was given to another."""
        frozen = self._storage.get_trial(trial._trial_id)
        return frozen.state == TrialState.RUNNING and frozen.user_attrs.get(WORKER) == self._worker

    def finish(self, trial: Trial, value: float | None = None, state: TrialState | None = None) -> FrozenTrial | None:
        """Tell how a trial has ended; None when it was given to another worker meanwhile."""

        def tell() -> FrozenTrial | None:
            with study_lock(self._storage, self.study.study_name):
                if self.holds(trial):
                    return self.study.tell(trial, value, state)
                frozen = self._storage.get_trial(trial._trial_id)
                is_told = frozen.state in FINISHED and frozen.user_attrs.get(WORKER) == self._worker
                return frozen if is_told else None  # told already, but the connection broke before the answer

        self._beating = None
        return retry(self._storage, tell)

    def release(self) -> None:
        """Put what this worker runs back into the queue, and what the dead have run, without waiting for long.

        A courtesy to those who look meanwhile: if it cannot be done now, the next claim does it.
        """
        self._beating = None
        self._storage.retry_seconds = 0
        with suppress(*STORAGE_ERRORS, Timeout), study_lock(self._storage, self.study.study_name, timeout=1):
            self._recover(own=True, count_crashes=False)

    def withdraw(self, trial: FrozenTrial) -> None:
        """End a trial that waits. To be called by one process at a time."""
        self._storage.set_trial_user_attr(trial._trial_id, WITHDRAWN, True)
        self._fail(trial, "withdrawn before it started, since the last report did not ask for it")

    def recover(self, *, count_crashes: bool = True) -> list[FrozenTrial]:
        """Put the trials of workers that are gone back into the queue, under their own numbers; returns them.

        `count_crashes`: count the crash of its worker against a trial; not where all were killed, as by a power cut.
        """

        def recover() -> list[FrozenTrial]:
            with study_lock(self._storage, self.study.study_name):
                return self._recover(count_crashes=count_crashes)

        return retry(self._storage, recover)

    def out_of_sight(self) -> list[FrozenTrial]:
        """Running trials of a SQLite file whose workers may live or not: their locks are not there.

        As when the folder of locks was deleted while they ran, or the database copied without it.
        """
        if not self._local:
            return []
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        workers = {trial.number: trial.user_attrs.get(WORKER) for trial in running}
        return [
            trial for trial in running if (name := workers[trial.number]) and not self._lock_file(str(name)).exists()
        ]

    def of_others(self) -> list[FrozenTrial]:
        """Running trials that no worker of this project has started."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return [trial for trial in running if trial.user_attrs.get(WORKER) is None]

    def _register(self, lock: FileLock) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with study_lock(
            self._storage, self.study.study_name
        ):  # or a file that is not yet locked looks like a dead one's
            self._recover()
            for left in self._folder.iterdir():
                if _is_free(left):
                    left.unlink(missing_ok=True)
            lock.acquire()

    def _claim(self, space: Space, trials: int) -> Trial | None:
        assert self._worker is not None
        with study_lock(self._storage, self.study.study_name):
            self._recover(own=True)
            started = self._begun(space, trials)
            if started is None:
                return None
            self._before_ask = {other._trial_id for other in started}
            trial = self.study.ask(space)
            self._storage.record_heartbeat(trial._trial_id)
            self._sign(trial)
            self._before_ask = None
            if any(other.state == TrialState.RUNNING for other in started):
                trial.set_user_attr(BESIDE_OTHERS, True)
            self._beating = trial._trial_id
            return trial

    def _begun(self, space: Space, trials: int) -> list[FrozenTrial] | None:
        """All trials that have started, or None when there is no room for another one."""
        while True:
            every = self.study.get_trials(deepcopy=False)
            waiting = [trial for trial in every if trial.state == TrialState.WAITING]
            if len(every) - len(waiting) >= trials:
                return None
            reason = misfit(space, asked_parameters(waiting[0])) if waiting else None
            if reason is None:
                return [trial for trial in every if trial.state != TrialState.WAITING]
            self._fail(waiting[0], reason)

    def _recover(self, *, own: bool = False, count_crashes: bool = True) -> list[FrozenTrial]:
        """Put back what dead workers have left. To be called by one process at a time.

        `own`: also what this worker itself has left; `count_crashes`: count the crash of its worker against the trial.
        """
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return []
        silent = self._storage.silent_trials(self.study._study_id)
        put_back = []
        for trial in running:
            worker = trial.user_attrs.get(WORKER)
            if own and worker is None and self._is_own(trial):
                self._put_back(trial, crashes=0)
            elif worker == self._worker and worker is not None:
                if own:
                    self._put_back(trial, crashes=0)
            elif self._is_gone(trial, is_silent=trial._trial_id in silent):
                crashes = self._count_crash(trial) if count_crashes and worker is not None else 0
                if self._put_back(trial, crashes=crashes):
                    put_back.append(trial)
        return put_back

    def _put_back(self, trial: FrozenTrial, *, crashes: int) -> bool:
        """Or end it, when it ends all workers that run it."""
        if crashes >= CRASHES_IN_AN_EPOCH:
            reason = f"{crashes} workers have died of it in the same epoch; perhaps it needs more memory than there is"
            self._fail(trial, reason)
            return False
        self._storage.set_trial_user_attr(trial._trial_id, WORKER, None)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        return True

    def _fail(self, trial: FrozenTrial, reason: str) -> None:
        self._storage.set_trial_user_attr(trial._trial_id, FAILURE, reason)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)

    def _count_crash(self, trial: FrozenTrial) -> int:
        step, times = trial.user_attrs.get(CRASHES, [None, 0])
        times = times + 1 if step == trial.last_step else 1
        self._storage.set_trial_user_attr(trial._trial_id, CRASHES, [trial.last_step, times])
        return int(times)

    def _is_own(self, trial: FrozenTrial) -> bool:
        """Whether a trial without a worker's name is from a claim of this worker that was cut short."""
        return self._before_ask is not None and trial._trial_id not in self._before_ask

    def _sign(self, trial: Trial | FrozenTrial) -> None:
        self._storage.set_trial_user_attr(trial._trial_id, WORKER, self._worker)

    def _is_gone(self, trial: FrozenTrial, *, is_silent: bool) -> bool:
        """Whether who runs a trial has ended; of another program, which gives no signs of life, after a while."""
        worker = trial.user_attrs.get(WORKER)
        if worker is None:
            age = time.monotonic() - self._first_seen.setdefault(trial._trial_id, time.monotonic())
            return is_silent and age > (self._storage.grace_period or 0)
        file = self._lock_file(worker)
        if self._local:
            return _is_free(file) if file.exists() else is_silent
        # The locks of another machine tell nothing, even where its cache folder is this one's, too. And one of this
        # machine may be held, but by a process that sleeps.
        return is_silent or (worker.startswith(f"{_machine()}-") and file.exists() and _is_free(file))

    def _lock_file(self, worker: str) -> Path:
        """The lock of a worker, by a digest: names are read from the database, and must not lead out of the folder."""
        return self._folder / f"{_digest(worker)}.lock"

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._storage.heartbeat_interval):
            if self._beating is not None:
                with suppress(*STORAGE_ERRORS):
                    self._storage.record_heartbeat(self._beating)


def _machine() -> str:
    """This machine's or container's name, and a mark that tells it from others of the same name."""
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
