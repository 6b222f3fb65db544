"""Tables of learning curves, on which `search_replay.py` tries ways of searching.

    python benchmarks/search/learning_curves.py r8 --minutes 60             # adds to the folder curves/
    python benchmarks/search/learning_curves.py 20ng:3000 --space wide      # 3,000 of the training texts
    python benchmarks/search/learning_curves.py r8 --epochs 3               # short schedules

A table holds configurations of the LSTM's space, drawn at random after the default one, each trained to its end with
two seeds, the second on another split. All of it is validation; the test split stays closed.
"""

import argparse
import json
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import optuna
import torch
from optuna.samplers import RandomSampler

from data.source import Split, find_source
from models.learners.learner import Settings
from models.lstm import LSTMLearner
from models.training.optimizer import WARM_UP_SHARES, Schedule
from models.training.precision import multiplies_bfloat16
from models.training.trainer import EpochResult
from preprocessing.batches import TextLimits
from preprocessing.prepared import prepare_for_search
from study.model_settings import usual_budget
from study.search_space import Space, apply_parameters, default_parameters, search_space

FOLDER = Path(__file__).parent / "curves"
CACHE_DIR = Path(".cache")
CPU = torch.device("cpu")
SEEDS = (0, 1)
SHOWN = ("macro_f1", "accuracy", "validation_loss")


@dataclass(frozen=True)
class Task:
    """What a table is about; a file of `curves` holds one."""

    corpus: str  # with the number of training texts after a colon, if it is a part of them
    space: str = "default"
    epochs: int | None = None  # None: as a study of this corpus has
    schedule: Schedule = "linear"
    bag_of_words: bool = True  # of the network; until 2026-11-29 it had none

    @property
    def file(self) -> Path:
        parts = [self.corpus.replace(":", "-"), self.space, *([f"{self.epochs}-epochs"] if self.epochs else [])]
        parts += [] if self.schedule == "one_cycle" else [self.schedule]
        parts += ["bag"] if self.bag_of_words else []
        return FOLDER / f"{'-'.join(parts)}.jsonl"

    @property
    def settings(self) -> Settings:
        base = LSTMLearner.defaults[""]
        part = self.corpus.partition(":")[2]
        limits = replace(base.limits, max_training_texts=int(part) if part else None)
        precision = "bfloat16" if multiplies_bfloat16(CPU) else "float32"
        training = replace(base.training, precision=precision, schedule=self.schedule)
        model = replace(base.model, bag_of_words=self.bag_of_words)
        return replace(base, model=model, limits=limits, training=training)

    @property
    def ranges(self) -> Space:
        return search_space(self.space, self.settings)  # type: ignore[arg-type]

    def parameters(self, number: int) -> dict[str, Any]:
        """The configuration with this number, the default one first."""
        if number == 0:
            return default_parameters(self.ranges, self.settings)
        trial = optuna.create_study(sampler=RandomSampler(seed=number)).ask(self.ranges)
        return trial.params


def train(task: Task, number: int, seed: int) -> dict[str, Any]:
    """The whole learning curve of a configuration, without early stopping, and its processor seconds."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # in this process, too
    name = task.corpus.partition(":")[0]
    prepared = prepare_for_search(Split(find_source(name)[0], repeat=seed or None), cache_dir=CACHE_DIR)
    base = task.settings
    texts = min(len(prepared.training), base.limits.max_training_texts or len(prepared.training))
    budget = usual_budget(replace(base, limits=TextLimits()), texts)  # as for a file of so many texts
    epochs = task.epochs or budget["epochs"]
    base = replace(base, training=replace(base.training, seed=seed, epochs=epochs, patience=epochs))
    seconds = [time.process_time()]

    def on_epoch_end(_: EpochResult) -> None:
        seconds.append(time.process_time())

    settings = apply_parameters(base, task.parameters(number))
    try:
        curve = LSTMLearner(settings, prepared, CACHE_DIR, CPU).fit(on_epoch_end=on_epoch_end).curve
    except ArithmeticError:  # it has diverged
        curve = ()
    shown = {score: [round(getattr(result, score), 4) for result in curve] for score in SHOWN}
    return {"number": number, "seed": seed, "epochs": epochs, **shown, "seconds": np.diff(seconds).round(2).tolist()}


def collect(task: Task, *, configurations: int, minutes: float) -> None:
    """Train what the table lacks, on all cores, until the time is over."""
    end = time.monotonic() + 60 * minutes
    there = {(row["number"], row["seed"]) for row in read(task)}
    missing = [(number, seed) for number in range(configurations) for seed in SEEDS if (number, seed) not in there]
    FOLDER.mkdir(exist_ok=True)
    cores = joblib.cpu_count()
    with (
        ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool,
        task.file.open("a", encoding="utf-8") as file,
    ):
        running = set()
        while running or (missing and time.monotonic() < end):
            while missing and len(running) < cores and time.monotonic() < end:
                running.add(pool.submit(train, task, *missing.pop(0)))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                file.write(json.dumps(future.result()) + "\n")
                file.flush()
    print(f"{task.file.name}: {len(read(task))} of {configurations * len(SEEDS)} trainings")


def read(task: Task) -> list[dict[str, Any]]:
    return [json.loads(line) for line in task.file.read_text().splitlines()] if task.file.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("--space", choices=["default", "wide"], default="default")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--schedule", choices=list(WARM_UP_SHARES), default="linear")
    parser.add_argument("--no-bag-of-words", action="store_true")
    parser.add_argument("--configurations", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=120)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    bag_of_words = not arguments.no_bag_of_words
    task = Task(arguments.corpus, arguments.space, arguments.epochs, arguments.schedule, bag_of_words)
    collect(task, configurations=arguments.configurations, minutes=arguments.minutes)


if __name__ == "__main__":
    main()
