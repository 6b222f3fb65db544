"""The configurations of a search that are trained again, and their ranking by elimination.

Each round trains the remaining candidates on one more repeat and keeps the better half. A candidate is ranked by the
mean of all its trainings, including that of the search: the winner's score comes from further repeats, which rank
nothing (`study.confirmation.trainings`), so the ranking may be biased, but must be good. `benchmarks/method/ranking.py`
compares this rule with others.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial

from study.analysis.surrogate import to_unit
from study.configuration import StudyConfig
from study.errors import StudyError
from study.search_space import Space, default_parameters, is_configuration
from study.storage.queries import complete_trials

NEAR = 0.02  # two numbers are near-identical within this share of their range, on its own scale

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A configuration that is trained again."""

    parameters: Parameters
    trial: FrozenTrial | None  # of the search; None for a default configuration without a complete trial
    is_default: bool

    @property
    def claimed(self) -> float | None:
        """The score in the search."""
        return self.trial.value if self.trial else None


@dataclass(frozen=True)
class Ranked:
    """A candidate with its trainings in the ranking."""

    candidate: Candidate
    trials: tuple[FrozenTrial, ...] = ()  # of the confirmation, one per round

    @property
    def values(self) -> tuple[float, ...]:
        """The validation scores of `trials`."""
        return tuple(trial.value or 0.0 for trial in self.trials)

    @property
    def means(self) -> tuple[float, ...]:
        """The mean score over all its trainings, including that of the search, after each of its rounds."""
        claimed = [] if self.candidate.claimed is None else [self.candidate.claimed]
        return tuple(statistics.fmean([*claimed, *self.values[: count + 1]]) for count in range(len(self.trials)))


def find_candidates(study: Study, configuration: StudyConfig, *, top: int) -> list[Candidate]:
    """The best `top` configurations of a search, the best first; of near-identical ones only the best.

    The default configuration replaces a near-identical one. Raises `StudyError` when no trial is complete.
    """
    space = configuration.search_space
    ranked = rank_configurations(study, space)
    if not ranked:
        raise StudyError(f"Study '{study.study_name}' has no complete trial yet; continue it with study.run first.")
    default = default_candidate(study, configuration)
    candidates: list[Candidate] = []
    for trial in ranked:
        is_default = default.trial is not None and near_identical(space, trial.params, default.parameters)
        candidate = default if is_default else Candidate(trial.params, trial, is_default=False)
        if not any(near_identical(space, candidate.parameters, other.parameters) for other in candidates):
            candidates.append(candidate)
        if len(candidates) == top:
            break
    return candidates


def default_candidate(study: Study, configuration: StudyConfig) -> Candidate:
    """The default configuration, with its best complete trial."""
    space = configuration.search_space
    default = default_parameters(space, configuration.base)
    tried = next((trial for trial in rank_configurations(study, space) if trial.params == default), None)
    return Candidate(default, tried, is_default=True)


def rank_configurations(study: Study, space: Space) -> list[FrozenTrial]:
    """The best complete trial of every configuration of the space, the best first; ties go to the earliest trial."""
    complete = [trial for trial in complete_trials(study) if is_configuration(trial.params, space)]
    best_first = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    best = {tuple(sorted(trial.params.items())): trial.number for trial in reversed(best_first)}
    numbers = set(best.values())
    return [trial for trial in best_first if trial.number in numbers]


def near_identical(space: Space, first: Parameters, second: Parameters) -> bool:
    """Whether two configurations have the same categories and numbers within `NEAR` of each other."""
    return all(
        first[name] == second[name]
        if isinstance(range_, CategoricalDistribution)
        else abs(to_unit(range_, first[name]) - to_unit(range_, second[name])) <= NEAR
        for name, range_ in space.items()
    )


def rank(
    candidates: Sequence[Candidate], train: Callable[[list[Candidate], int], list[FrozenTrial | None]]
) -> tuple[list[Ranked], list[Candidate]]:
    """The ranked candidates, the best first, and the candidates whose training has failed.

    `train(candidates, repeat)` returns the trial of each candidate, None for a failed one. In a tie, the default
    configuration comes first.
    """
    left, eliminated, failed = [Ranked(candidate) for candidate in candidates], list[Ranked](), list[Candidate]()
    repeat = 0
    while len(left) > 1:
        trials = train([ranked.candidate for ranked in left], repeat)
        failed += [ranked.candidate for ranked, trial in zip(left, trials, strict=True) if trial is None]
        pairs = [(ranked, trial) for ranked, trial in zip(left, trials, strict=True) if trial]
        trained = [replace(ranked, trials=(*ranked.trials, trial)) for ranked, trial in pairs]
        trained.sort(key=lambda ranked: (-ranked.means[-1], not ranked.candidate.is_default))
        half = (len(trained) + 1) // 2
        left, eliminated = trained[:half], trained[half:] + eliminated
        repeat += 1
    return left + eliminated, failed


def rounds(candidates: int) -> int:
    """The number of rounds, and so of repeats, that `rank` needs for this many candidates."""
    return (candidates - 1).bit_length()


def trainings(candidates: int) -> int:
    """The number of trainings that `rank` needs for this many candidates."""
    return sum((candidates + 2**round_ - 1) // 2**round_ for round_ in range(rounds(candidates)))
