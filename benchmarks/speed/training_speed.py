"""How fast the LSTM trains, beside what the machine can do and beside the two usual ways to feed it.

    python benchmarks/speed/training_speed.py

On R8 with one thread: real tokens per second (padding does not count) and useful GFLOP/s of the whole training step,
the optimiser included, as a share of this process's own matrix-multiply peak. Then the time of a step of the default
configuration for vocabularies of several sizes, whose embeddings are trained by rows or as a whole, and in both
precisions.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from data.source import Split, find_source
from models.lstm import LSTMClassifier, LSTMConfig
from models.training.config import TrainingConfig
from models.training.precision import Precision
from models.training.trainer import _trained_by_rows, train
from preprocessing.batches import Batch, EvaluationBatches, TextLimits, TrainingBatches, make_batch
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts, prepare_for_search

EMBEDDING_SIZE, HIDDEN_SIZE, BATCH_SIZE, MAX_TOKENS = 128, 128, 64, 200
FLOPS_PER_TOKEN = 3 * 2 * 4 * HIDDEN_SIZE * (EMBEDDING_SIZE + HIDDEN_SIZE)  # of the LSTM; backward costs two forwards
ROUNDS = 3
VOCABULARIES = 5_000, 11_671, 30_000, 50_000  # words; R8 has the second
HIDDEN_SIZES = 64, 138, 139, 192  # for which precisions are compared
PRECISIONS: tuple[Precision, ...] = "float32", "bfloat16"
STEPS = 50
CPU = torch.device("cpu")


class RandomBatches(TrainingBatches):
    """In random order, padded to the batch's longest."""

    def epoch(self, number: int) -> Iterator[Batch]:
        order = np.random.default_rng(number).permutation(len(self.texts))
        for start in range(0, len(order), self.batch_size):
            rows = order[start : start + self.batch_size]
            yield make_batch(self.texts, rows, max_tokens=self.max_tokens, vocabulary_size=self.vocabulary_size)


class PaddedBatches(RandomBatches):
    """In random order, all padded to `max_tokens`."""

    def epoch(self, number: int) -> Iterator[Batch]:
        for batch in super().epoch(number):
            missing = self.max_tokens - batch.token_ids.shape[1]
            yield batch._replace(token_ids=nn.functional.pad(batch.token_ids, (0, missing)))


class PackedLSTM(nn.Module):
    """The same network fed with packed sequences."""

    def __init__(self, vocabulary_size: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, EMBEDDING_SIZE, padding_idx=0)
        self.lstm = nn.LSTM(EMBEDDING_SIZE, HIDDEN_SIZE, batch_first=True)
        self.head = nn.Linear(HIDDEN_SIZE, classes)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(token_ids), lengths, batch_first=True, enforce_sorted=False)
        outputs, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, padding_value=float("-inf"))
        logits: Tensor = self.head(outputs.amax(dim=1))
        return logits


def sgemm_peak() -> float:
    """GFLOP/s of the fastest of some 1024-cubed matrix products."""
    left, right = torch.randn(2, 1024, 1024)
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    return float(2 * 1024**3 / min(seconds) / 1e9)


def one_text(texts: EncodedTexts, max_tokens: int, vocabulary_size: int) -> EvaluationBatches:
    """The first text, for a validation that takes no time."""
    first = EncodedTexts(texts.token_ids, texts.offsets[:2], texts.labels[:1])
    return EvaluationBatches(first, max_tokens, vocabulary_size)


def tokens_per_second(model: nn.Module, batches: TrainingBatches) -> float:
    """The time of one epoch of real training; a single text is validated, so that almost only training is timed."""
    texts = batches.texts
    validation = one_text(texts, batches.max_tokens, batches.vocabulary_size)
    result = train(model, batches, validation, TrainingConfig(epochs=1), device=CPU)
    return float(np.minimum(texts.lengths, batches.max_tokens).sum() / result.curve[0].seconds)


