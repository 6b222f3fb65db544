"""The test texts of a study, opened: encoded for each of its repeats, and what a training predicts for them.

The only module that reads the test split. Only `holdout` and `ensemble` may use it, which record each opening.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from optuna.trial import FrozenTrial
from sklearn.metrics import log_loss

from models.learners.learner import Learner
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts, prepare_test
from study.configuration import FIRST_REFIT, StudyConfig
from study.confirmation.predictions import CONFIDENCE_STEPS, Numbers
from study.errors import StudyError
from study.storage.attributes import REPEAT
from study.trials.repeats import confirmed_learner, load_weights, prepare_repeat, temperature_of
from study.trials.texts import word_pieces_of


class OpenedSplit:
    """The test texts, encoded for each repeat: the same texts, whose classes must have the same numbers."""

    def __init__(
        self, configuration: StudyConfig, device: torch.device, *, classes_of: "OpenedSplit | None" = None
    ) -> None:
        self.configuration = configuration
        self._device = device
        self._opened: dict[tuple[int, bool], EncodedTexts] = {}
        self.classes: tuple[str, ...] = classes_of.classes if classes_of else ()  # those of another study's, too
        self.labels: Numbers = classes_of.labels if classes_of else np.empty(0, np.int64)

    def open(self, trial: FrozenTrial) -> tuple[Learner, EncodedTexts]:
        """The learner of a training, and the test texts for it. Raises `StudyError`."""
        learner = confirmed_learner(self.configuration, trial, self._device)
        texts = self._test_texts(int(trial.user_attrs[REPEAT]))
        labels, classes = texts.labels.astype(np.int64), learner.prepared.classes
        if self.classes and (classes != self.classes or not np.array_equal(labels, self.labels)):
            raise StudyError(
                "The classes of prepared texts do not have the same numbers in all repeats, as an earlier version has "
                "prepared them. Remove those, and what was trained on them, with `python -m study.cache --clear "
                "--checkpoints`; then start the same command again."
            )
        self.classes, self.labels = classes, labels
        return learner, texts

    def open_in_words(self, repeat: int) -> tuple[PreparedTexts, EncodedTexts]:
        """The texts of a repeat for the baselines, and the test texts for them."""
        prepared = prepare_repeat(self.configuration, repeat, in_words=True)
        return prepared, self._test_texts(repeat, in_words=True)

    def _test_texts(self, repeat: int, *, in_words: bool = False) -> EncodedTexts:
        """The test texts of a repeat, opened once for all systems."""
        configuration, repeat = self.configuration, min(repeat, FIRST_REFIT)  # all refits have the same texts
        pieces = None if in_words else word_pieces_of(configuration)
        key = repeat, pieces is None
        if key not in self._opened:
            prepared = prepare_repeat(configuration, repeat, in_words=in_words)
            split, cache_dir = configuration.split(repeat), Path(configuration.cache_dir)
            self._opened[key] = prepare_test(split, prepared, cache_dir=cache_dir, pieces=pieces)
        return self._opened[key]


@dataclass(frozen=True)
class Predicted:
    """The test predictions of one training, or of an average of several."""

    predictions: Numbers
    confidences: npt.NDArray[np.float64]  # the probabilities of the predicted labels, as they are stored
    temperature: float
    log_loss: float


def predict_training(
    opened: OpenedSplit, trial: FrozenTrial, checkpoints: Path, *, temperature: float | None = None
) -> tuple[Predicted, npt.NDArray[np.float64]]:
    """What a training predicts, and its calibrated probabilities (texts, classes).

    `temperature`: of a refit, which has no validation texts of its own to be calibrated on.
    """
    learner, texts = opened.open(trial)
    weights = load_weights(checkpoints, trial)
    if temperature is None:
        temperature = temperature_of(learner, learner.logits(weights, learner.prepared.validation))
    probabilities = (learner.logits(weights, texts).double() / temperature).softmax(dim=1).numpy()
    return predicted_with(probabilities, opened.labels, temperature), probabilities


def predicted_with(probabilities: npt.NDArray[np.float64], labels: Numbers, temperature: float) -> Predicted:
    return Predicted(
        probabilities.argmax(axis=1),
        np.rint(probabilities.max(axis=1) * CONFIDENCE_STEPS) / CONFIDENCE_STEPS,
        temperature,
        float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))),
    )
