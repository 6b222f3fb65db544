"""An audit of pruning: pruned trials trained to their end, to see whether any of them belonged into the top.

Those that had the best score when they were pruned are trained again on the search's own seed and texts, without a
pruner, so that their first epochs are the same. That is the worst case: the others were further from the top.
"""

from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.confirmation import AUDITS, rank_configurations


@dataclass(frozen=True)
class Audited:
    """A trial that the search has pruned, and the same one trained to its end."""

    pruned: FrozenTrial
    finished: FrozenTrial  # of the confirmation: complete, or failed
    rank: int | None  # among the search's complete configurations and all that were audited; None when it has failed

    @property
    def is_repeated(self) -> bool:
        """Whether its first epochs were the pruned trial's, bit for bit: as on the same machine and versions."""
        curve = self.finished.intermediate_values
        return all(curve.get(step) == value for step, value in self.pruned.intermediate_values.items())


@dataclass(frozen=True)
class Audit:
    audited: tuple[Audited, ...]  # the one that was best when it was pruned first
    pruned: int  # trials of the search, in all
    top: int  # how many configurations count as the search's top

    @property
    def into_top(self) -> int:
        return sum(one.rank is not None and one.rank <= self.top for one in self.audited)

    def describe(self, best: float) -> str:
        """What pruning has cost a search whose best value is this."""
        if not self.pruned:
            return "The audit of pruning: no trial was pruned, so it has cost nothing."
        count = len(self.audited)
        which = (
            "all that the search has pruned"
            if count == self.pruned
            else f"of the {self.pruned} pruned ones those that were best when they were pruned"
        )
        told = [
            f"The audit of pruning: trained to the end, {self.into_top or 'none'} of {count} pruned "
            f"trial{'s' * (count > 1)} would have come into the top {self.top} of the search ({which})."
        ]
        reached = {one.pruned.number: one.finished.value or 0.0 for one in self.audited}
        if better := [number for number, value in reached.items() if value > best]:
            told.append(
                f"{_trials(better)} would have beaten the best of the search, {best:.4f}, with "
                f"{'up to ' * (len(better) > 1)}{max(reached.values()):.4f}: pruning has cost the difference. "
                "A search with --pruner none prunes nothing."
            )
        if failed := [one.pruned.number for one in self.audited if one.rank is None]:
            told.append(f"{_trials(failed)} failed on the way.")
        if others := [one.pruned.number for one in self.audited if one.rank is not None and not one.is_repeated]:
            told.append(f"{_trials(others)} did not repeat the first epochs bit for bit, as on another machine.")
        return " ".join(told)


def choose_pruned(search: Study, *, trials: int) -> list[FrozenTrial]:
    """So many of the trials that were pruned, those with the best score by then, the best first."""
    pruned = search.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return sorted(pruned, key=lambda trial: (-(trial.value or 0.0), trial.number))[:trials]


def audit(search: Study, confirmation: Study, pruned: list[FrozenTrial], *, top: int) -> Audit:
    """Where the pruned trials would have come to, from a confirmation that has finished them."""
    ends = {trial.user_attrs.get(AUDITS): trial for trial in confirmation.get_trials(deepcopy=False)}
    places = [(-(trial.value or 0.0), trial.number) for trial in rank_configurations(search)]
    own = {
        trial.number: (-(ends[trial.number].value or 0.0), trial.number)
        for trial in pruned
        if ends[trial.number].state == TrialState.COMPLETE
    }
    ranked = sorted([*places, *own.values()])
    audited = [
        Audited(trial, ends[trial.number], ranked.index(own[trial.number]) + 1 if trial.number in own else None)
        for trial in pruned
    ]
    states = [trial.state for trial in search.get_trials(deepcopy=False)]
    return Audit(tuple(audited), states.count(TrialState.PRUNED), top)


def _trials(numbers: list[int]) -> str:
    return f"Trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
