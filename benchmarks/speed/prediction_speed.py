"""How long `study.predict` takes for 10,000 texts of 100 words, from file to file, the start of Python included.

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
from models.learners.classifier import TextClassifier
from models.lstm import LSTMClassifier, LSTMConfig
from preprocessing.vocabulary import build_vocabulary

TEXTS, WORDS_PER_TEXT, WORDS, CLASSES = 10_000, 100, 30_000, 50


def main() -> None:
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(WORDS)]
    vocabulary = build_vocabulary(pa.array(words, pa.large_string()), np.full(len(words), 2))
    classes = tuple(map(str, range(CLASSES)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [" ".join(row) for row in generator.choice(words, (TEXTS, WORDS_PER_TEXT))]
        pd.DataFrame({"description_pre": texts}).to_csv(folder / "in.csv", index=False)
        for hidden_size in (64, 256):
            model = LSTMClassifier(LSTMConfig(hidden_size=hidden_size), vocabulary_size=WORDS, classes=CLASSES)
            save_model(folder / "model", TextClassifier(model, vocabulary.first(WORDS), classes, 200, {}))
            command = [sys.executable, "-m", "study.predict", "--model", folder / "model", "--input", folder / "in.csv"]
            start = time.perf_counter()
            subprocess.run([*command, "--output", folder / "out.csv", "--force"], check=True)
            print(f"hidden size {hidden_size}: {TEXTS:,} texts in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
