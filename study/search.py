"""A worker's loop: claim a trial, run it, tell how it ended, until so many have finished in all."""

import time
from collections.abc import Callable
from itertools import groupby

from optuna import TrialPruned
from optuna.trial import FrozenTrial, Trial, TrialState

from data.errors import UserError
from models.training import EpochResult
from study.errors import StudyError
from study.memory import give_back_memory
from study.search_space import Space
from study.signals import hold_signals, release_signals
from study.storage.attributes import FAILURE, WORKER
from study.storage.connection import STORAGE_ERRORS
from study.storage.queries import finished_trials
from study.storage.trial_queue import TrialQueue, describe_failure

FAILURES_IN_A_ROW = 5  # so many failed trials with consecutive numbers end the run

RunTrial = Callable[[Trial, Callable[[EpochResult], None]], float]


class TooManyFailuresError(StudyError):
    """Trials fail one after the other; going on would only use up the budget."""

    exit_code = 1


class _LostTrial(BaseException):
    """The trial was given to another worker, since this one has slept for too long."""


def search(
    queue: TrialQueue,
    space: Space,
    run_trial: RunTrial,
    *,
    trials: int,
    deadline: float,
    on_change: Callable[[], None],
    on_trial_end: Callable[[int], None] = lambda _number: None,
    bears_failures: bool = False,
) -> None:
    """Run trials until `trials` have finished in all, or the `deadline` (`time.monotonic()`) lets no new one begin.

    `on_change` is called when there may be something new to show, `on_trial_end` with the number of a trial whose end
    is stored. However it ends, the trial in hand goes back into the queue. Raises `TooManyFailuresError` unless it
    `bears_failures`, and what makes going on useless: `STORAGE_ERRORS`, `UserError`.
    """
    earlier = {trial.number for trial in finished_trials(queue.study)}
    with queue.worker():
        try:
            while time.monotonic() < deadline:
                trial = queue.claim(space, trials=trials)
                on_change()
                if trial is not None:
                    ended = _run_and_tell(queue, trial, run_trial, on_change)
                    give_back_memory()
                    on_change()
                    if ended is not None:
                        on_trial_end(ended.number)
                    if ended is not None and ended.state == TrialState.FAIL and not bears_failures:
                        _check_failures(queue, ended, earlier=earlier)
                elif len(finished_trials(queue.study)) >= trials:
                    return
                else:
                    time.sleep(queue.poll_seconds)
        except BaseException:
            hold_signals()
            queue.give_back()
            raise


def _run_and_tell(
    queue: TrialQueue, trial: Trial, run_trial: RunTrial, on_change: Callable[[], None]
) -> FrozenTrial | None:
    def on_epoch_end(_result: EpochResult) -> None:
        release_signals()
        if not queue.holds(trial):
            raise _LostTrial
        on_change()

    try:
        value = run_trial(trial, on_epoch_end)
    except TrialPruned:
        return queue.finish(trial, state=TrialState.PRUNED)
    except _LostTrial:
        return None
    except (*STORAGE_ERRORS, UserError):
        raise
    except Exception as error:
        if not queue.holds(trial):
            return None
        trial.set_user_attr(FAILURE, describe_failure(error))
        return queue.finish(trial, state=TrialState.FAIL)
    return queue.finish(trial, value)


def _check_failures(queue: TrialQueue, failed: FrozenTrial, *, earlier: set[int]) -> None:
    """Raises `TooManyFailuresError` when this trial is one of many with consecutive numbers that have all failed.

    Not one of many that ended one after the other: of all trials that run at a time, those that fail end first. Left
    out are trials that no worker has run, and `earlier` ones, which had ended before this worker began.
    """
    trials = queue.study.get_trials(deepcopy=False)
    ran = [trial for trial in trials if trial.user_attrs.get(WORKER) and trial.number not in earlier]
    for state, row in groupby(ran, key=lambda trial: trial.state):
        numbers = [trial.number for trial in row]
        if state == TrialState.FAIL and failed.number in numbers and len(numbers) >= FAILURES_IN_A_ROW:
            raise TooManyFailuresError(
                f"{len(numbers)} trials in a row have failed, the last one with {failed.user_attrs.get(FAILURE)}. "
                "Mend the cause, then start the same command again."
            )
