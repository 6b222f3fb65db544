"""How often equal systems are taken for different ones by the verdict's test, and how often a difference is found.

    python benchmarks/verdict_errors.py

Simulated systems of some 90 % accuracy on as many texts as R8's test split, with 3 or 5 seeds: their own spread from
seed to seed is less than, about, or more than that from the texts, and there is an error of each seed that both systems
share, or none. For each, the share of 400 pairs with p < 0.05: of equal systems, where it should be 5 %, and of systems
that differ by two points. Takes 8 minutes.
"""

from itertools import product

import numpy as np

from models.scores import Classes
from models.statistics import paired_bootstrap

TEXTS, PAIRS, ROUNDS = 2_189, 400, 1_000
HARD, OWN, CHANCE = 1.0, 0.25, 0.15  # what decides whether a text is right: for all, for a system, for a training
SLOPE = 0.17  # of accuracy, by the threshold at 90 %


def simulate(generator: np.random.Generator, hard: np.ndarray, accuracies: np.ndarray) -> Classes:
    """Predictions (S, N) of a system whose trainings have these accuracies (S,), about; the right class is 0."""
    threshold = 1.2816 * np.sqrt(HARD**2 + OWN**2 + CHANCE**2) + (accuracies[:, None] - 0.9) / SLOPE
    own = OWN * generator.standard_normal(len(hard))
    chance = CHANCE * generator.standard_normal((len(accuracies), len(hard)))
    return (hard + own + chance > threshold).astype(np.int64)


def found_share(generator: np.random.Generator, *, seeds: int, spread: float, shared: float, effect: float) -> float:
    labels, found = np.zeros(TEXTS, np.int64), 0
    for pair in range(PAIRS):
        hard = HARD * generator.standard_normal(TEXTS)
        both = 0.9 + shared * generator.standard_normal(seeds)
        a, b = (
            simulate(generator, hard, both + better + spread * generator.standard_normal(seeds))
            for better in (effect, 0.0)
        )
        found += paired_bootstrap(labels, a, b, "accuracy", seed=pair, rounds=ROUNDS).p_value < 0.05
    return found / PAIRS


def main() -> None:
    generator = np.random.default_rng(1)
    errors = []
    for seeds, spread, shared in product((3, 5), (0.0, 0.002, 0.005, 0.01, 0.03), (0.0, 0.01)):
        case = {"seeds": seeds, "spread": spread, "shared": shared}
        error, power = (found_share(generator, **case, effect=effect) for effect in (0.0, 0.02))
        errors.append(error)
        print(f"{seeds} seeds, spread {spread}, shared {shared}: equal {error:.1%}, two points apart {power:.1%}")
    print(f"Equal systems: {min(errors):.1%} to {max(errors):.1%}, {np.mean(errors):.1%} on average")


if __name__ == "__main__":
    main()
