"""What a batch should hold: always 32 texts, or as many as have so many tokens, whatever the length of the texts.

    python benchmarks/method/batch_tokens.py r8 r52 20ng r52:7 r52:60 20ng:7 20ng:60

The default LSTM on each corpus, its texts cut to the number of words after the colon: real tokens per second of
training with one thread, and validation macro-F1 on two splits, each with a seed of its own.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data.source import Split, find_source
from models.lstm import LSTMLearner
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits, texts_per_batch
from preprocessing.prepared import PreparedTexts, prepare_for_search

CACHE_DIR = Path(".cache")
WAYS = {"32 texts": None, "1,350 tokens": 1_350, "2,700 tokens": 2_700, "5,400 tokens": 5_400}
REPEATS = 2


def measure(prepared: PreparedTexts, limits: TextLimits, training: TrainingConfig) -> tuple[float, float]:
    """Real tokens per second, and the validation macro-F1 of the best epoch."""
    settings = replace(LSTMLearner.defaults[""], training=training, limits=limits)
    result = LSTMLearner(settings, prepared, CACHE_DIR, torch.device("cpu")).fit()
    tokens = np.minimum(prepared.training.lengths, limits.max_tokens).sum()
    return float(tokens / np.median([epoch.seconds for epoch in result.curve])), result.best.macro_f1


def rows(corpus: str, limits: TextLimits) -> Iterator[str]:
    source = find_source(corpus)[0]
    repeats = [prepare_for_search(Split(source, seed), cache_dir=CACHE_DIR) for seed in range(REPEATS)]
    for name, tokens in WAYS.items():
        measured = []
        for seed, prepared in enumerate(repeats):
            training = replace(LSTMLearner.defaults[""].training, batch_tokens=tokens, seed=seed)
            measured.append(measure(prepared, limits, training))
        texts = 32 if tokens is None else texts_per_batch(prepared.training, limits.max_tokens, tokens)
        speed, score = np.mean(measured, axis=0)
        scores = ", ".join(f"{score:.3f}" for _, score in measured)
        yield f"{name:<14} {texts:>5} texts {speed:>9,.0f} tokens/s   macro-F1 {score:.3f} ({scores})"


def main() -> None:
    for argument in sys.argv[1:] or ["r8"]:
        corpus, _, cut = argument.partition(":")
        limits = TextLimits(max_tokens=int(cut)) if cut else TextLimits()
        print(f"{corpus}, texts cut to {limits.max_tokens} words", flush=True)
        for row in rows(corpus, limits):
            print(f"  {row}", flush=True)


if __name__ == "__main__":
    main()
