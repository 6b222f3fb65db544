"""The loop that asks for trials and runs them until so many have finished in all, over restarts."""

import time
from collections.abc import Callable
from typing import Protocol

from optuna import TrialPruned
from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from models.training import EpochResult
from study.errors import StudyError
from study.interruption import Interrupted, hold_signals, release_signals
from study.search_space import Space
from study.storage import STORAGE_ERRORS

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
FAILURES_IN_A_ROW = 5  # so many trials that fail one after the other end the run

RunTrial = Callable[[Trial, Callable[[EpochResult], None]], float]


class TooManyFailuresError(StudyError):
    """Trials fail one after the other; going on would only use up the budget."""

    exit_code = 1


class Watcher(Protocol):
    """Is told what happens, to show it."""

    def trial_started(self, trial: Trial) -> None: ...
    def epoch_ended(self, result: EpochResult) -> None: ...
    def trial_ended(self, study: Study, trial: FrozenTrial) -> None: ...


def finished_trials(study: Study) -> list[FrozenTrial]:
    """COMPLETE, PRUNED and those that failed by themselves; interrupted trials are waiting, not finished."""
    return study.get_trials(deepcopy=False, states=FINISHED)


def search(
    study: Study,
    storage: RDBStorage,
    space: Space,
    run_trial: RunTrial,
    *,
    trials: int,
    timeout: float | None,
    watcher: Watcher,
) -> None:
    """Run trials until `trials` have finished in all, or no new one may begin because `timeout` seconds are over.

    However it ends, the trial in hand goes back into the queue. Raises `TooManyFailuresError`.
    """
    deadline = time.monotonic() + (timeout if timeout is not None else float("inf"))
    failures = 0
    trial: Trial | None = None
    try:
        while len(finished_trials(study)) < trials and time.monotonic() < deadline:
            hold_signals()
            trial = study.ask(space)
            release_signals()
            watcher.trial_started(trial)
            ended = _run_and_tell(study, trial, run_trial, watcher)
            watcher.trial_ended(study, ended)
            failures = failures + 1 if ended.state == TrialState.FAIL else 0
            if failures == FAILURES_IN_A_ROW:
                raise TooManyFailuresError(
                    f"{failures} trials in a row have failed, the last one with {ended.user_attrs['failure']}. "
                    "Mend the cause, then start the same command again."
                )
    except (Interrupted, SystemExit):
        hold_signals()
        if trial is not None and storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
            storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        raise


def _run_and_tell(study: Study, trial: Trial, run_trial: RunTrial, watcher: Watcher) -> FrozenTrial:
    def on_epoch_end(result: EpochResult) -> None:
        release_signals()
        watcher.epoch_ended(result)

    try:
        value = run_trial(trial, on_epoch_end)
    except TrialPruned:
        return study.tell(trial, state=TrialState.PRUNED)
    except STORAGE_ERRORS:
        raise
    except Exception as error:
        trial.set_user_attr("failure", f"{type(error).__name__}: {' '.join(str(error).split())[:500]}")
        return study.tell(trial, state=TrialState.FAIL)
    return study.tell(trial, value)
