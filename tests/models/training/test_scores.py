"""The scores agree with scikit-learn and with their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from models.training.scores import ClassScores, accuracy, confusion, macro_f1, per_class_scores


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_the_scores_are_those_of_scikit_learn_over_the_classes_that_occur(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = np.array(pairs).T
    expected = f1_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0)
    assert macro_f1(labels, predictions) == expected
    assert accuracy(labels, predictions) == accuracy_score(labels, predictions)
    expected = confusion_matrix(labels, predictions, labels=range(10)).tolist()
    assert confusion(labels, predictions[None], classes=10).tolist() == expected


def test_a_stray_prediction_of_an_absent_class_does_not_change_the_denominator() -> None:
    labels = np.array([0, 0, 1, 1])
    assert macro_f1(labels, np.array([0, 0, 1, 7])) == pytest.approx((1 + 2 / 3) / 2)


def test_confusion_has_a_row_for_each_class_and_is_the_mean_over_the_repeats() -> None:
    labels, predictions = np.array([0, 0, 1]), np.array([[0, 1, 1], [0, 0, 2]])
    expected = [[1.5, 0.5, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert confusion(labels, predictions, classes=4).tolist() == expected


def test_scores_of_a_class_are_the_mean_over_the_repeats_and_0_without_texts_and_predictions() -> None:
    labels, predictions = np.array([0, 0, 1]), np.array([[0, 1, 1], [0, 0, 1]])
    once = per_class_scores(labels, predictions[:1], classes=3)
    assert once == (ClassScores(1, 0.5, 2 / 3, 2), ClassScores(0.5, 1, 2 / 3, 1), ClassScores(0, 0, 0, 0))
    first, second, _ = per_class_scores(labels, predictions, classes=3)
    assert (first.precision, first.recall, first.f1, first.support) == pytest.approx((1, 0.75, 5 / 6, 2))
    assert (second.precision, second.recall, second.f1, second.support) == pytest.approx((0.75, 1, 5 / 6, 1))


def test_confusion_refuses_predictions_for_a_different_number_of_texts() -> None:
    with pytest.raises(ValueError, match="shapes"):
        confusion(np.array([0, 1]), np.array([[0, 1, 1]]), classes=2)
