"""A worker's loop: claim a trial, run it, tell its result, until enough trials have finished."""

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from optuna import TrialPruned
from optuna.trial import FrozenTrial, Trial, TrialState

from data.errors import UserError
from models.training.precision import compute_type
from models.training.trainer import EpochResult
from preprocessing.prepared import PreparedTexts
from study.configuration import StudyConfig
from study.errors import StudyError
from study.search_space import Space
from study.signals import hold_signals, release_signals
from study.storage.attributes import CONFIRMS, FAILURE, WORKER
from study.storage.queries import finished_trials
from study.storage.retrying import STORAGE_ERRORS
from study.storage.studies import checkpoints_of
from study.storage.trial_queue import TrialQueue, describe_failure
from study.trials.artifacts import ArtifactFolder
from study.trials.objective import checkpoint_file, run_trial
from study.trials.repeats import run_confirming_trial
from study.workers.devices import held_device

FAILURES_IN_A_ROW = 5  # with consecutive numbers: then the run ends

RunTrial = Callable[[Trial, Callable[[EpochResult], None]], float]


class TooManyFailuresError(StudyError):
    """Consecutive trials fail; continuing would only use up the budget."""

    exit_code = 1


class _LostTrial(BaseException):
    """The trial was given to another worker, since this one was suspended for too long."""


def run_trials(
    queue: TrialQueue,
    space: Space,
    run_trial: RunTrial,
    *,
    trials: int | None,
    deadline: float,
    on_change: Callable[[], None],
    on_trial_end: Callable[[int], None] = lambda _number: None,
    tolerates_failures: bool = False,
) -> None:
    """Run trials until `trials` have finished in all; None: those that wait, as they come, until it is interrupted.

    None starts after the `deadline` (`time.monotonic()`).
    `on_change` is called when there may be something new to show, `on_trial_end` with the number of a trial whose end
    is stored. When an exception ends this function, the running trial goes back into the queue. Raises
    `TooManyFailuresError` unless `tolerates_failures` is set; `STORAGE_ERRORS`; `UserError`.
    """
    earlier = {trial.number for trial in finished_trials(queue.study)}
    with queue.worker():
        try:
            while time.monotonic() < deadline:
                trial = queue.claim(space, trials=trials)
                on_change()
                if trial is not None:
                    ended = _run_and_tell(queue, trial, run_trial, on_change)
                    release_memory()
                    on_change()
                    if ended is not None:
                        on_trial_end(ended.number)
                    if ended is not None and ended.state == TrialState.FAIL and not tolerates_failures:
                        _check_failures(queue, ended, earlier=earlier)
                elif trials is not None and len(finished_trials(queue.study)) >= trials:
                    return
                else:
                    time.sleep(queue.poll_seconds)
        except BaseException:
            hold_signals()
            queue.release()
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

    The numbers count, not the order of ending, since failing trials end before others that run in parallel. Trials that
    no worker has run, and `earlier` ones, which had ended before this worker started, are left out.
    """
    trials = queue.study.get_trials(deepcopy=False)
    ran = [trial for trial in trials if trial.user_attrs.get(WORKER) and trial.number not in earlier]
    for state, row in groupby(ran, key=lambda trial: trial.state):
        numbers = [trial.number for trial in row]
        if state == TrialState.FAIL and failed.number in numbers and len(numbers) >= FAILURES_IN_A_ROW:
            raise TooManyFailuresError(
                f"{len(numbers)} trials in a row have failed, the last one with {failed.user_attrs.get(FAILURE)}. "
                "Fix the cause, then start the same command again."
            )


def run_worker(
    queue: TrialQueue,
    configuration: StudyConfig,
    prepared: PreparedTexts | None,
    *,
    device: torch.device,
    trials: int | None,
    deadline: float,
    on_change: Callable[[], None],
    on_event: Callable[[str], None],
) -> None:
    """Run trials of a search or of its confirmation; `on_event` is called with a sentence for the user.

    `prepared`: the texts of a search; None for a confirmation, which splits them per repeat.
    """
    checkpoints, confirms = checkpoints_of(queue.study, configuration), CONFIRMS in queue.study.user_attrs

    def remove_checkpoint(number: int) -> None:
        with suppress(OSError):  # removed at the next start of the study
            checkpoint_file(checkpoints, number).unlink(missing_ok=True)

    precision = configuration.base.training.precision
    if precision == "bfloat16" and compute_type(precision, device) != torch.bfloat16:
        on_event("this machine does not multiply bfloat16 in hardware; it trains in float32, not bit for bit the same.")
    with held_device(device, Path(configuration.cache_dir) / "workers") as held:
        run_trials(
            queue,
            configuration.search_space,
            _runner(
                configuration,
                None if confirms else prepared,
                device=held,
                checkpoints=checkpoints,
                on_event=on_event,
            ),
            trials=trials,
            deadline=deadline,
            on_change=on_change,
            on_trial_end=remove_checkpoint,
            tolerates_failures=confirms,  # its repeats have consecutive numbers
        )


def _runner(
    configuration: StudyConfig, prepared: PreparedTexts | None, *, on_event: Callable[[str], None], **common: Any
) -> RunTrial:
    """What runs a trial of a search, or of a confirmation if there are no texts."""
    if configuration.artifact_dir:
        common["artifacts"] = ArtifactFolder(Path(configuration.artifact_dir), on_event)
    common["on_event"] = on_event
    if prepared is None:
        return partial(run_confirming_trial, configuration=configuration, **common)
    cache_dir = Path(configuration.cache_dir)
    return partial(run_trial, base=configuration.base, prepared=prepared, cache_dir=cache_dir, **common)


def release_memory() -> None:
    """Return freed memory to the system, where the C library keeps it (glibc).

    Each trial has tensors of other sizes, which do not fit well into the memory that the last one freed. On R8 (seven
    LSTMs of different hidden sizes, an epoch each) a process grew from 726 to 1,290 MB, with this from 501 to 592.
    """
    with suppress(AttributeError, OSError):  # other C libraries
        ctypes.CDLL(None).malloc_trim(0)
