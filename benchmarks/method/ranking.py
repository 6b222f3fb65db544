"""How good a winner the rules find by which a report could rank a search's best configurations, and what they cost.

    python benchmarks/method/ranking.py

Simulated searches of 20 complete trials: their true scores lie below a plateau (half a normal distribution of some
width), and every training adds noise. The loss of a rule is how far below the plateau the true score of its winner is,
in hundredths of a point, the mean of 4,000 searches. `halving N` is `study.confirmation.candidates.rank` with N
candidates, which counts the search's own value, too; `fresh halving N` does not. Takes a minute.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from study.confirmation.candidates import Candidate, rank, trainings

TRIALS, SEARCHES = 20, 4000
Floats = np.ndarray[Any, np.dtype[np.float64]]
Train = Callable[[Floats], Floats]  # true scores to scores of one training each


def halving(true: Floats, claimed: Floats, train: Train, *, count: int, with_search: bool = True) -> float:
    best = np.argsort(-claimed)[:count].tolist()
    trials = [SimpleNamespace(value=claimed[number] if with_search else None) for number in best]
    candidates = [
        Candidate({"number": number}, trial, is_default=False)  # type: ignore[arg-type]
        for number, trial in zip(best, trials, strict=True)
    ]

    def train_round(left: list[Candidate], _repeat: int) -> list[Any]:
        scores = train(true[[one.parameters["number"] for one in left]])
        return [SimpleNamespace(value=score) for score in scores.tolist()]

    return float(true[rank(candidates, train_round)[0][0].candidate.parameters["number"]])


def full(true: Floats, claimed: Floats, train: Train, *, count: int, repeats: int) -> float:
    """The rule of before: each of the best on all repeats."""
    best = np.argsort(-claimed)[:count]
    means = np.mean([train(true[best]) for _ in range(repeats)], axis=0)
    return float(true[best[means.argmax()]])


def loss(rule: Callable[[Floats, Floats, Train], float], width: float, noise: float) -> float:
    """How far below the plateau the winners of a rule are on average."""
    generator = np.random.default_rng(0)

    def train(scores: Floats) -> Floats:
        return scores + noise * generator.standard_normal(len(scores))

    winners = []
    for _ in range(SEARCHES):
        true = -np.abs(width * generator.standard_normal(TRIALS))
        winners.append(rule(true, train(true), train))
    return -float(np.mean(winners))


def main() -> None:
    print(f"{'width, noise':<20}" + "".join(f"{width:g}, {noise:g}".rjust(14) for width, noise in SETTINGS))
    for name, (rule, cost) in RULES.items():
        losses = "".join(f"{1e4 * loss(rule, width, noise):14.0f}" for width, noise in SETTINGS)
        print(f"{name:<20}{losses}   {cost} trainings", flush=True)


SETTINGS = ((0.02, 0.02), (0.01, 0.02), (0.05, 0.02), (0.02, 0.01))
RULES: dict[str, tuple[Any, int]] = {
    "search alone": (lambda *given: halving(*given, count=1), 0),
    "3 on 3 repeats": (lambda *given: full(*given, count=3, repeats=3), 9),
    "halving 4": (lambda *given: halving(*given, count=4), trainings(4)),
    "fresh halving 4": (lambda *given: halving(*given, count=4, with_search=False), trainings(4)),
    "halving 6": (lambda *given: halving(*given, count=6), trainings(6)),
    "6 on 1 repeat": (lambda *given: full(*given, count=6, repeats=1), 6),
    "halving 8": (lambda *given: halving(*given, count=8), trainings(8)),
}

if __name__ == "__main__":
    main()