def milliseconds_per_step(
    prepared: PreparedTexts,
    vocabulary_size: int,
    *,
    hidden_size: int = 64,
    by_rows: bool = True,
    precision: Precision = "float32",
) -> float:
    """Of some steps, otherwise with the default configuration; the vocabulary may be larger than R8's."""
    config, limits = TrainingConfig(epochs=1, precision=precision), TextLimits()
    words = min(vocabulary_size, limits.kept_words(prepared.word_counts))
    texts = prepared.training.take(np.arange(0, len(prepared.training), len(prepared.training) // (STEPS * 32)))
    batches = TrainingBatches(texts, config.batch_size, limits.max_tokens, words, 0)
    network = LSTMConfig(hidden_size=hidden_size, bag_of_words=True)
    model = LSTMClassifier(network, vocabulary_size=vocabulary_size, classes=len(prepared.classes))
    with patch("models.training.trainer._trained_by_rows", _trained_by_rows if by_rows else lambda *_: []):
        seconds = train(model, batches, one_text(texts, limits.max_tokens, words), config, device=CPU).curve[0].seconds
    return 1000 * seconds / len(batches)


def compare_vocabularies(prepared: PreparedTexts) -> None:
    """Measure in turns, too; print the best of each."""
    times: dict[tuple[int, bool], float] = {}
    for _ in range(ROUNDS):
        for size in VOCABULARIES:
            for by_rows in (True, False):
                time_of_step = milliseconds_per_step(prepared, size, by_rows=by_rows)
                times[size, by_rows] = min(times.get((size, by_rows), time_of_step), time_of_step)
    for size in VOCABULARIES:
        rows, whole = times[size, True], times[size, False]
        ratio = rows / times[VOCABULARIES[0], True]
        print(f"{size:>6,} words: {rows:5.1f} ms a step by rows ({ratio:.2f} of the first), {whole:5.1f} ms as a whole")


def compare_precisions(prepared: PreparedTexts, vocabulary_size: int) -> None:
    for size in HIDDEN_SIZES:
        times = [
            [milliseconds_per_step(prepared, vocabulary_size, hidden_size=size, precision=each) for each in PRECISIONS]
            for _ in range(ROUNDS)
        ]
        single, half = np.min(times, axis=0)
        print(f"hidden size {size}: {single:5.1f} ms a step in float32, {half:5.1f} in bfloat16 ({single / half:.2f}x)")


def main() -> None:
    """Measure in turns, so that a busy moment of the machine does not hit one way alone; print the best of each."""
    torch.set_num_threads(1)
    prepared = prepare_for_search(Split(find_source("r8")[0]), cache_dir=Path(".cache"), on_event=print)
    compare_vocabularies(prepared)
    words, classes = TextLimits().kept_words(prepared.word_counts), len(prepared.classes)
    compare_precisions(prepared, words)
    config = LSTMConfig(EMBEDDING_SIZE, HIDDEN_SIZE, bidirectional=False, dropout=0, embedding_dropout=0)
    arguments = prepared.training, BATCH_SIZE, MAX_TOKENS, words, 0
    ways = {
        "length-bucketed, padded": (
            lambda: LSTMClassifier(config, vocabulary_size=words, classes=classes),
            TrainingBatches,
        ),
        "padded to max_tokens": (lambda: LSTMClassifier(config, vocabulary_size=words, classes=classes), PaddedBatches),
        "packed sequences": (lambda: PackedLSTM(words, classes), RandomBatches),
    }
    peak, speeds = 0.0, dict.fromkeys(ways, 0.0)
    for _ in range(ROUNDS):
        for way, (make_model, make_batches) in ways.items():
            peak = max(peak, sgemm_peak())
            speeds[way] = max(speeds[way], tokens_per_second(make_model(), make_batches(*arguments)))
    print(f"R8, E={EMBEDDING_SIZE}, H={HIDDEN_SIZE}, one direction, batch {BATCH_SIZE}; SGEMM peak {peak:.1f} GFLOP/s")
    ours = next(iter(speeds.values()))
    for way, speed in speeds.items():
        gflops = speed * FLOPS_PER_TOKEN / 1e9
        share = f"{gflops:5.1f} GFLOP/s  {gflops / peak:.2f} of peak"
        print(f"{way:<24} {speed:>8,.0f} tokens/s  {share}  ours is {ours / speed:.2f}x as fast")


if __name__ == "__main__":
    main()
