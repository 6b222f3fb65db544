"""How fast raw texts become ids, beside scikit-learn's CountVectorizer on the same texts.

    python benchmarks/speed/preprocessing_speed.py

Both go from texts to a vocabulary and to numbers per text, on one core; the best of some rounds in turns.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from sklearn.feature_extraction.text import CountVectorizer

from data.standard_corpora import STANDARD_CORPORA, read_official_split
from preprocessing.encoding import learn_and_encode

ROUNDS = 5


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measure on all standard corpora together, as they are and as raw text with capitals and punctuation."""
    pa.set_cpu_count(1)
    sides = [(name, side) for name in STANDARD_CORPORA for side in ("train", "test")]
    cleaned = [text for n, s in sides for text in read_official_split(n, s, cache_dir=Path(".cache")).texts.to_pylist()]
    raw = [". ".join(part.capitalize() for part in text.split(" the ")).replace(" a ", " - ") for text in cleaned]
    for title, texts in (("clean texts", cleaned), ("with punctuation", raw)):
        megabytes = sum(len(text.encode()) for text in texts) / 1e6
        column = pa.array(texts, pa.large_string())
        rounds = [
            (seconds(lambda: learn_and_encode(column)), seconds(lambda: CountVectorizer().fit_transform(texts)))  # noqa: B023
            for _ in range(ROUNDS)
        ]
        ours, theirs = (megabytes / min(times) for times in zip(*rounds, strict=True))
        print(
            f"{title:<17} {megabytes:.0f} MB: {ours:.1f} MB/s, CountVectorizer {theirs:.1f} MB/s: {ours / theirs:.2f}x"
        )


if __name__ == "__main__":
    main()
