"""The trainings that confirm a search: each candidate on fresh repeats, since its score in the search is optimistic.

They are the trials of a second study in the same database. Each has a configuration and the number of a repeat (in the
database: a draw), which stands for a fresh training seed and a fresh split into training and validation texts. The
repeats that rank candidates differ from those that confirm the winner, so that no training does both: the luck that
chose a winner is neither in its confirmed score nor in its test. Refits train the winner on all texts but the test's,
to be exported; nothing validates them. The same workers run them, and continue interrupted ones. The weights of
confirming trainings and refits are kept in the cache folder. Pruned trials of the search can be queued there, too, to
be finished on the search's own seed and texts (`study.confirmation.pruning_audit`).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.configuration import FIRST_REFIT
from study.confirmation.candidates import Candidate, Parameters
from study.storage.attributes import AUDITS, FAILURE, REPEAT, WITHDRAWN
from study.storage.queries import asked_parameters, complete_trials
from study.storage.trial_queue import TrialQueue
from study.trials.repeats import FIRST_CONFIRMING, has_weights

TRIES = 2  # attempts at a training that fails

Purpose = dict[str, int]  # the repeat, or the pruned trial, of a training
Wanted = tuple[Parameters, Purpose]


@dataclass(frozen=True)
class Extent:
    """How much of a search is trained again, by the names of the options of `study.report`."""

    top: int = 4  # configurations to rank
    seeds: int = 3  # repeats that confirm the winner and the default configuration
    audit: int = 0  # pruned trials to finish, or all if there are fewer

    def non_defaults(self) -> dict[str, int]:
        """The options whose values are not the defaults."""
        return {option: number for option, number in asdict(self).items() if number != getattr(Extent, option)}


@dataclass(frozen=True)
class LeftOut:
    """A candidate whose training has failed on a repeat."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class Confirmed:
    """A candidate with its trainings on repeats that have ranked nothing."""

    candidate: Candidate
    trials: tuple[FrozenTrial, ...]  # of the confirmation, by repeat
    refits: tuple[FrozenTrial, ...] = ()  # its trainings on all texts but the test's, if there are any
    refit_failure: str = ""  # why refits are missing

    @property
    def members(self) -> tuple[FrozenTrial, ...]:
        """The trainings whose average is exported."""
        return self.refits or self.trials

    def temperature_of(self, member: FrozenTrial, temperatures: Sequence[float]) -> float:
        """The temperature of a member, if those of `trials` are given; for a refit, their mean."""
        return temperatures[self.trials.index(member)] if member in self.trials else statistics.fmean(temperatures)

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float:
        """The standard deviation over the repeats; not a number for a single one."""
        return statistics.stdev(self.values) if len(self.trials) > 1 else math.nan

    @property
    def optimism(self) -> float | None:
        """How much the score in the search exceeds the mean on fresh repeats."""
        claimed = self.candidate.claimed
        return None if claimed is None else claimed - self.mean

    @property
    def values(self) -> list[float]:
        """The validation scores of `trials`."""
        return [trial.value or 0.0 for trial in self.trials]

    @property
    def exported(self) -> int:
        """The index in `trials` of the training that is exported alone: the best on its own validation texts."""
        return max(range(len(self.trials)), key=lambda row: self.values[row])


def confirming(candidate: Candidate, *, repeats: int) -> list[Wanted]:
    """The trainings that confirm a candidate."""
    return [(candidate.parameters, {REPEAT: FIRST_CONFIRMING + number}) for number in range(repeats)]


def refitting(candidate: Candidate, *, repeats: int) -> list[Wanted]:
    """The trainings of a candidate on all texts but the test's."""
    return [(candidate.parameters, {REPEAT: FIRST_REFIT + number}) for number in range(repeats)]


def ranking(candidates: Sequence[Candidate], repeat: int) -> list[Wanted]:
    """The trainings of a round of the ranking."""
    return [(candidate.parameters, {REPEAT: repeat}) for candidate in candidates]


def left(study: Study, asked: Sequence[Wanted], *, checkpoints: Path, since: int = 0) -> list[Wanted]:
    """The trainings that are not complete, under way or not; a confirming one is not complete without its weights.

    One that failed `TRIES` times in trials numbered `since` or higher is not tried again.
    """
    complete: list[Wanted] = []
    failed: list[Wanted] = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE:
            complete += [_asked(trial)] if _is_there(trial, checkpoints) else []
        elif trial.state.is_finished() and trial.number >= since:
            failed.append(_asked(trial))
    found: list[Wanted] = []
    for one in asked:
        if one not in [*complete, *found] and failed.count(one) < TRIES:
            found.append(one)
    return found


def under_way(study: Study) -> list[Wanted]:
    """The trainings that wait or run."""
    return [_asked(trial) for trial in study.get_trials(deepcopy=False) if not trial.state.is_finished()]


def enqueue(queue: TrialQueue, todo: Sequence[Wanted], *, room: int | None = None) -> int:
    """Queue those trainings that are not under way; returns the study's number of trials.

    `room`: how many trainings may be under way, so that what comes next waits only for those that have started. To be
    called by one process at a time.
    """
    there = under_way(queue.study)
    for parameters, purpose in todo:
        if (parameters, purpose) not in there and (room is None or len(there) < room):
            queue.study.enqueue_trial(parameters, user_attrs=purpose)
            there.append((parameters, purpose))
    return len(queue.study.get_trials(deepcopy=False))


def withdraw_all_but(queue: TrialQueue, asked: Sequence[Wanted]) -> None:
    """Withdraw the waiting trainings of an earlier report that are not asked for. By one process at a time."""
    for trial in queue.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if _asked(trial) not in asked:
            queue.withdraw(trial)


def trained(study: Study, wanted: Sequence[Wanted], *, checkpoints: Path) -> list[FrozenTrial | None]:
    """The complete trial of each training, None if there is none; the last one if it was trained again."""
    there = [(_asked(trial), trial) for trial in complete_trials(study) if _is_there(trial, checkpoints)]
    return [next((trial for done, trial in reversed(there) if done == asked), None) for asked in wanted]


def left_out(study: Study, candidate: Candidate, *, least: int = 0) -> LeftOut:
    """A candidate that failed on a repeat, from the number `least` on, with the last reason."""
    reasons = [
        trial.user_attrs.get(FAILURE, "no reason was recorded")
        for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if trial.user_attrs.get(REPEAT, -1) >= least
        and WITHDRAWN not in trial.user_attrs
        and _asked(trial)[0] == candidate.parameters
        and WITHDRAWN not in trial.user_attrs
        and _asked(trial)[0] == candidate.parameters
    ]
    return LeftOut(candidate, reasons[-1] if reasons else "it was not trained")


def _is_there(trial: FrozenTrial, checkpoints: Path) -> bool:
    """Whether a complete training can be used: a confirming one needs its weights in this cache."""
    return trial.user_attrs.get(REPEAT, 0) < FIRST_CONFIRMING or has_weights(checkpoints, trial)


def _asked(trial: FrozenTrial) -> Wanted:
    """The parameters and the purpose of a trial of the confirmation, which may still be waiting."""
    purpose = {name: trial.user_attrs[name] for name in (REPEAT, AUDITS) if name in trial.user_attrs}
    return asked_parameters(trial), purpose
