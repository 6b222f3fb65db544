"""How long `study.predict` takes for 10,000 texts of 100 words, from file to file, the start of Python included.

With one network, and with three that know different words and whose probabilities are averaged.

python benchmarks/speed/prediction_speed.py
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from models.export import save_model
from models.learners.classifier import Member, TextClassifier, average
from models.lstm import LSTMClassifier, LSTMConfig
from preprocessing.vocabulary import Vocabulary, build_vocabulary

TEXTS, WORDS_PER_TEXT, WORDS, CLASSES = 10_000, 100, 30_000, 50


def main() -> None:
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(WORDS)]
    vocabulary = build_vocabulary(pa.array(words, pa.large_string()), np.full(len(words), 2))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [" ".join(row) for row in generator.choice(words, (TEXTS, WORDS_PER_TEXT))]
        pd.DataFrame({"description_pre": texts}).to_csv(folder / "in.csv", index=False)
        for hidden_size in (64, 256):
            seconds = [predict(folder, hidden_size, vocabulary, networks) for networks in (1, 3)]
            print(
                f"hidden size {hidden_size}: {TEXTS:,} texts in {seconds[0]:.1f} s; three networks {seconds[1]:.1f} s, "
                f"{seconds[1] / seconds[0]:.2f} times as long"
            )


def predict(folder: Path, hidden_size: int, vocabulary: Vocabulary, networks: int) -> float:
    """The seconds of the command, with a model of so many networks."""
    classifiers, config = [], LSTMConfig(hidden_size=hidden_size, bag_of_words=True)
    for number in range(networks):
        words = vocabulary.first(WORDS - 100 * number)
        model = LSTMClassifier(config, vocabulary_size=len(words), classes=CLASSES)
        classifiers.append(TextClassifier((Member(model, words, 200),), tuple(map(str, range(CLASSES))), {}))
    save_model(folder / "model", average(classifiers, {}))
    command = [sys.executable, "-m", "study.predict", "--model", folder / "model", "--input", folder / "in.csv"]
    start = time.perf_counter()
    subprocess.run([*command, "--output", folder / "out.csv", "--force"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
