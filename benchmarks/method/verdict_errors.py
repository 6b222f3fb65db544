"""How often the verdict tells equal configurations apart, and by how much the winner's fresh mean is too high.

    python benchmarks/method/verdict_errors.py [--pairs 1000] [--old]

A search's best configurations, all equally good, are simulated on as many texts as R8's test split, in classes of the
same sizes: a training is right on a text or not by what makes the text hard for all, for this configuration, and for
this training, and every training has some luck of its own that shows on validation texts and on the test alike. A
winner is chosen by `study.confirmation.candidates.rank` and tested against the default configuration on further
repeats, as `study.report` does it; that those repeats have ranked nothing is taken for granted here, and held by a test
of the confirmation. The share of winners that are "better" or "worse" (p < 0.05) should be 2.5 % each.

With `--old`, by the rule of before: the best of `--top` + 1 means over the very trainings that are then tested. The
last lines show how often two points of accuracy are found. Takes about 20 minutes.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np

from models.training.scores import Classes, Metric
from study.confirmation.bootstrap import paired_bootstrap
from study.confirmation.candidates import Candidate, rank

CLASS_SIZES = (1083, 696, 121, 87, 81, 75, 36, 10)  # of R8's test split
LABELS = np.repeat(np.arange(len(CLASS_SIZES)), CLASS_SIZES)
VALIDATION_TEXTS = 547
ROUNDS = 500
HARD, OWN, CHANCE = 1.0, 0.25, 0.15  # what makes a text wrong: for all, for a configuration, for a training
RARITY = 0.25  # how much harder a class is for every factor of e by which it is smaller
SLOPE = 0.17  # of accuracy, by the threshold at 90 %


@dataclass(frozen=True)
class Case:
    metric: Metric
    seeds: int  # repeats that are tested
    spread: float  # of accuracy from training to training
    top: int


class Corpus:
    """The texts of one simulated study: how hard each is, and what it is taken for when it is not understood."""

    def __init__(self, generator: np.random.Generator) -> None:
        self.generator = generator
        sizes = np.array(CLASS_SIZES)
        rarity = RARITY * (np.log(sizes[0]) - np.log(sizes))[LABELS]
        self.hard = HARD * generator.standard_normal(len(LABELS)) + rarity - rarity.mean()
        others = generator.choice(len(sizes), size=len(LABELS), p=sizes / sizes.sum())
        self.mistakes = np.where(others == LABELS, (LABELS + 1) % len(sizes), others)

    def own(self) -> np.ndarray:
        """What is hard for one configuration."""
        return OWN * self.generator.standard_normal(len(LABELS))

    def predict(self, own: np.ndarray, accuracies: np.ndarray) -> Classes:
        """Predictions (S, N) of trainings with about these accuracies (S,)."""
        threshold = 1.2816 * np.sqrt(HARD**2 + OWN**2 + CHANCE**2) + (accuracies[:, None] - 0.9) / SLOPE
        chance = CHANCE * self.generator.standard_normal((len(accuracies), len(LABELS)))
        return np.where(self.hard + own + chance > threshold, self.mistakes, LABELS)

    def luck(self, case: Case, *shape: int) -> np.ndarray:
        """The accuracies of trainings."""
        return 0.9 + case.spread * self.generator.standard_normal(shape)

    def validate(self, accuracies: np.ndarray) -> np.ndarray:
        """Validation scores: the accuracy, and the chance of texts that are not the same for all."""
        error = np.sqrt((OWN**2 + CHANCE**2) / (HARD**2 + OWN**2 + CHANCE**2) * 0.09 / VALIDATION_TEXTS)
        return accuracies + error * self.generator.standard_normal(accuracies.shape)


def choose_old(corpus: Corpus, case: Case) -> tuple[float, np.ndarray, np.ndarray] | None:
    """Winner and default configuration by the old rule: fresh mean, and the accuracies that are tested."""
    accuracies = corpus.luck(case, case.top + 1, case.seeds)
    means = corpus.validate(accuracies).mean(axis=1)
    winner = int(means.argmax())
    return None if winner == 0 else (float(means[winner]), accuracies[winner], accuracies[0])


def choose(corpus: Corpus, case: Case) -> tuple[float, np.ndarray, np.ndarray] | None:
    """The same by the rule of now."""

    def claimed(number: int) -> Any:
        return SimpleNamespace(value=float(corpus.validate(corpus.luck(case, 1))[0]), number=number)

    def train(left: list[Candidate], _repeat: int) -> list[Any]:
        return [claimed(number) for number, _ in enumerate(left)]

    candidates = [Candidate({}, claimed(number), is_default=number == 0) for number in range(case.top)]
    ranked, _failed = rank(candidates, train)
    if ranked[0].candidate.is_default:
        return None
    winner, default = corpus.luck(case, 2, case.seeds)
    return float(corpus.validate(winner).mean()), winner, default


def simulate(case: Case, pairs: int, *, old: bool) -> tuple[float, float, float]:
    """The shares of "better" and "worse", and how much the winner's fresh mean is too high."""
    better, worse, excess, compared = 0, 0, 0.0, 0
    for pair in range(pairs):
        corpus = Corpus(np.random.default_rng([pair, case.top, case.seeds]))
        chosen = (choose_old if old else choose)(corpus, case)
        if chosen is None:
            continue  # the default configuration has won: there is nothing to compare
        fresh, *accuracies = chosen
        winner, default = (corpus.predict(corpus.own(), each) for each in accuracies)
        found = paired_bootstrap(LABELS, winner, default, case.metric, seed=pair, rounds=ROUNDS)
        better += found.p_value < 0.05 and found.difference > 0
        worse += found.p_value < 0.05 and found.difference < 0
        excess, compared = excess + fresh - 0.9, compared + 1
    return better / compared, worse / compared, excess / compared


def power(case: Case, pairs: int) -> float:
    """How often two points of accuracy are found."""
    found = 0
    for pair in range(pairs):
        corpus = Corpus(np.random.default_rng([pair, case.seeds]))
        a, b = (corpus.predict(corpus.own(), more + corpus.luck(case, case.seeds)) for more in (0.02, 0.0))
        found += paired_bootstrap(LABELS, a, b, case.metric, seed=pair, rounds=ROUNDS).p_value < 0.05
    return found / pairs


def cases() -> Iterator[Case]:
    metrics: tuple[Metric, ...] = ("accuracy", "macro_f1")
    for metric, seeds, spread, top in product(metrics, (3, 5), (0.002, 0.01, 0.03), (2, 4, 16)):
        yield Case(metric, seeds, spread, top)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--old", action="store_true", help="the rule of before")
    options = parser.parse_args()
    for case in cases():
        better, worse, excess = simulate(case, options.pairs, old=options.old)
        print(f"{case}: better {better:.1%}, worse {worse:.1%}, fresh mean {excess:+.4f}", flush=True)
    for seeds, spread in product((3, 5), (0.002, 0.01, 0.03)):
        case = Case("accuracy", seeds, spread, 1)
        print(f"Two points apart, {seeds} seeds, spread {spread}: found in {power(case, options.pairs // 4):.0%}")


if __name__ == "__main__":
    main()
