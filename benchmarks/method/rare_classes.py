"""What helps rare classes: variants of the models, by cross-validation on training texts.

    python benchmarks/method/rare_classes.py r52 --models lstm linear
    python benchmarks/method/rare_classes.py 20ng:3000 --models cnn     # 3,000 of the training texts

The predictions of all folds are scored together, so that a class of three texts counts; the test split stays closed.
The vocabulary is that of the search's training texts.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from data.source import Split, find_source
from models.learners.learner import Settings
from models.registry import find_learner, make_learner
from models.training.scores import accuracy, macro_f1
from preprocessing.batches import stratified_part
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.model_settings import usual_budget

CACHE_DIR = Path(".cache")
CPU = torch.device("cpu")
FOLDS = 3
RARE = 10  # texts of a class, at most
NETWORK_VARIANTS: tuple[dict[str, Any], ...] = (
    {"bag_of_words": False},
    {"bag_of_words": True},
    {"bag_of_words": True, "label_smoothing": 0.0},
)
LOGISTIC = {"classifier": "logistic_regression"}
VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "lstm": NETWORK_VARIANTS,
    "cnn": NETWORK_VARIANTS,
    "linear": (
        *({"C": c, "balance": balance} for c in (0.3, 1.0, 3.0, 10.0) for balance in (0.0, 0.5, 1.0)),
        *({**LOGISTIC, "C": c, "balance": balance} for c in (10.0, 100.0) for balance in (0.0, 0.5)),
    ),
}


def all_training_texts(name: str) -> tuple[PreparedTexts, EncodedTexts]:
    """The texts of the search, training and validation together, or a part of them."""
    corpus, _, part = name.partition(":")
    prepared = prepare_for_search(Split(find_source(corpus)[0]), cache_dir=CACHE_DIR)
    first, second = prepared.training, prepared.validation
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    token_ids, labels = (
        np.concatenate(pair) for pair in ((first.token_ids, second.token_ids), (first.labels, second.labels))
    )
    texts = EncodedTexts(token_ids, offsets, labels)
    return prepared, stratified_part(texts, int(part)) if part else texts


def folds(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """The number of the fold of each text, stratified: a class of two texts is in two folds."""
    generator = np.random.default_rng(0)
    numbers = np.empty(len(labels), np.intp)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        numbers[rows] = (np.arange(len(rows)) + generator.integers(FOLDS)) % FOLDS
    return numbers


def changed(settings: Settings, changes: dict[str, Any], texts: int) -> Settings:
    """The settings of a variant, with the epochs that so many texts get."""
    of_training = {name: value for name, value in changes.items() if hasattr(settings.training, name)}
    of_model = {name: value for name, value in changes.items() if name not in of_training}
    settings = replace(
        settings, model=replace(settings.model, **of_model), training=replace(settings.training, **of_training)
    )
    return replace(settings, training=replace(settings.training, **usual_budget(settings, texts)))


def predictions(
    settings: Settings, changes: dict[str, Any], prepared: PreparedTexts, texts: EncodedTexts
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.int64]]]:
    """The rows of each fold, and the classes that are predicted for them."""
    numbers = folds(texts.labels)
    for fold in range(FOLDS):
        rows = np.flatnonzero(numbers == fold)
        training, held_out = texts.take(np.flatnonzero(numbers != fold)), texts.take(rows)
        variant = changed(settings, changes, len(training))
        variant = replace(variant, training=replace(variant.training, seed=fold))
        learner = make_learner(variant, replace(prepared, training=training, validation=held_out), CACHE_DIR, CPU)
        yield rows, learner.logits(learner.fit().best_weights, held_out).argmax(dim=1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("--models", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    prepared, texts = all_training_texts(arguments.corpus)
    rare = np.bincount(texts.labels)[texts.labels] <= RARE
    print(f"{arguments.corpus}: {len(texts):,} texts, {rare.sum()} of classes with at most {RARE}")
    print(f"{'model':8}{'macro-F1':>10}{'accuracy':>10}{'rare':>8}{'s':>6}  variant")
    for model in arguments.models:
        for changes in VARIANTS[model]:
            start, predicted = time.monotonic(), np.empty(len(texts), np.int64)
            for rows, classes in predictions(find_learner(model).defaults[""], changes, prepared, texts):
                predicted[rows] = classes
            scores = macro_f1(texts.labels, predicted), accuracy(texts.labels, predicted)
            right = (predicted == texts.labels)[rare].mean() if rare.any() else float("nan")
            seconds = time.monotonic() - start
            shown = ", ".join(f"{name} {value}" for name, value in changes.items())
            print(f"{model:8}{scores[0]:10.4f}{scores[1]:10.4f}{right:8.3f}{seconds:6.0f}  {shown}", flush=True)


if __name__ == "__main__":
    main()
