"""The baselines on small texts made here, and the linear SVM on R8, where its result is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.source import find_source, load_search_texts, load_test_texts
from models.baselines import CANDIDATES, PUBLISHED, Baseline, Fit, fit_baselines
from models.scores import Classes, Metric, accuracy, macro_f1
from preprocessing.cleaning import clean, tokenize

WORDS = ("hospital surgery clinic", "court attorney law", "gallery canvas colour")


def make_texts(count: int, seed: int, *, own_word: str = "and") -> tuple[list[str], Classes]:
    """Half of the texts are of class 0; each has a word of its class, three of `own_word` and noise."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, count, p=[0.5, 0.3, 0.2])
    noise = [" ".join(f"n{number}" for number in generator.integers(0, 40, 6)) for _ in range(count)]
    signal = [generator.choice(WORDS[label].split()) for label in labels]
    return [f"{word}, {own_word}. {rest}" for word, rest in zip(signal, noise, strict=True)], labels


def fit(metric: Metric = "macro_f1", fits: list[Fit] | None = None) -> dict[str, Baseline]:
    validation = make_texts(80, 1, own_word="validationword")
    on_fit = fits.append if fits is not None else None
    return {
        found.name: found for found in fit_baselines(*make_texts(200, 0), *validation, metric=metric, on_fit=on_fit)
    }


def test_there_are_three_and_the_linear_ones_learn_what_the_majority_class_cannot() -> None:
    test_texts, labels = make_texts(200, 2)
    baselines = fit()
    assert list(baselines) == ["majority", "logistic_regression", "linear_svm"]
    assert set(baselines["majority"].predict(test_texts)) == {0}
    assert macro_f1(labels, baselines["logistic_regression"].predict(test_texts)) > 0.9
    assert macro_f1(labels, baselines["linear_svm"].predict(test_texts)) > 0.9


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_the_validation_score_is_that_of_the_studys_metric(metric: Metric) -> None:
    texts, labels = make_texts(80, 1, own_word="validationword")
    score = {"macro_f1": macro_f1, "accuracy": accuracy}[metric]
    for baseline in fit(metric).values():
        assert baseline.validation_score == score(labels, baseline.predict(texts))


def test_every_fit_is_told_and_the_best_on_validation_is_kept_the_most_regularised_of_equals() -> None:
    fits: list[Fit] = []
    baselines = fit(fits=fits)
    assert [found.number for found in fits] == list(range(1, fits[0].fits + 1))
    for candidate in CANDIDATES:
        told = [found for found in fits if found.title == candidate.title]
        assert [found.parameters for found in told] == list(candidate.grid)
        best = max(told, key=lambda found: found.validation_score)  # the first of equals
        kept = baselines[candidate.name]
        assert (kept.parameters, kept.validation_score) == (best.parameters, best.validation_score)


def test_the_features_know_words_of_training_texts_only() -> None:
    training_texts, _ = make_texts(200, 0)
    words = set(tokenize(clean(pa.array(training_texts))).flatten().to_pylist())
    for baseline in fit().values():
        baseline.predict(["testword and court"])
        assert set(baseline.pipeline["tfidf"].vocabulary_) == words
        assert not words & {"validationword", "testword"}


def test_the_classifiers_are_fitted_on_training_texts_alone() -> None:
    """Fitting the chosen parameters again on just these gives the same decisions."""
    texts, labels = make_texts(200, 0)
    test_texts, _ = make_texts(300, 2)
    for candidate, baseline in zip(CANDIDATES, fit().values(), strict=True):
        features = baseline.pipeline["tfidf"].transform(clean(pa.array(texts)).to_pylist())
        classifier = candidate.make(**baseline.parameters).fit(features, labels)
        rows = baseline.pipeline["tfidf"].transform(clean(pa.array(test_texts)).to_pylist())
        assert np.array_equal(baseline.predict(test_texts), classifier.predict(rows))


def test_the_same_texts_give_the_same_baselines() -> None:
    test_texts, _ = make_texts(300, 2)
    for first, again in zip(fit().values(), fit().values(), strict=True):
        assert (first.parameters, first.validation_score) == (again.parameters, again.validation_score)
        assert np.array_equal(first.predict(test_texts), again.predict(test_texts))


def test_arrow_arrays_and_lists_of_texts_are_the_same_and_are_cleaned() -> None:
    baseline = fit()["linear_svm"]
    texts = ["COURT!", "hospital", "Gallery-Canvas"]
    assert baseline.predict(texts).tolist() == [1, 0, 2]
    assert baseline.predict(pa.array(texts, pa.large_string())).tolist() == [1, 0, 2]


def test_texts_without_a_known_word_get_a_class_all_the_same() -> None:
    for baseline in fit().values():
        assert set(baseline.predict(["", "!!!", "unheard of"])) <= {0, 1, 2}


def test_training_texts_without_any_word_are_no_error() -> None:
    labels = np.array([0, 0, 1])
    baselines = fit_baselines(["!", "?", ""], labels, ["."], labels[:1], metric="accuracy")
    assert [baseline.validation_score for baseline in baselines] == [1, 1, 1]


def test_published_results_are_shares_with_a_source_for_each_standard_corpus() -> None:
    assert set(PUBLISHED) == {"r8", "r52", "20ng"}
    for results in PUBLISHED.values():
        assert len({result.model for result in results}) == len(results) == 7
        assert all(0.6 < result.accuracy < 1 and result.source for result in results)
    assert next(result.accuracy for result in PUBLISHED["r52"] if result.model == "TextGCN") == 0.9356


@pytest.mark.slow
def test_the_linear_svm_reaches_its_known_accuracy_on_r8(standard_cache: Path) -> None:
    source, _ = find_source("r8")
    texts = load_search_texts(source, split_seed=0, cache_dir=standard_cache)
    test = load_test_texts(source, split_seed=0, cache_dir=standard_cache)
    names = np.unique(texts.training.labels.to_pylist())
    training, validation, expected = (
        np.searchsorted(names, side.labels.to_pylist()) for side in (texts.training, texts.validation, test)
    )
    found = fit_baselines(texts.training.texts, training, texts.validation.texts, validation, metric="macro_f1")
    majority, regression, svm = (accuracy(expected, baseline.predict(test.texts)) for baseline in found)
    assert majority == pytest.approx(0.495, abs=0.001)
    assert regression >= 0.96
    assert svm >= 0.965
