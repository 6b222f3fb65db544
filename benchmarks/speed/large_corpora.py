"""Whether time and memory stay linear in the number of texts: synthetic corpora, prepared and trained on.

    python benchmarks/speed/large_corpora.py 54000 108000 217000              # a few minutes
    python benchmarks/speed/large_corpora.py 2000000 --most 100000            # with --max-training-texts

For each size, in a process of its own: seconds and peak memory to prepare the texts, then seconds, tokens per second
and peak memory of the default LSTM's first epochs, one before and one after which the validation is whole.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from synthetic_corpus import write

from data.source import Split, find_source
from models.lstm import LSTMLearner
from models.training.precision import multiplies_bfloat16
from models.training.trainer import EpochResult
from preprocessing.batches import TextLimits
from preprocessing.prepared import prepare_for_search
from study.model_settings import usual_budget

CPU = torch.device("cpu")


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(path: Path, folder: Path, most: int | None) -> None:
    start = time.perf_counter()
    prepared = prepare_for_search(Split(find_source(str(path))[0]), cache_dir=folder)
    seconds = time.perf_counter() - start
    lengths = prepared.training.lengths
    print(
        f"{len(lengths) + len(prepared.validation) + prepared.test_texts:>10,} texts prepared in {seconds:.1f} s, "
        f"peak {peak_megabytes():,.0f} MB",
        flush=True,
    )
    base = LSTMLearner.defaults[""]
    texts = min(len(lengths), most or len(lengths))
    base = replace(base, limits=replace(base.limits, max_training_texts=most))
    budget = usual_budget(replace(base, limits=TextLimits()), texts)
    precision = "bfloat16" if multiplies_bfloat16(CPU) else "float32"
    training = replace(base.training, **budget, precision=precision)
    read = min(texts, training.epoch_texts or texts)

    def on_epoch_end(result: EpochResult) -> None:
        if result.epoch in (0, training.first_settled_epoch):
            print(
                f"{'':>10} epoch {result.epoch + 1} of {training.epochs}: {read:,} texts, {result.seconds:.1f} s, "
                f"{read * float(np.mean(lengths)) / result.seconds:,.0f} tokens/s, validation on "
                f"{len(result.predictions):,} texts included; peak {peak_megabytes():,.0f} MB",
                flush=True,
            )
        if result.epoch == training.first_settled_epoch:
            raise StopIteration

    try:
        LSTMLearner(replace(base, training=training), prepared, folder, CPU).fit(on_epoch_end=on_epoch_end)
    except StopIteration:
        return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--most", type=int, help="texts of training, as --max-training-texts")
    arguments = parser.parse_args()
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "corpus.csv"
            writer = get_context("spawn").Process(target=write, args=(path, size))
            measuring = get_context("spawn").Process(target=measure, args=(path, Path(folder), arguments.most))
            for process in (writer, measuring):
                process.start()
                process.join()


if __name__ == "__main__":
    main()
