"""The baselines on small texts made here, and the linear SVM on R8, where its result is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from data.source import Split, find_source
from models.baselines import CANDIDATES, PUBLISHED, Baseline, Fit, fit_baselines
from models.training.scores import Classes, Metric, accuracy, macro_f1
from preprocessing.cleaning import clean
from preprocessing.encoding import EncodedTexts, encode, learn_and_encode
from preprocessing.prepared import prepare_for_search, prepare_test
from preprocessing.vocabulary import UNKNOWN_ID

WORDS = ("hospital surgery clinic", "court attorney law", "gallery canvas colour")


def make_texts(count: int, seed: int, *, own_word: str = "and") -> tuple[list[str], Classes]:
    """Half of the texts are of class 0; each has a word of its class, three of `own_word` and noise."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, count, p=[0.5, 0.3, 0.2])
    noise = [" ".join(f"n{number}" for number in generator.integers(0, 40, 6)) for _ in range(count)]
    signal = [generator.choice(WORDS[label].split()) for label in labels]
    return [f"{word}, {own_word}. {rest}" for word, rest in zip(signal, noise, strict=True)], labels


VOCABULARY, *TRAINING = learn_and_encode(pa.array(make_texts(200, 0)[0], pa.large_string()))


def encoded(texts: list[str], labels: Classes) -> EncodedTexts:
    return EncodedTexts(*encode(pa.array(texts, pa.large_string()), VOCABULARY), labels.astype(np.int32))


def validation_texts() -> EncodedTexts:
    return encoded(*make_texts(80, 1, own_word="validationword"))


def unseen_texts() -> EncodedTexts:
    return encoded(*make_texts(300, 2))


def fit(metric: Metric = "macro_f1", fits: list[Fit] | None = None) -> dict[str, Baseline]:
    training = EncodedTexts(*TRAINING, make_texts(200, 0)[1].astype(np.int32))
    on_fit = fits.append if fits is not None else None
    found = fit_baselines(
        training, validation_texts(), vocabulary_size=len(VOCABULARY), classes=3, metric=metric, on_fit=on_fit
    )
    return {baseline.name: baseline for baseline in found}


def test_there_are_three_baselines_and_the_linear_ones_learn_the_texts() -> None:
    texts, baselines = unseen_texts(), fit()
    assert list(baselines) == ["majority", "logistic_regression", "linear_svm"]
    assert set(baselines["majority"].predict(texts)) == {0}
    assert macro_f1(texts.labels, baselines["logistic_regression"].predict(texts)) > 0.9
    assert macro_f1(texts.labels, baselines["linear_svm"].predict(texts)) > 0.9


@pytest.mark.parametrize("metric", ["macro_f1", "accuracy"])
def test_the_validation_score_is_that_of_the_studys_metric(metric: Metric) -> None:
    texts = validation_texts()
    score = {"macro_f1": macro_f1, "accuracy": accuracy}[metric]
    for baseline in fit(metric).values():
        assert baseline.validation_score == score(texts.labels, baseline.predict(texts))


def test_every_fit_is_reported_and_the_best_is_kept_the_most_regularised_in_a_tie() -> None:
    fits: list[Fit] = []
    baselines = fit(fits=fits)
    assert [found.number for found in fits] == list(range(1, fits[0].fits + 1))
    for candidate in CANDIDATES:
        told = [found for found in fits if found.title == candidate.title]
        assert [found.parameters for found in told] == list(candidate.grid)
        best = max(told, key=lambda found: found.validation_score)  # the first one in a tie
        kept = baselines[candidate.name]
        assert (kept.parameters, kept.validation_score) == (best.parameters, best.validation_score)


def test_the_features_are_words_of_training_texts_only() -> None:
    """Even a word that has an id is no feature if it occurs in validation texts only."""
    training = EncodedTexts(*TRAINING, make_texts(200, 0)[1].astype(np.int32))
    validation = validation_texts()
    validation.token_ids[validation.token_ids == UNKNOWN_ID] = len(VOCABULARY)
    words = len(VOCABULARY) + 1
    for baseline in fit_baselines(training, validation, vocabulary_size=words, classes=3, metric="accuracy"):
        assert baseline.model.tfidf.ngrams.tolist() == list(range(2, len(VOCABULARY)))


