"""Workers and their parent are killed at random moments: nothing is lost, doubled or changed."""

import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState

from models.learners.learner import Settings
from models.lstm import LSTMClassifier
from models.training.trainer import EpochResult, best_epoch, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.search_space import apply_parameters
from study.storage.studies import load_configuration

TRIALS = 30
KILLS = 10
SEED = 20261123
LOG_CLAIMS = """
CREATE TABLE claims (trial_id INTEGER, old TEXT, new TEXT);
CREATE TRIGGER log_claims AFTER UPDATE OF state ON trials
BEGIN INSERT INTO claims VALUES (new.trial_id, old.state, new.state); END;
"""


def kill_something(process: subprocess.Popen[str], chance: random.Random) -> str:
    parent = psutil.Process(process.pid)
    workers = parent.children()
    what = chance.choice(["a worker", "a worker", "the parent", "all"]) if workers else "the parent"
    victims = {"a worker": [chance.choice(workers or [parent])], "the parent": [parent], "all": [parent, *workers]}
    for victim in victims[what]:
        with suppress(psutil.NoSuchProcess):
            victim.kill()
    return what


def train_again(trial: FrozenTrial, base: Settings, prepared: PreparedTexts) -> tuple[EpochResult, ...]:
    """The curve that the stored parameters and seed give."""
    settings = apply_parameters(base, trial.params)
    seed = trial.user_attrs["training_seed"]
    words, max_tokens = settings.limits.kept_words(prepared.word_counts), settings.limits.max_tokens
    torch.manual_seed(seed)
    model = LSTMClassifier(settings.model, vocabulary_size=words, classes=len(prepared.classes))
    batches = TrainingBatches(prepared.training, settings.training.batch_size, max_tokens, words, seed)
    validation = EvaluationBatches(prepared.validation, max_tokens, words)
    return train(model, batches, validation, settings.training, device=torch.device("cpu")).curve


@pytest.mark.slow
def test_a_study_whose_processes_are_killed_ten_times_is_complete_and_correct(toy: Any) -> None:
    options = ("--epochs", 15, "--patience", 15)
    assert toy.run("--trials", 1, *options) == 0
    database = sqlite3.connect(toy.folder / "study.db", timeout=60)
    database.executescript(LOG_CLAIMS)
    database.close()
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    kills: Counter[str] = Counter()
    start = time.monotonic()
    trials = TRIALS
    process = toy.start("--trials", trials, "--workers", 4, *options)
    while True:
        pause = chance.uniform(0.2, 9)
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            if kills.total() < KILLS:
                kills[kill_something(process, chance)] += 1
                print(f"{time.monotonic() - start:.1f} s: {kills.total()} kills")
            continue
        output = process.communicate()[0]
        if process.returncode == 0 and kills.total() < KILLS:
            trials += 10  # a fast machine was done before the last kill
        elif process.returncode != -signal.SIGKILL:
            break
        process = toy.start("--trials", trials, "--workers", 4, *options)
    assert process.returncode == 0, output
    print(kills, f"{time.monotonic() - start:.0f} s, {trials} trials")

    study = toy.load()
    assert [trial.number for trial in study.trials] == list(range(trials))
    assert {trial.state for trial in study.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    database = sqlite3.connect(toy.folder / "study.db")
    changes = database.execute("SELECT old, new, count(*) FROM claims GROUP BY old, new").fetchall()
    print(changes)
    assert {(old, new) for old, new, _ in changes} <= {
        ("WAITING", "RUNNING"),
        ("RUNNING", "WAITING"),
        ("RUNNING", "COMPLETE"),
        ("RUNNING", "PRUNED"),
    }
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert not list(Path(load_configuration(study).cache_dir).glob("checkpoints/*/*.pt"))

    configuration = load_configuration(study)
    prepared = prepare_for_search(configuration.split(), cache_dir=Path(configuration.cache_dir), on_event=pytest.fail)
    for trial in study.trials:
        curve = train_again(trial, configuration.base, prepared)[: trial.user_attrs["epochs"]]
        assert trial.value == best_epoch(curve, configuration.base.training).macro_f1, trial
