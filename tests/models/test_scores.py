"""The scores against scikit-learn and against what they mean."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from models.scores import accuracy, macro_f1


def test_they_are_scikit_learns_where_all_classes_occur() -> None:
    generator = np.random.default_rng(0)
    labels, predictions = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    assert macro_f1(labels, predictions) == pytest.approx(f1_score(labels, predictions, average="macro"))
    assert accuracy(labels, predictions) == accuracy_score(labels, predictions)


def test_a_stray_prediction_of_an_absent_class_does_not_change_the_denominator() -> None:
    labels = np.array([0, 0, 1, 1])
    assert macro_f1(labels, np.array([0, 0, 1, 7])) == pytest.approx((1 + 2 / 3) / 2)
