"""This project against what one would take instead: the same split of R8, space, 50 trials and machine.

    pip install -c constraints.txt -e . && pip install -r benchmarks/peers/requirements.txt
    python benchmarks/peers/compare.py --minutes 60                     # one after the other, each for an hour at most
    python benchmarks/peers/compare.py ours ray_tune --minutes 60

Seconds until a trial's validation macro-F1 is 0.93 and 0.95, seconds in all, the best score, and the mean validation
macro-F1 of its configuration on three further repeats (fresh seeds and splits, as `study.report` confirms).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from common import CONFIRMING, RECORD, ROOT, TRIALS, prepare, train

from models.lstm import LSTMLearner
from study.model_settings import choose_settings
from study.search_space import apply_parameters

PEERS = ("ours", "ray_tune", "optuna_example", "keras_tuner_hyperband")
SCORES = (0.93, 0.95)


@dataclass(frozen=True)
class Epoch:
    seconds: float  # since the start of the search
    score: float
    parameters: dict[str, Any]


def search(peer: str, folder: Path, minutes: float) -> tuple[list[Epoch], float, bool]:
    """The scores with their times, the seconds in all, and whether the search came to its end."""
    start, record = time.time(), folder / "record.jsonl"
    command = [sys.executable, str(Path(__file__).with_name(f"{peer}.py"))]
    if peer == "ours":
        cache = ["--cache-dir", str(ROOT / ".cache")]
        command = [sys.executable, "-m", "study.run", "--data", "r8", "--trials", str(TRIALS), "--name", "r8", *cache]
    environment = os.environ | {RECORD: str(record), "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    try:
        with (folder / "log.txt").open("w") as log:
            subprocess.run(
                command, cwd=folder, env=environment, stdout=log, stderr=log, check=True, timeout=60 * minutes
            )
        is_over = True
    except subprocess.TimeoutExpired:
        is_over = False
    seconds = time.time() - start
    if peer == "ours":
        return _trials_of_ours(folder, start), seconds, is_over
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    return [Epoch(row["time"] - start, row["score"], row["parameters"]) for row in rows], seconds, is_over


def _trials_of_ours(folder: Path, start: float) -> list[Epoch]:
    """The complete trials, each at the time of its end."""
    study = optuna.load_study(study_name="r8", storage=f"sqlite:///{folder / 'study.db'}")
    trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    return [Epoch(one.datetime_complete.timestamp() - start, one.value, one.params) for one in trials]  # type: ignore


def confirm(peer: str, parameters: dict[str, Any]) -> float:
    """The mean validation macro-F1 on further repeats."""
    scores = []
    for repeat in CONFIRMING:
        prepared = prepare(repeat)
        if peer == "ours":
            settings = apply_parameters(choose_settings("lstm", {"seed": 1 + repeat}), parameters)
            result = LSTMLearner(settings, prepared, ROOT / ".cache", torch.device("cpu")).fit()
            scores.append(result.best.macro_f1)
        else:
            scores.append(max(train(parameters, prepared, seed=1 + repeat)))
    return float(np.mean(scores))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=PEERS)
    parser.add_argument("--minutes", type=float, default=60)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prepare()  # what a first run would do is not compared
    print(f"{'':<24}{'to 0.93':>9}{'to 0.95':>9}{'in all':>9}{'best':>9}{'confirmed':>11}   seconds and macro-F1")
    for peer in arguments.peers:
        with tempfile.TemporaryDirectory() as folder:
            epochs, seconds, is_over = search(peer, Path(folder), arguments.minutes)
            os.environ[RECORD] = os.devnull
        best = max(epochs, key=lambda epoch: epoch.score)
        reached = [min((epoch.seconds for epoch in epochs if epoch.score >= score), default=None) for score in SCORES]
        times = "".join(f"{'-' if first is None else f'{first:.0f}':>9}" for first in reached)
        total = f"{'' if is_over else '>'}{seconds:.0f}"
        print(f"{peer:<24}{times}{total:>9}{best.score:>9.4f}{confirm(peer, best.parameters):>11.4f}", flush=True)


if __name__ == "__main__":
    main()
