"""The statistics on simulated systems, whose true scores are known, and on texts drawn one by one."""

import numpy as np
import pytest

from models.training.scores import Classes, Metric, accuracy, macro_f1
from study.confirmation.bootstrap import _mean_over_seeds, _resample, bootstrap_interval, paired_bootstrap

CLASSES = 4


def simulate(
    generator: np.random.Generator, labels: Classes, *, right: float, seeds: int = 1, seed_sd: float = 0.0
) -> Classes:
    """Predictions that are right with this probability, which varies from seed to seed; wrong ones are uniform."""
    shares = np.clip(right + seed_sd * generator.standard_normal((seeds, 1)), 0, 1)
    is_right = generator.random((seeds, len(labels))) < shares
    stray = (labels + generator.integers(1, CLASSES, (seeds, len(labels)))) % CLASSES
    return np.where(is_right, labels, stray)


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


def test_about_95_of_100_intervals_contain_the_truth_over_texts_and_seeds() -> None:
    generator = np.random.default_rng(0)
    contained = 0
    for _ in range(200):
        labels = generator.integers(0, CLASSES, 400)
        predictions = simulate(generator, labels, right=0.8, seeds=5, seed_sd=0.02)
        found = bootstrap_interval(labels, predictions, "accuracy", seed=0, rounds=500)
        contained += found.low <= 0.8 <= found.high
    assert 0.88 <= contained / 200 <= 1


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
