"""An audit of pruning: pruned trials are trained to the end, to see how many would have reached the search's top.

One half are the trials that were nearest to the score to reach when they were pruned, the most likely to have been
pruned wrongly. The others are a random sample of the rest, to estimate the rate over all. Each is trained
again on the search's own seed and texts, without a pruner, so that its first epochs are the same.
"""

import math
from dataclasses import dataclass

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import binomtest

from study.confirmation.candidates import rank_configurations
from study.confirmation.trainings import Wanted
from study.formatting import plural
from study.sampling import PRUNING_RULE, score_to_reach
from study.search_space import Space, is_configuration
from study.storage.attributes import AUDITS, FINGERPRINT
from study.storage.fingerprint import PRUNING
from study.storage.queries import complete_trials


@dataclass(frozen=True)
class Chosen:
    """The pruned trials to finish."""

    nearest: tuple[FrozenTrial, ...]  # to the score to reach, the nearest first
    random: tuple[FrozenTrial, ...]  # of the rest


@dataclass(frozen=True)
class Audited:
    """A pruned trial of the search, and the same one trained to the end."""

    pruned: FrozenTrial
    finished: FrozenTrial  # of the confirmation: complete, or failed
    rank: int | None  # among the search's complete configurations and the audited ones; None if it failed
    is_random: bool  # sampled at random, not one of the nearest

    @property
    def is_repeated(self) -> bool:
        """Whether its first epochs repeat the pruned trial's, bit for bit, as on the same machine and versions."""
        curve = self.finished.intermediate_values
        return all(curve.get(step) == value for step, value in self.pruned.intermediate_values.items())


@dataclass(frozen=True)
class Rate:
    """The share of a search's pruned trials that would have reached its top."""

    estimate: float
    low: float  # of the 95 % interval
    high: float


@dataclass(frozen=True)
class Audit:
    audited: tuple[Audited, ...]  # the nearest first, then those drawn at random
    pruned: int  # pruned trials of the search, in all
    top: int  # how many configurations count as the search's top
    bar: float  # the value of the last of them, to be exceeded

    @property
    def into_top(self) -> int:
        return sum(map(self._reaches_top, self.audited))

    @property
    def rate(self) -> Rate | None:
        """The estimate for all pruned trials except failed nearest ones; None without a random sample.

        The nearest are counted; the rate of the rest is estimated from the random sample, with the exact interval
        (Clopper & Pearson 1934).
        """
        counted = [audited for audited in self.audited if not audited.is_random]
        drawn = [audited for audited in self.audited if audited.is_random]
        rest = self.pruned - len(counted)
        counted, drawn = ([audited for audited in group if audited.rank is not None] for group in (counted, drawn))
        if not drawn:
            return None
        wrong_nearest, wrong_drawn = (sum(map(self._reaches_top, group)) for group in (counted, drawn))
        interval = binomtest(wrong_drawn, len(drawn)).proportion_ci(method="exact")
        least = wrong_nearest + wrong_drawn  # what was observed is certain
        most = wrong_nearest + rest - (len(drawn) - wrong_drawn)
        shares = [wrong_drawn / len(drawn), interval.low, interval.high]
        bounds = [min(max(wrong_nearest + rest * share, least), most) for share in shares]
        return Rate(*(bound / (len(counted) + rest) for bound in bounds))

    def describe(self, best: float) -> str:
        """The result of the audit in sentences; `best` is the best value of the search."""
        if not self.pruned:
            return "The audit of pruning: no trial was pruned, so it has cost nothing."
        count, drawn = len(self.audited), sum(audited.is_random for audited in self.audited)
        which = f"the {plural(count - drawn, 'trial')} that were nearest to the score to reach"
        which += f", and {drawn} of the others at random" if drawn else ""
        sentences = [
            f"The audit of pruning: of {plural(self.pruned, 'pruned trial')}, {count} were trained to the end "
            f"({which}); {self.into_top or 'none'} of them scored above {self.bar:.4f}, the lowest score of the "
            f"search's top {self.top}."
        ]
        if rate := self.rate:
            interval = f" (95 % interval {rate.low:.0%} to {rate.high:.0%})" if rate.low < rate.high else ""
            sentences.append(f"Over all pruned trials, that is estimated as {rate.estimate:.0%}{interval}.")
        reached = {audited.pruned.number: audited.finished.value or 0.0 for audited in self.audited}
        if better := [number for number, value in reached.items() if value > best]:
            sentences.append(
                f"{_trials(better)} would have beaten the best of the search, {best:.4f}, with "
                f"{'up to ' * (len(better) > 1)}{max(reached.values()):.4f}: pruning has cost the difference. "
                "A search with --pruner none prunes nothing."
            )
        if failed := [audited.pruned.number for audited in self.audited if audited.rank is None]:
            sentences.append(f"{_trials(failed)} failed on the way.")
        finished = [audited for audited in self.audited if audited.rank is not None]
        if others := [audited.pruned.number for audited in finished if not audited.is_repeated]:
            sentences.append(
                f"{_trials(others)} did not repeat the first epochs bit for bit, as on other machines or versions."
            )
        return " ".join(sentences)

    def _reaches_top(self, audited: Audited) -> bool:
        return audited.rank is not None and (audited.finished.value or 0.0) > self.bar


