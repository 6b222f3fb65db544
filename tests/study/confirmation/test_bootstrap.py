"""The statistics compared with scikit-learn, and in constructed cases whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.training.scores import Classes, Metric, accuracy, macro_f1
from study.confirmation.bootstrap import _weighted_scores, bootstrap_interval, holm, paired_bootstrap

CLASSES = 4
some_texts = st.integers(1, 30).flatmap(
    lambda texts: st.tuples(
        arrays(np.int64, texts, elements=st.integers(0, CLASSES - 1)),
        arrays(np.int64, (2, texts), elements=st.integers(0, CLASSES - 1)),
        arrays(np.int64, (3, texts), elements=st.integers(0, 3)).filter(
            lambda weights: bool(weights.any(axis=1).all())
        ),
    )
)


@given(some_texts)
def test_weighted_scores_equal_the_scores_of_repeated_texts(texts: tuple[Classes, Classes, Classes]) -> None:
    """This also holds if a class is missing among the repeated texts; it is then left out of macro-F1."""
    labels, predictions, weights = texts
    metrics: list[tuple[Metric, object]] = [("macro_f1", macro_f1), ("accuracy", accuracy)]
    for metric, score in metrics:
        found = _weighted_scores(labels, predictions, weights.astype(np.float64), metric)
        expected = [
            [score(np.repeat(labels, times), np.repeat(row, times)) for row in predictions]  # type: ignore[operator]
            for times in weights
        ]
        assert found == pytest.approx(np.array(expected), abs=1e-12)


def test_the_interval_contains_the_observed_score_even_if_rounds_miss_the_hard_classes() -> None:
    labels = np.repeat(np.arange(10), [40, 10, *[1] * 8])
    predictions = np.where(labels < 2, labels, 0)[None]
    found = bootstrap_interval(labels, predictions, "macro_f1", seed=0)
    assert found.low <= found.value <= found.high
    against = paired_bootstrap(labels, predictions, np.zeros_like(predictions), "macro_f1", seed=0)
    assert against.low <= against.difference <= against.high


def test_seeds_that_differ_widen_the_interval_as_students_t_does() -> None:
    """The seeds differ far more than the texts could make them."""
    labels = np.zeros(2000, np.int64)
    predictions = np.ones((3, 2000), np.int64)
    for row, right in enumerate((1000, 1200, 1400)):
        predictions[row, :right] = 0
    found = bootstrap_interval(labels, predictions, "accuracy", seed=0)
    error = np.std([0.5, 0.6, 0.7], ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.6 - 4.303 * error, 0.6 + 4.303 * error), abs=0.02)


def test_the_effect_of_a_split_on_both_systems_cancels_out() -> None:
    """Both systems are far better with some seeds than with others, and one is always a little better."""
    labels = np.zeros(2000, np.int64)
    a, b = np.ones((2, 3, 2000), np.int64)
    for row, right in enumerate((1000, 1200, 1400)):
        a[row, : right + 40] = b[row, :right] = 0
    found = paired_bootstrap(labels, a, b, "accuracy", seed=0)
    assert found.difference == pytest.approx(0.02)
    assert 0.01 < found.low < found.high < 0.03


def test_the_observed_texts_count_as_a_round_so_that_p_is_never_0() -> None:
    labels = np.zeros(100, np.int64)
    found = paired_bootstrap(labels, labels[None], labels[None] + 1, "accuracy", seed=0, rounds=999)
    assert found.p_value == 2 / 1000


def test_identical_predictions_have_no_difference() -> None:
    labels = np.arange(50) % CLASSES
    predictions = np.stack([labels, (labels + labels % 2) % CLASSES])[:1]
    found = paired_bootstrap(labels, predictions, predictions, "macro_f1", seed=0)
    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


def test_the_metric_decides_which_of_two_systems_is_better() -> None:
    """One system misses a rare class; the other finds it, at the cost of more mistakes on the common one."""
    labels = np.repeat([0, 1], [380, 20])
    misses, finds = np.zeros((1, 400), np.int64), labels[None].copy()
    finds[0, :40] = 1
    by_accuracy = paired_bootstrap(labels, misses, finds, "accuracy", seed=0)
    assert by_accuracy.difference == pytest.approx(0.05)
    assert by_accuracy.low > 0
    by_macro_f1 = paired_bootstrap(labels, misses, finds, "macro_f1", seed=0)
    assert by_macro_f1.difference == pytest.approx((2 * 380 / 780 + 0 - 2 * 340 / 720 - 2 * 20 / 80) / 2)
    assert by_macro_f1.high < 0


def test_a_shared_difficulty_of_the_texts_does_not_hide_a_difference() -> None:
    """Two systems fail on the same third, one on ten more texts. Unpaired intervals overlap; the test is certain."""
    labels = np.arange(600) % CLASSES
    b = np.where(np.arange(600) < 200, (labels + 1) % CLASSES, labels)[None]
    worse = np.where(np.arange(600) < 210, (labels + 1) % CLASSES, labels)[None]
    alone, other = (bootstrap_interval(labels, system, "accuracy", seed=0) for system in (b, worse))
    assert alone.low < other.high
    assert paired_bootstrap(labels, b, worse, "accuracy", seed=0).p_value < 0.01


def test_an_interval_does_not_exceed_the_range_of_the_scores() -> None:
    """The two seeds could not differ more: Student's t would go far beyond the range."""
    labels = np.zeros(20, np.int64)
    system = np.repeat([[0], [1]], 20, axis=1)
    alone = bootstrap_interval(labels, system, "accuracy", seed=0)
    assert (alone.low, alone.value, alone.high) == (0, 0.5, 1)
    against = paired_bootstrap(labels, system, system[::-1], "accuracy", seed=0)
    assert (against.low, against.difference, against.high) == (-1, 0, 1)


def test_holm_adjusts_as_in_the_paper() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.03, 0.04]) == pytest.approx((0.06, 0.06))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([0.2]) == (0.2,)


def test_predictions_of_another_shape_are_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match=r"shape \(seeds, 2\), one row per seed, got \(2,\)"):
        bootstrap_interval(labels, labels, "accuracy", seed=0)
    with pytest.raises(ValueError, match=r"got \(1, 3\)"):
        paired_bootstrap(labels, labels[None], np.array([[0, 1, 1]]), "accuracy", seed=0)


def test_systems_of_different_numbers_of_seeds_are_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="the same seeds, got 1 and 2 of them"):
        paired_bootstrap(labels, labels[None], np.stack([labels, labels]), "accuracy", seed=0)
