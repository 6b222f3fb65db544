"""What `study.report --refit` is worth: averages of training runs with validation texts of their own, and without.

    python benchmarks/method/refit.py r52
    python benchmarks/method/refit.py 20ng:3000 --models linear     # 3,000 of the training texts

By cross-validation on training texts, as in `rare_classes.py`: three members per fold, each on another nine tenths of
the other folds, or each on all of them with another seed. The test split stays closed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from rare_classes import CACHE_DIR, CPU, FOLDS, all_training_texts, changed, folds

from models.registry import find_learner, make_learner
from models.training.calibration import best_temperature, expected_calibration_error
from models.training.scores import accuracy, macro_f1
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts

MEMBERS = 3
WAYS = ("validated", "refitted")


def validation_rows(labels: npt.NDArray[np.int32], seed: int) -> npt.NDArray[np.intp]:
    """The rows of about a tenth of each class; none of a class of one text."""
    generator = np.random.default_rng(seed)
    shuffled = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    return np.concatenate([rows[: max(1, round(len(rows) / 10))] for rows in shuffled if len(rows) > 1])


def members(
    model: str, prepared: PreparedTexts, texts: EncodedTexts, held_out: EncodedTexts, fold: int
) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """The way and the probabilities for the held-out texts of each member."""
    for member in range(MEMBERS):
        rows = validation_rows(texts.labels, 10 * fold + member)
        validation, others = texts.take(rows), np.setdiff1d(np.arange(len(texts)), rows)
        settings = changed(find_learner(model).defaults[""], {}, len(texts))
        settings = replace(settings, training=replace(settings.training, seed=10 * fold + member))
        temperature = 1.0
        for way in WAYS:
            training = texts.take(others if way == "validated" else np.concatenate([others, rows]))
            sides = replace(prepared, training=training, validation=validation, is_whole=way == "refitted")
            learner = make_learner(settings, sides, CACHE_DIR, CPU)
            weights = learner.fit().best_weights
            if way == "validated":
                labels = torch.from_numpy(validation.labels.astype(np.int64))
                temperature = best_temperature(learner.logits(weights, validation), labels)
            yield way, (learner.logits(weights, held_out).double() / temperature).softmax(dim=1).numpy()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpus")
    parser.add_argument("--models", nargs="+", default=["lstm", "linear"])
    arguments = parser.parse_args()
    prepared, texts = all_training_texts(arguments.corpus)
    numbers = folds(texts.labels)
    print(f"{'model':8}{'members':12}{'macro-F1':>10}{'accuracy':>10}{'ECE':>8}")
    for model in arguments.models:
        means = {way: np.zeros((len(texts), len(prepared.classes))) for way in WAYS}
        for fold in range(FOLDS):
            rows = np.flatnonzero(numbers == fold)
            training, held_out = texts.take(np.flatnonzero(numbers != fold)), texts.take(rows)
            for way, probabilities in members(model, prepared, training, held_out, fold):
                means[way][rows] += probabilities / MEMBERS
        for way, mean in means.items():
            predicted = mean.argmax(axis=1)
            scores = macro_f1(texts.labels, predicted), accuracy(texts.labels, predicted)
            error = expected_calibration_error(mean.max(axis=1), predicted == texts.labels)
            print(f"{model:8}{way:12}{scores[0]:10.4f}{scores[1]:10.4f}{error:8.4f}", flush=True)


if __name__ == "__main__":
    main()
