"""How fast a warm cache opens, and whether memory grows with the number of trials.

    python benchmarks/speed/cache_and_memory.py

100 trials on the first words of R8's texts in one process; then 200,000 texts of biography length, made of R8's words.
"""

import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import psutil
import torch
from optuna.trial import Trial

from data.source import Split, find_source
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import EpochResult
from preprocessing.batches import TextLimits
from preprocessing.prepared import open_prepared, prepare_for_search
from study.search_space import search_space
from study.storage.connection import open_storage
from study.storage.queries import finished_trials
from study.storage.trial_queue import TrialQueue
from study.trials.objective import run_trial
from study.workers.loop import run_trials

TEXTS, WORDS_PER_TEXT, ROUNDS, TRIALS = 200_000, 65, 9, 100


def milliseconds(open_it: object) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        open_it()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def write_large_corpus(folder: Path) -> Path:
    r8 = prepare_for_search(Split(find_source("r8")[0]), cache_dir=Path(".cache"))
    vocabulary = np.array(r8.vocabulary.words)
    generator = np.random.default_rng(0)
    ranks = np.minimum(generator.zipf(1.3, (TEXTS, WORDS_PER_TEXT)) + 1, len(vocabulary) - 1)
    texts = [" ".join(words) for words in vocabulary[ranks]]
    frame = pd.DataFrame({"Category": generator.integers(0, 28, TEXTS), "description_pre": texts})
    frame.to_parquet(folder / "texts.parquet")
    return folder / "texts.parquet"


def measure_opening(folder: Path) -> None:
    source, _ = find_source(str(write_large_corpus(folder)))
    prepare = partial(prepare_for_search, Split(source), cache_dir=folder / "cache")
    start = time.perf_counter()
    prepared = prepare()
    print(f"{TEXTS:,} texts, {prepared.entry.nbytes / 1e6:.0f} MB: prepared in {time.perf_counter() - start:.1f} s")
    print(f"warm cache opened and verified in {milliseconds(prepare):.1f} ms, median of {ROUNDS}")
    print(f"opened by a worker, sizes only, in {milliseconds(lambda: open_prepared(prepared.entry.folder)):.1f} ms")


def measure_memory(folder: Path) -> None:
    prepared = prepare_for_search(Split(find_source("r8")[0]), cache_dir=Path(".cache"))
    base = Settings(LSTMConfig(bag_of_words=True), TrainingConfig(epochs=1), TextLimits(max_tokens=10))
    checkpoints = folder / "checkpoints"
    run = partial(
        run_trial,
        base=base,
        prepared=prepared,
        cache_dir=Path(".cache"),
        device=torch.device("cpu"),
        checkpoints=checkpoints,
        on_event=print,
    )
    storage = open_storage(f"sqlite:///{folder / 'study.db'}")
    study = optuna.create_study(storage=storage, direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    megabytes: list[float] = []

    def run_and_note(trial: Trial, on_epoch_end: Callable[[EpochResult], None]) -> float:
        value = run(trial, on_epoch_end)
        gc.collect()
        megabytes.append(psutil.Process().memory_info().rss / 1e6)
        return value

    queue, space = TrialQueue(study, storage, folder), search_space("default", base)
    run_trials(queue, space, run_and_note, trials=TRIALS, deadline=float("inf"), on_change=lambda: None)
    assert len(finished_trials(study)) == TRIALS
    readings = ", ".join(f"{megabytes[number - 1]:.0f}" for number in (1, *range(20, TRIALS + 1, 20)))
    print(f"resident memory in MB after trial 1, 20, 40, ...: {readings}")


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        measure_memory(Path(folder))
        measure_opening(Path(folder))


if __name__ == "__main__":
    main()
