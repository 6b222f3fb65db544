"""What it brings to share a GPU: trials per hour with one, four, eight and sixteen workers.

    python benchmarks/speed/gpu_workers.py r8 corpus.csv:1

The default LSTM on each corpus; the number of epochs per trial may follow a colon. Counted while the workers train,
without their start.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import optuna

WORKERS = 1, 4, 8, 16
TRIALS_PER_WORKER = 3


def trials_per_hour(data: str, epochs: str, workers: int, storage: str) -> float:
    """Run a study of its own."""
    name = f"{workers} workers"
    options = ["--data", data, "--epochs", epochs, "--device", "cuda", "--storage", storage, "--name", name]
    options += ["--trials", str(TRIALS_PER_WORKER * workers), "--workers", str(workers), "--pruner", "none"]
    subprocess.run([sys.executable, "-m", "study.run", *options], check=True, stdout=subprocess.DEVNULL)
    trials = optuna.load_study(study_name=name, storage=storage).trials
    started = min(trial.datetime_start for trial in trials if trial.datetime_start)
    ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return 3600 * len(trials) / (ended - started).total_seconds()


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for argument in sys.argv[1:] or ["r8"]:
        data, _, epochs = argument.partition(":")
        with tempfile.TemporaryDirectory() as folder:
            for workers in WORKERS:
                if workers <= (os.cpu_count() or 1):
                    rate = trials_per_hour(data, epochs or "7", workers, f"sqlite:///{Path(folder, 'study.db')}")
                    print(f"{data}: {workers:>2} workers, {rate:>7,.0f} trials per hour", flush=True)


if __name__ == "__main__":
    main()