def test_the_classifiers_are_fitted_on_training_texts_alone() -> None:
    """scikit-learn, fitted on these texts only with the chosen parameters, predicts the same."""
    vectorizer = TfidfVectorizer(tokenizer=str.split, token_pattern=None, lowercase=False, sublinear_tf=True)
    training, others = (
        clean(pa.array(make_texts(count, seed)[0], pa.large_string())).to_pylist()
        for count, seed in ((200, 0), (300, 2))
    )
    features, labels = vectorizer.fit_transform(training), make_texts(200, 0)[1]
    baselines = fit()
    for name, classifier in {
        "majority": DummyClassifier(strategy="most_frequent"),
        "logistic_regression": OneVsRestClassifier(
            LogisticRegression(**baselines["logistic_regression"].parameters, solver="liblinear", max_iter=10_000)
        ),
        "linear_svm": LinearSVC(**baselines["linear_svm"].parameters, max_iter=10_000),
    }.items():
        expected = classifier.fit(features, labels).predict(vectorizer.transform(others))
        assert np.array_equal(baselines[name].predict(unseen_texts()), expected)


def test_larger_values_of_c_are_left_out_after_two_that_were_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    logistic_regression, svm = [0.5, 0.7, 0.6, 0.7, 0.6, 0.6], [0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.3]
    scores = iter([0.2, *logistic_regression, *svm])
    monkeypatch.setattr("models.baselines.SCORES", {"macro_f1": lambda *_: next(scores)})
    fits: list[Fit] = []
    baselines = fit(fits=fits)
    assert list(scores) == []
    assert len(fits) == 1 + 6 + 7
    assert baselines["logistic_regression"].parameters == {"C": 3}
    assert baselines["linear_svm"].parameters == {"C": 10}


def test_parameters_that_were_chosen_before_are_not_tuned_again() -> None:
    training, chosen = EncodedTexts(*TRAINING, make_texts(200, 0)[1].astype(np.int32)), {"C": 0.1}
    fits: list[Fit] = []
    found = fit_baselines(
        training,
        validation_texts(),
        vocabulary_size=len(VOCABULARY),
        classes=3,
        metric="macro_f1",
        chosen={"majority": {}, "logistic_regression": chosen, "linear_svm": chosen},
        on_fit=fits.append,
    )
    assert [baseline.parameters for baseline in found] == [{}, chosen, chosen]
    assert [(fit.number, fit.fits) for fit in fits] == [(1, 3), (2, 3), (3, 3)]


def test_the_same_texts_give_the_same_baselines() -> None:
    for first, again in zip(fit().values(), fit().values(), strict=True):
        assert (first.parameters, first.validation_score) == (again.parameters, again.validation_score)
        assert np.array_equal(first.predict(unseen_texts()), again.predict(unseen_texts()))


def test_texts_without_a_known_word_still_get_a_class() -> None:
    texts = encoded(["", "!!!", "unheard of"], np.zeros(3))
    for baseline in fit().values():
        assert set(baseline.predict(texts)) <= {0, 1, 2}


def test_training_texts_without_any_word_are_no_error() -> None:
    training, validation = encoded(["!", "?", ""], np.array([0, 0, 1])), encoded(["."], np.array([0]))
    baselines = fit_baselines(training, validation, vocabulary_size=2, classes=2, metric="accuracy")
    assert [baseline.validation_score for baseline in baselines] == [1, 1, 1]


def test_every_standard_corpus_has_published_results_with_a_source() -> None:
    assert set(PUBLISHED) == {"r8", "r52", "20ng"}
    for results in PUBLISHED.values():
        assert len({result.model for result in results}) == len(results) == 7
        assert all(0.6 < result.accuracy < 1 and result.source for result in results)
    assert next(result.accuracy for result in PUBLISHED["r52"] if result.model == "TextGCN") == 0.9356


@pytest.mark.slow
def test_the_linear_svm_reaches_its_known_accuracy_on_r8(standard_cache: Path) -> None:
    source, _ = find_source("r8")
    prepared = prepare_for_search(Split(source), cache_dir=standard_cache)
    test = prepare_test(Split(source), prepared, cache_dir=standard_cache)
    words, classes = len(prepared.word_counts), len(prepared.classes)
    found = fit_baselines(
        prepared.training, prepared.validation, vocabulary_size=words, classes=classes, metric="macro_f1"
    )
    majority, regression, svm = (accuracy(test.labels, baseline.predict(test)) for baseline in found)
    assert majority == pytest.approx(0.495, abs=0.001)
    assert regression >= 0.96
    assert svm >= 0.965
