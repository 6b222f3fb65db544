"""How many trials a storage bears: workers that train nothing, but claim, report six epochs and tell as all do.

python benchmarks/speed/storage_limits.py sqlite:////tmp/limits.db
python benchmarks/speed/storage_limits.py postgresql://study@127.0.0.1/limits
"""

import subprocess
import sys
import time
from pathlib import Path

import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution
from optuna.trial import Trial

from models.training.config import TrainingConfig
from study.sampling import make_pruner
from study.storage.connection import open_storage
from study.storage.trial_queue import TrialQueue
from study.storage.urls import sqlite_file
from study.trials.objective import CURVES
from study.workers.loop import run_trials

TRIALS, EPOCHS = 300, 6
SPACE = {"hidden_size": FloatDistribution(0, 1), "learning_rate": FloatDistribution(0, 1)}
ATTRIBUTES = ("training_seed", "accuracy", "macro_f1", "best_epoch", "epochs", "seconds", "threads")


def make_queue(url: str, name: str) -> TrialQueue:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    study.sampler, study.pruner = optuna.samplers.RandomSampler(), make_pruner("percentile", TrainingConfig())
    return TrialQueue(study, storage, Path(".cache") / "workers")


def work(url: str, name: str) -> None:
    queue = make_queue(url, name)

    def report(trial: Trial, _: object) -> float:
        for epoch in range(EPOCHS):
            queue.holds(trial)
            trial.report(trial.params["hidden_size"], epoch)
            trial.should_prune()
        for attribute in ATTRIBUTES:
            trial.set_user_attr(attribute, 0.5)
        trial.set_user_attr("curve", {curve: [0.123456] * EPOCHS for curve in CURVES})
        return trial.params["hidden_size"]

    run_trials(queue, SPACE, report, trials=TRIALS, deadline=float("inf"), on_change=lambda: None)


def transactions(url: str) -> int:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.execute(sqlalchemy.text(query)).scalar_one())


def main() -> None:
    url = sys.argv[1]
    if len(sys.argv) == 3:
        work(url, sys.argv[2])
        return
    for workers in (1, 2, 4):
        name = f"limits {workers} {time.time()}"
        queue = make_queue(url, name)
        counted = sqlite_file(queue.study._storage._backend.engine.url) is None
        before = transactions(url) if counted else 0
        processes = [subprocess.Popen([sys.executable, __file__, url, name]) for _ in range(workers)]
        assert [process.wait() for process in processes] == [0] * workers
        trials = queue.study.trials
        started = min(trial.datetime_start for trial in trials if trial.datetime_start)
        ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
        rate = TRIALS / (ended - started).total_seconds()
        print(f"{workers} workers: {rate:.1f} trials per second", end="")
        print(f", {(transactions(url) - before) / TRIALS:.0f} transactions per trial" if counted else "")


if __name__ == "__main__":
    main()