def choose_pruned(search: Study, space: Space, *, trials: int, seed: int) -> Chosen:
    """Choose pruned trials to finish: half of them (rounded up) the nearest, the others a random sample of the rest."""
    complete = complete_trials(search)
    rule = search.user_attrs.get(FINGERPRINT, {PRUNING: PRUNING_RULE}).get(PRUNING, 1)
    pruned = [(_gap(trial, complete, rule), trial) for trial in _pruned(search, space)]
    by_gap = [trial for _, trial in sorted(pruned, key=lambda pair: (pair[0], pair[1].number))]
    trials = min(trials, len(pruned))
    nearest = by_gap[: (trials + 1) // 2]
    shuffled = np.random.default_rng(seed).permutation(len(pruned))
    rest = [by_number for by_number in (pruned[place][1] for place in shuffled) if by_number not in nearest]
    return Chosen(tuple(nearest), tuple(rest[: trials - len(nearest)]))


def to_finish(chosen: Chosen) -> list[Wanted]:
    """The trainings that the audit needs."""
    return [(trial.params, {AUDITS: trial.number}) for trial in (*chosen.nearest, *chosen.random)]


def audit(search: Study, confirmation: Study, chosen: Chosen, space: Space, *, top: int) -> Audit:
    """The audit, from a confirmation that has finished the chosen trials."""
    pruned = (*chosen.nearest, *chosen.random)
    ends = {trial.user_attrs.get(AUDITS): trial for trial in confirmation.get_trials(deepcopy=False)}
    best = rank_configurations(search, space)
    places = [(-(trial.value or 0.0), trial.number) for trial in best]
    own = {
        trial.number: (-(ends[trial.number].value or 0.0), trial.number)
        for trial in pruned
        if ends[trial.number].state == TrialState.COMPLETE
    }
    ranked = sorted([*places, *own.values()])
    audited = [
        Audited(
            trial,
            ends[trial.number],
            ranked.index(own[trial.number]) + 1 if trial.number in own else None,
            is_random=trial in chosen.random,
        )
        for trial in pruned
    ]
    top = min(top, len(best))
    return Audit(tuple(audited), len(_pruned(search, space)), top, best[top - 1].value or 0.0)


def _pruned(search: Study, space: Space) -> list[FrozenTrial]:
    """The pruned trials that have scores and a configuration that can be trained."""
    pruned = search.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    return [trial for trial in pruned if _has_scores(trial) and is_configuration(trial.params, space)]


def _has_scores(trial: FrozenTrial) -> bool:
    scores = [trial.value, *trial.intermediate_values.values()]
    return len(scores) > 1 and all(score is not None and math.isfinite(score) for score in scores)


def _gap(trial: FrozenTrial, complete: list[FrozenTrial], rule: int) -> float:
    """How far a pruned trial's last score lies below the one to reach at the same epoch."""
    assert trial.last_step is not None
    others = [
        other.intermediate_values[trial.last_step] for other in complete if trial.last_step in other.intermediate_values
    ]
    return score_to_reach(others, rule) - trial.intermediate_values[trial.last_step] if others else float("inf")


def _trials(numbers: list[int]) -> str:
    return f"Trial{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
