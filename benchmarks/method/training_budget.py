"""How many epochs a small corpus needs: macro-F1 on validation for parts of the training texts and numbers of epochs.

    python benchmarks/method/training_budget.py r8:500 r8:1000 r8:2000 20ng:1000

The default LSTM (or `--model cnn`) on two splits, each with a seed of its own; all validation texts of the corpus. The
patience grows with the epochs.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.source import Split, find_source
from models.registry import find_learner
from models.training.precision import multiplies_bfloat16
from preprocessing.prepared import prepare_for_search

CACHE_DIR = Path(".cache")
EPOCHS = (7, 18, 35, 70)
REPEATS = 2
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpora", nargs="*", default=["r8:500", "r8:1000", "r8:2000", "20ng:1000"])
    parser.add_argument("--model", choices=["lstm", "cnn"], default="lstm")
    arguments = parser.parse_args()
    learner = find_learner(arguments.model)
    for corpus in arguments.corpora:
        name, _, texts = corpus.partition(":")
        source = find_source(name)[0]
        for epochs in EPOCHS:
            scores, seconds = [], 0.0
            for repeat in range(REPEATS):
                prepared = prepare_for_search(Split(source, repeat), cache_dir=CACHE_DIR)
                base = learner.defaults[""]
                precision = "bfloat16" if multiplies_bfloat16(CPU) else "float32"
                patience = base.training.patience * epochs // base.training.epochs
                training = replace(base.training, epochs=epochs, patience=patience, seed=repeat, precision=precision)
                limits = replace(base.limits, max_training_texts=int(texts) if texts else None)
                settings = replace(base, training=training, limits=limits)
                result = learner(settings, prepared, CACHE_DIR, CPU).fit()
                scores.append(result.best.macro_f1)
                seconds += sum(epoch.seconds for epoch in result.curve)
            each = ", ".join(f"{score:.3f}" for score in scores)
            print(f"{corpus:<10} {epochs:>2} epochs  {np.mean(scores):.3f} ({each})  {seconds:5.0f} s", flush=True)


if __name__ == "__main__":
    main()
