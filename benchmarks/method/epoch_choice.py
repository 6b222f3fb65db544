"""What word dropout, and not counting a training's first epochs, are worth on texts that have decided nothing.

    python benchmarks/method/epoch_choice.py

On R8: the LSTM with its default settings and with twice its default hidden size, and the CNN. Of each of eight repeats
the validation texts are kept apart, and a tenth of the training texts takes their place. Macro-F1, means and standard
errors of paired differences. Takes 15 minutes.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from data.source import Split, find_source
from models.lstm import LSTMConfig
from models.registry import find_learner, name_of
from models.training.scores import macro_f1
from models.training.trainer import EpochResult, best_epoch, predict, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.prepared import prepare_for_search
from study.model_settings import DEFAULTS

REPEATS = 8
CPU = torch.device("cpu")
LSTM = DEFAULTS["lstm"]
assert isinstance(LSTM.model, LSTMConfig)
SETTINGS = {
    "lstm": LSTM,
    "lstm of 128": replace(LSTM, model=replace(LSTM.model, hidden_size=128)),
    "cnn": DEFAULTS["cnn"],
}
Job = tuple[str, bool, int]  # the name of the settings, whether words are dropped, the repeat


def train_one(job: Job) -> tuple[float, float]:
    """Macro-F1 on the texts kept apart, of the epoch that counts and of the best one of all."""
    model, drops_words, repeat = job
    settings = SETTINGS[model]
    config = settings.model if drops_words else replace(settings.model, word_dropout=0.0)
    training = replace(settings.training, seed=1 + repeat, patience=settings.training.epochs)
    prepared = prepare_for_search(Split(find_source("r8")[0], repeat=repeat), cache_dir=Path(".cache"))
    texts, apart = prepared.training, prepared.validation
    rows = train_test_split(np.arange(len(texts)), test_size=0.1, stratify=texts.labels, random_state=repeat)
    rest, validation = map(texts.take, rows)
    limits = settings.limits
    words = limits.kept_words(prepared.word_counts)
    torch.manual_seed(training.seed)
    kind = find_learner(name_of(config)).network_type
    network = kind(config, vocabulary_size=words, classes=len(prepared.classes))
    scores: list[float] = []

    def on_epoch_end(_: EpochResult) -> None:
        classes, _loss = predict(network, EvaluationBatches(apart, limits.max_tokens, words), device=CPU)
        scores.append(macro_f1(apart.labels, classes))

    batches = TrainingBatches(rest, training.batch_size, limits.max_tokens, words, training.seed)
    evaluation = EvaluationBatches(validation, limits.max_tokens, words)
    curve = train(network, batches, evaluation, training, device=CPU, on_epoch_end=on_epoch_end).curve
    best_of_all = max(curve, key=lambda result: result.score(training.metric))
    return scores[best_epoch(curve, training).epoch], scores[best_of_all.epoch]


def show(title: str, scores: np.ndarray, without: np.ndarray) -> None:
    differences = scores - without
    error = differences.std(ddof=1) / len(differences) ** 0.5
    print(f"{title}: {scores.mean():.4f}, without {without.mean():.4f}, {differences.mean():+.4f} ± {error:.4f}")


def main() -> None:
    jobs: list[Job] = [
        (model, drops, repeat) for repeat in range(REPEATS) for model in SETTINGS for drops in (True, False)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        found = dict(zip(jobs, processes.map(train_one, jobs), strict=True))
    for model in SETTINGS:
        with_dropout, without = (
            np.array([found[model, drops, repeat] for repeat in range(REPEATS)]) for drops in (True, False)
        )
        show(f"{model}, word dropout", with_dropout[:, 0], without[:, 0])
        show(f"{model}, the first epochs not counted", with_dropout[:, 0], with_dropout[:, 1])


if __name__ == "__main__":
    main()
