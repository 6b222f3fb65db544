"""This project against what one would take instead: the same split of R8, space, 50 trials and machine.

    pip install -c constraints.txt -e . && pip install -r benchmarks/peers/requirements.txt
    python benchmarks/peers/compare.py --minutes 60                     # one after the other, each for an hour at most
    python benchmarks/peers/compare.py ours ray_tune --minutes 60

Seconds until a validation macro-F1 of 0.93 and 0.95 (of ours, until a trial with it is complete), seconds in all, and
the best score. Then, from the file that these are written to, the mean validation macro-F1 of each best configuration
on three further repeats (fresh seeds and splits, as `study.report` confirms; KerasTuner's configuration in the
tutorial's LSTM, like those of the other peers), which is not timed. What is in the file is not searched again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from common import CONFIRMING, RECORD, ROOT, TRIALS, prepare, train

from models.lstm import LSTMLearner
from study.configuration import StudyConfig
from study.search_space import apply_parameters
from study.storage.queries import complete_trials
from study.storage.studies import load_configuration
from study.trials.repeats import with_repeat

PEERS = ("ours", "ray_tune", "optuna_example", "keras_tuner_hyperband")
SCORES = (0.93, 0.95)


@dataclass(frozen=True)
class Epoch:
    seconds: float  # since the start of the search
    score: float
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Search:
    epochs: list[Epoch]  # of ours, the complete trials, each at the time of its end
    seconds: float  # in all
    ending: str = ""  # "" if it came to its end
    configuration: dict[str, Any] | None = None  # of ours, as it is stored

    @property
    def best(self) -> Epoch:
        return max(self.epochs, key=lambda epoch: epoch.score)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> "Search":
        return cls(**{**stored, "epochs": [Epoch(**epoch) for epoch in stored["epochs"]]})


def search(peer: str, folder: Path, minutes: float) -> Search:
    start, record = time.time(), folder / "record.jsonl"
    record.touch()
    command = [sys.executable, str(Path(__file__).with_name(f"{peer}.py"))]
    if peer == "ours":
        cache = ["--cache-dir", str(ROOT / ".cache")]
        command = [sys.executable, "-m", "study.run", "--data", "r8", "--trials", str(TRIALS), "--name", "r8", *cache]
    environment = os.environ | {RECORD: str(record), "PYTHONPATH": f"{ROOT}:{Path(__file__).parent}"}
    ending, log = "", folder / "log.txt"
    try:
        with log.open("w") as output:
            subprocess.run(
                command, cwd=folder, env=environment, stdout=output, stderr=output, check=True, timeout=60 * minutes
            )
    except subprocess.TimeoutExpired:
        ending = "stopped"
    except subprocess.CalledProcessError:
        ending = f"failed: {log.read_text()[-500:]}"
    seconds = time.time() - start
    if peer == "ours":
        study = optuna.load_study(study_name="r8", storage=f"sqlite:///{folder / 'study.db'}")
        trials = [(trial.datetime_complete, trial) for trial in complete_trials(study)]
        epochs = [Epoch(end.timestamp() - start, trial.value or 0, trial.params) for end, trial in trials if end]
        return Search(epochs, seconds, ending, load_configuration(study).to_dict())
    rows = [json.loads(line) for line in record.read_text().splitlines()]
    epochs = [Epoch(row["time"] - start, row["score"], row["parameters"]) for row in rows]
    return Search(epochs, seconds, ending)


def confirm(found: Search, repeat: int) -> float:
    """The validation macro-F1 of the best configuration on a further repeat, in ours or in the tutorial's LSTM."""
    os.environ[RECORD] = os.devnull
    torch.set_num_threads(1)
    prepared, parameters = prepare(repeat), found.best.parameters
    if not found.configuration:
        return max(train(parameters, prepared, seed=1 + repeat))
    configuration = StudyConfig.from_dict(found.configuration)
    settings = apply_parameters(with_repeat(configuration, repeat).base, parameters)
    return LSTMLearner(settings, prepared, ROOT / ".cache", torch.device("cpu")).fit().best.macro_f1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peers", nargs="*", default=PEERS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--output", type=Path, default=Path("peers.json"), help="what was found, to be continued")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    prepare()  # what a first run would do is not compared
    stored = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    print(f"{'':<24}{'to 0.93':>9}{'to 0.95':>9}{'in all':>9}{'best':>9}   seconds and macro-F1")
    for peer in arguments.peers:
        if peer not in stored:
            with tempfile.TemporaryDirectory() as folder:
                stored[peer] = asdict(search(peer, Path(folder), arguments.minutes))
            arguments.output.write_text(json.dumps(stored))
        found = Search.from_dict(stored[peer])
        reached = [min((one.seconds for one in found.epochs if one.score >= score), default=None) for score in SCORES]
        times = "".join(f"{'-' if first is None else f'{first:.0f}':>9}" for first in reached)
        best = f"{found.best.score:>9.4f}   {found.best.parameters}" if found.epochs else f"{'-':>9}"
        print(f"{peer:<24}{times}{found.seconds:>9.0f}{best}   {found.ending}", flush=True)
    searches = {peer: Search.from_dict(stored[peer]) for peer in arguments.peers if stored[peer]["epochs"]}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        tasks = {
            peer: [pool.submit(confirm, found, repeat) for repeat in CONFIRMING] for peer, found in searches.items()
        }
        for peer, scores in tasks.items():
            print(f"{peer:<24} confirmed {np.mean([score.result() for score in scores]):.4f}", flush=True)


if __name__ == "__main__":
    main()
