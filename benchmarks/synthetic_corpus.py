"""A corpus of the size of the biographies that this project began with, or of any other size.

    python benchmarks/synthetic_corpus.py corpus.csv --texts 217000

Texts of about 60 words, drawn by Zipf's law from 60,000. 28 classes hold from 32 to 0.4 % of them. Two neighbouring
classes have the same words of their own, which stand in another order: a model that ignores the order tells them apart
only by how often they occur. 5 % of the labels are wrong.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

WORDS, CLASSES, MEAN_LENGTH = 60_000, 28, 60
LARGEST, SMALLEST = 0.32, 0.004  # shares of a class
OWN_WORDS = 40  # of two neighbouring classes: pairs of them tell the class by their order
PAIRS_PER_TEXT = 3
WRONG = 0.05  # share of the labels


def class_shares() -> npt.NDArray[np.float64]:
    """The largest class, and a geometric series from the second one to the smallest."""

    def others(second: float) -> npt.NDArray[np.float64]:
        return np.geomspace(second, SMALLEST, CLASSES - 1)

    second = brentq(lambda share: others(share).sum() - (1 - LARGEST), SMALLEST, LARGEST)
    return np.concatenate([[LARGEST], others(second)])


def write(path: Path, texts: int, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    lengths = np.maximum(generator.poisson(MEAN_LENGTH, texts), 2 * PAIRS_PER_TEXT)
    frequency = 1 / np.arange(1, WORDS + 1)
    names = np.array([f"w{number:x}" for number in generator.permutation(WORDS)])
    own = 500 + generator.permutation(WORDS // 10)[: CLASSES // 2 * OWN_WORDS].reshape(CLASSES // 2, -1)  # by pair
    classes = generator.choice(CLASSES, texts, p=class_shares())
    labels = np.where(generator.random(texts) < WRONG, generator.integers(0, CLASSES, texts), classes)
    drawn = generator.choice(WORDS, lengths.sum(), p=frequency / frequency.sum())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Category", "description_pre"])
        for label, class_, words in zip(labels, classes, np.split(drawn, np.cumsum(lengths)[:-1]), strict=True):
            for place in generator.choice(len(words) // 2, PAIRS_PER_TEXT, replace=False) * 2:
                first = 2 * generator.integers(OWN_WORDS // 2)
                pair = own[class_ // 2, first : first + 2]
                words[place : place + 2] = pair[::-1] if class_ % 2 else pair
            writer.writerow([f"class {label:02}", " ".join(names[words])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--texts", type=int, default=217_000)
    arguments = parser.parse_args()
    write(arguments.path, arguments.texts)


if __name__ == "__main__":
    main()
