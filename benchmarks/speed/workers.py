"""What workers bring and cost: trials per minute, the storage's share, shared memory, and the time after a kill.

    python benchmarks/speed/workers.py

On R8 with trials of one epoch; memory on 200,000 texts of biography length, made of R8's words. Takes ten minutes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import optuna
import psutil
import torch
from cache_and_memory import write_large_corpus
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from study.command_line import run_command
from study.run import app

TRIALS = 12
WATCHED = (
    *("create_new_trial", "_create_new_trial", "set_trial_state_values", "set_trial_user_attr", "get_trial"),
    *("_set_trial_param", "set_trial_intermediate_value", "_get_trials", "get_study_user_attrs", "get_all_studies"),
)


def study_run(folder: Path, *arguments: object) -> None:
    options = ["--storage", f"sqlite:///{folder / 'study.db'}", "--sampler", "random", "--pruner", "none"]
    assert run_command(app, [*options, *map(str, arguments)]) == 0


def trials_per_minute(folder: Path, name: str) -> float:
    """While the workers were at work: without their start."""
    trials = optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}").trials
    started = min(trial.datetime_start for trial in trials if trial.datetime_start)
    ended = max(trial.datetime_complete for trial in trials if trial.datetime_complete)
    return 60 * len(trials) / (ended - started).total_seconds()


@contextmanager
def both_threads() -> Iterator[None]:
    """The trainer asks for one thread; within this it gets as many as there are cores."""
    original = torch.set_num_threads
    torch.set_num_threads = lambda _number: original(os.cpu_count() or 1)
    try:
        yield
    finally:
        torch.set_num_threads = original


@contextmanager
def timed_storage() -> Iterator[list[float]]:
    """The seconds of each call to the database, in this process."""
    seconds: list[float] = []
    originals = {name: getattr(RDBStorage, name) for name in WATCHED}
    depth = 0

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed_call(*arguments: Any, **options: Any) -> Any:
            nonlocal depth
            depth += 1
            start = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                depth -= 1
                if depth == 0:
                    seconds.append(time.perf_counter() - start)

        return timed_call

    for name, call in originals.items():
        setattr(RDBStorage, name, timed(call))
    try:
        yield seconds
    finally:
        for name, call in originals.items():
            setattr(RDBStorage, name, call)


def measure_throughput(folder: Path) -> None:
    options = ("--trials", TRIALS, "--epochs", 1, "--data", "r8")
    with both_threads():
        study_run(folder, *options, "--workers", 1, "--name", "both")
    study_run(folder, *options, "--workers", 1, "--name", "one")
    study_run(folder, *options, "--workers", 2, "--name", "two")
    both, one, two = (trials_per_minute(folder, name) for name in ("both", "one", "two"))
    print(f"\ntrials of one epoch per minute: 1 worker with all threads {both:.1f}, 1 worker {one:.1f}, 2 {two:.1f}")
    print(f"2 workers against 1 with all threads: {two / both:.2f}, against 1: {two / one:.2f}\n")


def measure_storage_share(folder: Path) -> None:
    with timed_storage() as seconds:
        study_run(folder, "--trials", 6, "--epochs", 6, "--data", "r8", "--workers", 1, "--name", "share")
    trials = optuna.load_study(study_name="share", storage=f"sqlite:///{folder / 'study.db'}").trials
    trained = sum(trial.user_attrs["seconds"] for trial in trials)
    share = sum(seconds) / (sum(seconds) + trained)
    print(
        f"\nstorage: {len(seconds) / 6:.0f} calls and {sum(seconds) / 6:.3f} s per trial of six epochs: {share:.2%}\n"
    )


def start_run(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "study.run", "--storage", f"sqlite:///{folder / 'study.db'}"]
    return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.DEVNULL)


def running_workers(folder: Path, name: str) -> set[str]:
    """The names of the workers that train."""
    try:
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")
    except KeyError:
        return set()
    trials = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    return {trial.user_attrs["worker"] for trial in trials if trial.user_attrs.get("worker")}


def kill_all(process: subprocess.Popen[bytes]) -> None:
    for victim in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        victim.kill()
    process.wait()


def measure_restart(folder: Path) -> None:
    options = ("--trials", 50, "--data", "r8", "--workers", 2, "--name", "killed")
    process = start_run(folder, *options)
    while len(before := running_workers(folder, "killed")) < 2:
        time.sleep(0.5)
    time.sleep(10)
    kill_all(process)
    start = time.perf_counter()
    process = start_run(folder, *options)
    while not running_workers(folder, "killed") - before:
        time.sleep(0.05)
    print(f"kill -9 of everything to the rerun's first running epoch: {time.perf_counter() - start:.1f} s")
    kill_all(process)


def measure_memory(folder: Path) -> None:
    url = f"sqlite:///{folder / 'study.db'}"
    options = ("--data", write_large_corpus(folder), "--cache-dir", folder / "cache", "--name", "memory")
    process = start_run(folder, *options, "--max-tokens", 20, "--workers", 2)
    while not running_workers(folder, "memory"):
        time.sleep(0.5)
    kill_all(process)
    for count in (1, 2, 4):
        command = [sys.executable, "-m", "study.worker", "--name", "memory", "--trials", "1000", "--storage", url]
        workers = [psutil.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
        time.sleep(20 + 20 * count)  # until all of them are well into their epochs
        pss = [worker.memory_full_info().pss / 1e6 for worker in workers]
        shown = ", ".join(f"{megabytes:.0f}" for megabytes in pss)
        maps = [file for worker in workers for file in worker.memory_maps() if file.path.endswith(".npy")]
        texts = sum(file.pss for file in maps) / 1e6
        print(f"{count} workers on 200,000 texts: {shown} MB (PSS), of which the mapped texts {texts:.0f} MB in all")
        for worker in workers:
            worker.kill()
            worker.wait()


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        measure_throughput(Path(folder))
        measure_storage_share(Path(folder))
        measure_restart(Path(folder))
        measure_memory(Path(folder))


if __name__ == "__main__":
    main()
