"""Which worker runs which trial: each trial is claimed by one worker, and recovered when that worker is gone.

A worker holds a lock on a file of its own (`worker_locks`), so on one machine a trial is recovered at once. Workers on
other machines, whose lock files are not here, are known by their heartbeats only.
"""

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
from study.storage.queries import FINISHED, asked_parameters
from study.storage.retrying import STORAGE_ERRORS, RetryingStorage, retry
from study.storage.study_lock import study_lock
from study.storage.worker_locks import WorkerLocks, new_worker_name

CRASHES_IN_AN_EPOCH = 5  # after so many, the trial fails
MISSED_HEARTBEATS = 4  # after so many, a worker whose lock file is not here counts as gone


def describe_failure(error: Exception) -> str:
    """The error in one line, short enough for the dashboard."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"


def _is_of_another(trial: FrozenTrial) -> bool:
    """Whether another program runs the trial: a worker signs its trials before they have parameters.

    One that another program has not given parameters within the grace period is not told from a crashed worker's.
    """
    return trial.state == TrialState.RUNNING and WORKER not in trial.user_attrs and bool(trial.params)


class TrialQueue:
    """The trials of a study, for one worker or for a supervisor of workers.

    `folder` holds the locks of this machine's workers; a SQLite file has a lock folder of its own instead.
    """

    def __init__(self, study: Study, storage: RetryingStorage, folder: Path, *, heartbeat_seconds: int = 30) -> None:
        self.study = study
        self._storage = storage
        self._locks = WorkerLocks(storage, study.study_name, folder)
        self._worker: str | None = None
        self._before_ask: set[int] | None = None  # ids started before a claim that may be interrupted
        self._first_seen: dict[int, float] = {}  # when a running trial without a worker's name was first seen
        self._beating: int | None = None  # the id of the trial that gets heartbeats
        storage.heartbeat_interval = heartbeat_seconds
        storage.grace_period = MISSED_HEARTBEATS * heartbeat_seconds

    @property
    def poll_seconds(self) -> float:
        """How long to wait between claims while others run the last trials, one of which may be left by a crash."""
        return 0.5 if self._locks.is_complete else 5.0  # a server may have many workers

    @contextmanager
    def worker(self) -> Iterator[None]:
        """The context in which this process can claim trials."""
        name = new_worker_name()
        lock = self._locks.lock_of(name)
        retry(self._storage, lambda: self._register(lock))
        stop = threading.Event()
        try:
            self._worker = name
            if isinstance(self.study.sampler, SeededPerTrialSampler):  # so an interrupted claim can be recognised
                self.study.sampler.on_start = self._sign
            threading.Thread(target=self._beat, args=(stop,), daemon=True).start()
            yield
        finally:
            stop.set()
            if isinstance(self.study.sampler, SeededPerTrialSampler):
                self.study.sampler.on_start = None
            self._worker = None
            lock.release(force=True)

    def claim(self, space: Space, *, trials: int | None) -> Trial | None:
        """The next trial, or None when `trials` have finished or are being run by others; no number: when none waits.

        Waiting trials come first, under their own numbers; no trial is given to two workers. Waiting trials with
        values outside the space fail with their reason.
        """
        return retry(self._storage, lambda: self._claim(space, trials))

    def holds(self, trial: Trial) -> bool:
        """Whether the trial is still this worker's: after a long suspension, it was given to another."""
        frozen = self._storage.get_trial(trial._trial_id)
        return frozen.state == TrialState.RUNNING and frozen.user_attrs.get(WORKER) == self._worker

    def finish(self, trial: Trial, value: float | None = None, state: TrialState | None = None) -> FrozenTrial | None:
        """Tell the storage how a trial has ended; returns None when another worker has got the trial meanwhile."""

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
        """Put the trials of this worker and of dead ones back into the queue, without waiting for long.

        If it fails, the next claim does it.
        """
        self._beating = None
        self._storage.retry_seconds = 0
        with suppress(*STORAGE_ERRORS, Timeout), study_lock(self._storage, self.study.study_name, timeout=1):
            self._recover(own=True, count_crashes=False)

    def withdraw(self, trial: FrozenTrial) -> None:
        """Fail a waiting trial. To be called by one process at a time."""
        self._storage.set_trial_user_attr(trial._trial_id, WITHDRAWN, True)
        self._fail(trial, "withdrawn before it started, since the last report did not ask for it")

    def recover(self, *, count_crashes: bool = True) -> list[FrozenTrial]:
        """Put the trials of workers that are gone back into the queue, under their own numbers; returns them.

        `count_crashes`: count the crash of a worker against its trial; False where all were killed, as by a power cut.
        """

        def recover() -> list[FrozenTrial]:
            with study_lock(self._storage, self.study.study_name):
                return self._recover(count_crashes=count_crashes)

        return retry(self._storage, recover)

    def out_of_sight(self) -> list[FrozenTrial]:
        """The running trials of a SQLite file whose workers have no lock file, so that they may or may not be alive.

        This happens when the folder of locks was deleted while they ran, or the database copied without it.
        """
        if not self._locks.is_complete:
            return []
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        workers = {trial.number: trial.user_attrs.get(WORKER) for trial in running}
        return [trial for trial in running if (name := workers[trial.number]) and not self._locks.exists(str(name))]

    def of_others(self) -> list[FrozenTrial]:
        """The running trials that another program has started, such as a notebook."""
        return list(filter(_is_of_another, self.study.get_trials(deepcopy=False)))

    def _register(self, lock: FileLock) -> None:
        # Within the study's lock, since a file that is not yet locked looks like that of a dead worker.
        with study_lock(self._storage, self.study.study_name):
            self._recover()
            self._locks.clean_up()
            lock.acquire()

    def _claim(self, space: Space, trials: int | None) -> Trial | None:
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
            if any(other.state == TrialState.RUNNING and not _is_of_another(other) for other in started):
                trial.set_user_attr(BESIDE_OTHERS, True)
            self._beating = trial._trial_id
            return trial

    def _begun(self, space: Space, trials: int | None) -> list[FrozenTrial] | None:
        """All trials that have started, or None when no more may start."""
        while True:
            every = self.study.get_trials(deepcopy=False)
            waiting = [trial for trial in every if trial.state == TrialState.WAITING]
            started = len(every) - len(waiting) - sum(map(_is_of_another, every))
            if not waiting if trials is None else started >= trials:
                return None
            reason = misfit(space, asked_parameters(waiting[0])) if waiting else None
            if reason is None:
                return [trial for trial in every if trial.state != TrialState.WAITING]
            self._fail(waiting[0], reason)

    def _recover(self, *, own: bool = False, count_crashes: bool = True) -> list[FrozenTrial]:
        """Put the trials of dead workers back. To be called by one process at a time.

        `own`: also those of this worker; `count_crashes`: count the crash of a worker against its trial.
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
        """Put a trial back into the queue and return True, or fail it if it has crashed too many workers."""
        if crashes >= CRASHES_IN_AN_EPOCH:
            reason = f"{crashes} workers crashed on it in the same epoch; it may need more memory than there is"
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
        """Whether a trial without a worker's name is from an interrupted claim of this worker."""
        return self._before_ask is not None and trial._trial_id not in self._before_ask

    def _sign(self, trial: Trial | FrozenTrial) -> None:
        self._storage.set_trial_user_attr(trial._trial_id, WORKER, self._worker)

    def _is_gone(self, trial: FrozenTrial, *, is_silent: bool) -> bool:
        """Whether the trial's worker has ended; one that has not signed it counts as ended after the grace period."""
        if _is_of_another(trial):
            return False
        worker = trial.user_attrs.get(WORKER)
        if worker is None:
            age = time.monotonic() - self._first_seen.setdefault(trial._trial_id, time.monotonic())
            return is_silent and age > (self._storage.grace_period or 0)
        return self._locks.is_gone(worker, is_silent=is_silent)

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(self._storage.heartbeat_interval):
            if self._beating is not None:
                with suppress(*STORAGE_ERRORS):
                    self._storage.record_heartbeat(self._beating)
