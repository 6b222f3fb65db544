"""How fast raw texts become ids, beside the first cleaning rule and scikit-learn's CountVectorizer on the same texts.

    python benchmarks/speed/preprocessing_speed.py

All go from texts to a vocabulary and to numbers per text, on one core; the best of some rounds in turns.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.feature_extraction.text import CountVectorizer

from data.standard_corpora import STANDARD_CORPORA, read_official_split
from preprocessing.cleaning import CLEANING_VERSION, RULES
from preprocessing.encoding import learn_and_encode

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def learn_and_encode_as_at_first(texts: pa.Array) -> object:
    """As `learn_and_encode`, by the rule of version 1."""
    RULES[CLEANING_VERSION], rule = RULES[1], RULES[CLEANING_VERSION]
    try:
        return learn_and_encode(texts)
    finally:
        RULES[CLEANING_VERSION] = rule


def chinese(texts: int, seed: int = 0) -> list[str]:
    """Sentences of 10 to 20 of 3,000 characters, by Zipf's law, several of them per text."""
    generator = np.random.default_rng(seed)
    characters = np.array([chr(0x4E00 + number) for number in range(3_000)])
    weights = 1 / np.arange(1, 3_001)
    drawn = generator.choice(characters, (texts, 8, 20), p=weights / weights.sum())
    lengths = generator.integers(10, 21, (texts, 8))
    return [
        "".join("".join(sentence[:length]) + "\uff0c" for sentence, length in zip(*pair, strict=True))
        for pair in zip(drawn, lengths, strict=True)
    ]


def main() -> None:
    """Measure on all standard corpora together, as they are and as raw text with capitals and punctuation."""
    pa.set_cpu_count(1)
    sides = [(name, side) for name in STANDARD_CORPORA for side in ("train", "test")]
    cleaned = [text for n, s in sides for text in read_official_split(n, s, cache_dir=Path(".cache")).texts.to_pylist()]
    raw = [". ".join(part.capitalize() for part in text.split(" the ")).replace(" a ", " - ") for text in cleaned]
    for title, texts in (("clean texts", cleaned), ("with punctuation", raw), ("Chinese", chinese(40_000))):
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        column = pa.array(texts, pa.large_string())
        works: list[Callable[[], object]] = [
            lambda: learn_and_encode(column),  # noqa: B023
            lambda: learn_and_encode_as_at_first(column),  # noqa: B023
            lambda: CountVectorizer().fit_transform(texts),  # noqa: B023
        ]
        rounds = [[seconds(work) for work in works] for _ in range(ROUNDS)]
        now, first, counts = (megabytes / min(times) for times in zip(*rounds, strict=True))
        print(
            f"{title:<17} {megabytes:.0f} MB: {now:.1f} MB/s; the first rule {first:.1f} ({now / first:.2f}x), "
            f"CountVectorizer {counts:.1f} ({now / counts:.2f}x)"
        )


if __name__ == "__main__":
    main()
