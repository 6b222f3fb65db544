"""A corpus of the size of the biographies that this project began with, or of any other size.

    python benchmarks/speed/synthetic_corpus.py corpus.csv --texts 217000
    python benchmarks/speed/synthetic_corpus.py lines.csv --texts 51000 --words 7 --classes 58

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

WORDS = 60_000
LARGEST, SMALLEST = 0.32, 0.004  # shares of a class
OWN_WORDS = 40  # of two neighbouring classes: pairs of them tell the class by their order
WORDS_PER_PAIR = 20  # of a text: one of 60 words has three pairs
WRONG = 0.05  # share of the labels


def class_shares(classes: int) -> npt.NDArray[np.float64]:
    """The largest class, and a geometric series from the second one to the smallest."""

    def others(second: float) -> npt.NDArray[np.float64]:
        return np.geomspace(second, SMALLEST, classes - 1)

    second = brentq(lambda share: others(share).sum() - (1 - LARGEST), SMALLEST, LARGEST)
    return np.concatenate([[LARGEST], others(second)])


def write(path: Path, texts: int, *, words_per_text: int = 60, classes: int = 28, seed: int = 0) -> None:
    generator = np.random.default_rng(seed)
    pairs = max(1, words_per_text // WORDS_PER_PAIR)
    lengths = np.maximum(generator.poisson(words_per_text, texts), 2 * pairs)
    frequency = 1 / np.arange(1, WORDS + 1)
    names = np.array([f"w{number:x}" for number in generator.permutation(WORDS)])
    own = 500 + generator.permutation(WORDS // 10)[: classes // 2 * OWN_WORDS].reshape(classes // 2, -1)  # by pair
    true = generator.choice(classes, texts, p=class_shares(classes))
    labels = np.where(generator.random(texts) < WRONG, generator.integers(0, classes, texts), true)
    drawn = generator.choice(WORDS, lengths.sum(), p=frequency / frequency.sum())
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Category", "description_pre"])
        for label, class_, words in zip(labels, true, np.split(drawn, np.cumsum(lengths)[:-1]), strict=True):
            for place in generator.choice(len(words) // 2, pairs, replace=False) * 2:
                first = 2 * generator.integers(OWN_WORDS // 2)
                pair = own[class_ // 2, first : first + 2]
                words[place : place + 2] = pair[::-1] if class_ % 2 else pair
            writer.writerow([f"class {label:02}", " ".join(names[words])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--texts", type=int, default=217_000)
    parser.add_argument("--words", type=int, default=60, help="of a text, on average")
    parser.add_argument("--classes", type=int, default=28, help="an even number, at most 100")
    arguments = parser.parse_args()
    write(arguments.path, arguments.texts, words_per_text=arguments.words, classes=arguments.classes)


if __name__ == "__main__":
    main()
