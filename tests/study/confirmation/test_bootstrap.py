"""The statistics compared with scikit-learn, with a bootstrap written text by text, and on simulated systems."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.training.scores import Classes, Metric, accuracy, macro_f1
from study.confirmation.bootstrap import (
    _mean_over_seeds,
    _resample,
    _weighted_scores,
    bootstrap_interval,
    holm,
    paired_bootstrap,
)

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


def simulate(
    generator: np.random.Generator, labels: Classes, *, right: float, seeds: int = 1, seed_sd: float = 0.0
) -> Classes:
    """Predictions that are right with this probability, which varies from seed to seed; wrong ones are uniform."""
    shares = np.clip(right + seed_sd * generator.standard_normal((seeds, 1)), 0, 1)
    is_right = generator.random((seeds, len(labels))) < shares
    stray = (labels + generator.integers(1, CLASSES, (seeds, len(labels)))) % CLASSES
    return np.where(is_right, labels, stray)


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


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_rounds_are_distributed_as_if_texts_were_drawn_one_by_one(metric: Metric) -> None:
    """Grouping identical texts changes nothing but the speed."""
    generator = np.random.default_rng(0)
    labels = generator.choice(CLASSES, 300, p=[0.6, 0.3, 0.08, 0.02])
    predictions = simulate(generator, labels, right=0.9)
    score = {"macro_f1": macro_f1, "accuracy": accuracy}[metric]
    drawn = [score(labels[rows], predictions[0, rows]) for rows in generator.integers(0, 300, (1000, 300))]
    (resampled,) = _resample(labels, [predictions], metric, generator=generator, rounds=10_000)
    shares = [0.025, 0.25, 0.5, 0.75, 0.975]
    assert np.quantile(resampled, shares) == pytest.approx(np.quantile(drawn, shares), abs=0.02)


def test_the_interval_contains_the_observed_score() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 200)
    predictions = simulate(generator, labels, right=0.8, seeds=3)
    found = bootstrap_interval(labels, predictions, "macro_f1", seed=0)
    wider = bootstrap_interval(labels, predictions, "macro_f1", seed=0, level=0.99)
    assert found.value == pytest.approx(np.mean([macro_f1(labels, row) for row in predictions]))
    assert wider.low < found.low < found.value < found.high < wider.high


def test_the_interval_contains_the_observed_score_even_if_rounds_miss_the_hard_classes() -> None:
    labels = np.repeat(np.arange(10), [40, 10, *[1] * 8])
    predictions = np.where(labels < 2, labels, 0)[None]
    found = bootstrap_interval(labels, predictions, "macro_f1", seed=0)
    assert found.low <= found.value <= found.high
    against = paired_bootstrap(labels, predictions, np.zeros_like(predictions), "macro_f1", seed=0)
    assert against.low <= against.difference <= against.high


def test_about_95_of_100_intervals_contain_the_truth_over_texts_and_seeds() -> None:
    generator = np.random.default_rng(0)
    contained = 0
    for _ in range(200):
        labels = generator.integers(0, CLASSES, 400)
        predictions = simulate(generator, labels, right=0.8, seeds=5, seed_sd=0.02)
        found = bootstrap_interval(labels, predictions, "accuracy", seed=0, rounds=500)
        contained += found.low <= 0.8 <= found.high
    assert 0.88 <= contained / 200 <= 1


def test_seeds_that_differ_widen_the_interval_as_students_t_does() -> None:
    """The seeds differ far more than the texts could make them."""
    labels = np.zeros(2000, np.int64)
    predictions = np.ones((3, 2000), np.int64)
    for row, right in enumerate((1000, 1200, 1400)):
        predictions[row, :right] = 0
    found = bootstrap_interval(labels, predictions, "accuracy", seed=0)
    error = np.std([0.5, 0.6, 0.7], ddof=1) / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((0.6 - 4.303 * error, 0.6 + 4.303 * error), abs=0.02)


def test_seeds_that_differ_only_by_the_noise_of_texts_hardly_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 500)
    widened = 0.0
    for _ in range(50):
        predictions = simulate(generator, labels, right=0.8, seeds=3)
        (resampled,) = _resample(labels, [predictions], "accuracy", generator=generator, rounds=500)
        alone = resampled.mean(axis=1)
        spread = np.subtract(*np.quantile(_mean_over_seeds(resampled, generator), [0.75, 0.25]))
        widened += spread / np.subtract(*np.quantile(alone, [0.75, 0.25])) / 50
    assert 0.98 < widened < 1.4


def test_the_effect_of_a_split_on_both_systems_cancels_out() -> None:
    """Both systems are far better with some seeds than with others, and one is always a little better."""
    labels = np.zeros(2000, np.int64)
    a, b = np.ones((2, 3, 2000), np.int64)
    for row, right in enumerate((1000, 1200, 1400)):
        a[row, : right + 40] = b[row, :right] = 0
    found = paired_bootstrap(labels, a, b, "accuracy", seed=0)
    assert found.difference == pytest.approx(0.02)
    assert 0.01 < found.low < found.high < 0.03


def test_p_is_about_uniform_when_two_systems_do_not_differ() -> None:
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(300):
        labels = generator.integers(0, CLASSES, 500)
        a, b = (simulate(generator, labels, right=0.8) for _ in range(2))
        p_values.append(paired_bootstrap(labels, a, b, "macro_f1", seed=0, rounds=500).p_value)
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09
    assert 0.42 <= np.mean(np.array(p_values) < 0.5) <= 0.58


def test_lucky_seeds_are_rarely_mistaken_for_a_better_system() -> None:
    """Both systems have the same distribution of training runs, more variable than the texts can show."""
    generator = np.random.default_rng(0)
    p_values = []
    for _ in range(150):
        labels = generator.integers(0, 2, 400)
        a, b = (simulate(generator, labels, right=0.8, seeds=3, seed_sd=0.05) for _ in range(2))
        p_values.append(paired_bootstrap(labels, a, b, "accuracy", seed=0, rounds=300).p_value)
    assert np.mean(np.array(p_values) < 0.05) <= 0.1


def test_a_clear_win_is_found_and_becomes_a_clear_loss_when_the_systems_are_swapped() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 1000)
    good = simulate(generator, labels, right=0.9, seeds=3)
    poor = simulate(generator, labels, right=0.8, seeds=3)
    win = paired_bootstrap(labels, good, poor, "macro_f1", seed=0)
    loss = paired_bootstrap(labels, poor, good, "macro_f1", seed=1)
    assert win.difference == -loss.difference == pytest.approx(0.1, abs=0.03)
    assert 0 < win.low < win.difference < win.high
    assert loss.low < loss.difference < loss.high < 0
    assert 0 < win.p_value < 0.02 > loss.p_value


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


def test_the_same_seed_gives_the_same_figures() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 200)
    a, b = (simulate(generator, labels, right=0.8, seeds=3) for _ in range(2))
    first, again, other = (paired_bootstrap(labels, a, b, "macro_f1", seed=seed, rounds=500) for seed in (0, 0, 1))
    assert first == again != other


def test_the_same_seed_gives_the_same_interval() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 200)
    system = simulate(generator, labels, right=0.8, seeds=3)
    first, again, other = (bootstrap_interval(labels, system, "macro_f1", seed=seed, rounds=500) for seed in (0, 0, 1))
    assert first == again != other


def test_an_interval_does_not_exceed_the_range_of_the_scores() -> None:
    """The two seeds could not differ more: Student's t would go far beyond the range."""
    labels = np.zeros(20, np.int64)
    system = np.repeat([[0], [1]], 20, axis=1)
    alone = bootstrap_interval(labels, system, "accuracy", seed=0)
    assert (alone.low, alone.value, alone.high) == (0, 0.5, 1)
    against = paired_bootstrap(labels, system, system[::-1], "accuracy", seed=0)
    assert (against.low, against.difference, against.high) == (-1, 0, 1)


def test_rounds_are_drawn_in_chunks_if_there_are_many_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(300) % CLASSES
    predictions = simulate(np.random.default_rng(0), labels, right=0.8)
    whole = bootstrap_interval(labels, predictions, "accuracy", seed=0)
    monkeypatch.setattr("study.confirmation.bootstrap.WEIGHTS_AT_ONCE", 1000)
    pieces = bootstrap_interval(labels, predictions, "accuracy", seed=0)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high), abs=0.01)


def test_the_requested_number_of_rounds_is_drawn_even_if_it_is_no_multiple_of_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = np.arange(300) % CLASSES
    systems = [simulate(np.random.default_rng(0), labels, right=0.8, seeds=seeds) for seeds in (1, 2)]
    groups = len(np.unique(np.vstack([labels, *systems]), axis=1).T)
    monkeypatch.setattr("study.confirmation.bootstrap.WEIGHTS_AT_ONCE", 10 * groups)
    found = _resample(labels, systems, "macro_f1", generator=np.random.default_rng(0), rounds=25)
    assert [scores.shape for scores in found] == [(25, 1), (25, 2)]


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
