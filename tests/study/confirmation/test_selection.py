"""Greedy selection on constructed predictions: complementary models join, useless ones get no weight."""

import numpy as np
import pytest

from study.confirmation.selection import choose_weights, score

LABELS = np.arange(300) % 3


def model(right: np.ndarray, sureness: float = 0.6) -> np.ndarray:
    """Probabilities (texts, classes) whose label is right where `right` is set, otherwise the next class."""
    shares = np.full((len(LABELS), 3), (1 - sureness) / 2)
    shares[np.arange(len(LABELS)), np.where(right, LABELS, (LABELS + 1) % 3)] = sureness
    return shares


def test_models_that_err_on_different_texts_are_combined_and_a_bad_one_is_left_out() -> None:
    rows = np.arange(300)
    first, second, third = (model(rows % 3 != rest) for rest in range(3))  # each wrong on a third of the texts
    bad = model(rows < 30, sureness=0.9)
    weights, found = choose_weights([np.stack([first, second, third, bad])] * 2, [LABELS] * 2, "accuracy")
    assert weights.sum() == pytest.approx(1)
    assert weights[3] == 0
    assert (weights[:3] > 0).all()
    assert found == 1.0 == score(weights, [np.stack([first, second, third, bad])], [LABELS], "accuracy")


def test_a_model_that_others_only_make_worse_stays_alone() -> None:
    good, bad = model(np.arange(300) != 7), model(np.arange(300) < 90)
    weights, found = choose_weights([np.stack([bad, good])], [LABELS], "macro_f1")
    assert weights.tolist() == [0, 1]
    assert found == score(np.array([0, 1]), [np.stack([bad, good])], [LABELS], "macro_f1") < 1


def test_of_models_with_equal_scores_the_surer_one_is_chosen() -> None:
    right = np.ones(300, bool)
    weights, _ = choose_weights([np.stack([model(right, 0.5), model(right, 0.9)])], [LABELS], "macro_f1")
    assert weights.tolist() == [0, 1]


def test_a_repeat_counts_as_much_as_another_whatever_its_size() -> None:
    few = np.stack([model(np.ones(300, bool)), model(np.zeros(300, bool))])
    assert score(np.array([1, 0]), [few[:, :30], few[::-1]], [LABELS[:30], LABELS], "accuracy") == 0.5
