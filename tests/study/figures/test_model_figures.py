"""The figures of trained models hold what they were given."""

import numpy as np
import torch

from models.training.trainer import EpochResult, TrainingResult
from study.figures.confusion_matrix import CLASSES_WITH_COUNTS
from study.figures.notebook import confusion_matrix, training_curves


def result(*losses: float) -> TrainingResult:
    curve = tuple(
        EpochResult(epoch, 1.0, loss, 0.1, 1 - loss, 1.0, torch.zeros(1)) for epoch, loss in enumerate(losses)
    )
    return TrainingResult(curve, curve[-1], {})


def test_each_model_has_its_loss_and_its_score_and_one_legend_entry() -> None:
    traces = training_curves({"linear": result(0.5), "lstm": result(0.75, 0.25)}, "macro_f1").data
    assert [(trace.name, trace.x, trace.y, trace.showlegend) for trace in traces] == [
        ("linear", (1,), (0.5,), True),
        ("linear", (1,), (0.5,), False),
        ("lstm", (1, 2), (0.75, 0.25), True),
        ("lstm", (1, 2), (0.25, 0.75), False),
    ]


def test_a_row_of_the_confusion_matrix_holds_the_shares_of_a_class() -> None:
    labels, predictions = np.array([0, 0, 0, 0, 1]), np.array([0, 0, 0, 1, 1])
    (heatmap,) = confusion_matrix(labels, predictions, ["a", "b", "never"]).data
    assert heatmap.text.tolist() == [["3", "1", ""], ["", "1", ""], ["", "", ""]]
    assert heatmap.z.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]


def test_the_counts_of_many_classes_are_not_printed_in_the_cells() -> None:
    for classes, shows in ((CLASSES_WITH_COUNTS, True), (CLASSES_WITH_COUNTS + 1, False)):
        labels = np.arange(classes)
        (heatmap,) = confusion_matrix(labels, labels, list(map(str, labels))).data
        assert bool(heatmap.texttemplate) == shows
