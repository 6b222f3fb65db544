"""The linear classifiers predict what scikit-learn's do, with calibrated probabilities and a complete state dict."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from torch.nn import functional

from models.linear import LinearClassifier, LinearConfig, fit_classifier, fit_features, fit_linear
from models.one_against_rest import TOLERANCE
from models.training.trainer import TrainingResult, predict
from preprocessing.batches import EvaluationBatches, make_batch
from preprocessing.encoding import EncodedTexts

WORDS, MAX_TOKENS = 60, 25
CONFIGS = {
    "svm": LinearConfig("svm"),
    "svm bigrams": LinearConfig("svm", C=0.3, max_ngram=2, minimum_texts=2),
    "logistic regression": LinearConfig("logistic_regression", C=10.0, max_ngram=3),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def make_texts(count: int, seed: int, classes: int = 3) -> EncodedTexts:
    """Texts of which three in four start with a word of their class, so that no classifier is always right."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, 40, count)
    labels = np.arange(count) % classes
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = generator.integers(1, WORDS + 10, offsets[-1])  # some are unknown, some beyond the vocabulary
    token_ids[offsets[:-1]] = np.where(generator.random(count) < 0.75, 2 + labels, token_ids[offsets[:-1]])
    return EncodedTexts(token_ids.astype(np.int32), offsets, labels.astype(np.int32))


def fit(config: LinearConfig, classes: int = 3) -> tuple[LinearClassifier, TrainingResult]:
    sides = make_texts(200, 0, classes), make_texts(90, 1, classes)
    return fit_linear(config, *sides, vocabulary_size=WORDS, max_tokens=MAX_TOKENS, classes=classes, seed=0)


def logits_of(model: LinearClassifier, texts: EncodedTexts) -> torch.Tensor:
    batch = make_batch(texts, np.arange(len(texts)), max_tokens=MAX_TOKENS, vocabulary_size=WORDS)
    return model(batch.token_ids, batch.lengths)


def test_it_takes_one_thread() -> None:
    torch.set_num_threads(2)
    fit(CONFIGS["svm"])
    assert torch.get_num_threads() == 1


@every_config
@pytest.mark.parametrize("classes", [2, 3])
def test_the_predictions_are_those_of_scikit_learn(config: LinearConfig, classes: int) -> None:
    def ngrams(text: list[int]) -> list[tuple[int, ...]]:
        windows = [tuple(text[i : i + n]) for n in range(1, config.max_ngram + 1) for i in range(len(text) - n + 1)]
        return [window for window in windows if all(1 < word < WORDS for word in window)]

    def cut(texts: EncodedTexts) -> list[list[int]]:
        return [list(text[:MAX_TOKENS]) for text in np.split(texts.token_ids, texts.offsets[1:-1])]

    training, validation = make_texts(200, 0, classes), make_texts(90, 1, classes)
    vectorizer = TfidfVectorizer(analyzer=ngrams, sublinear_tf=True, min_df=config.minimum_texts)
    kind = LinearSVC if config.classifier == "svm" else partial(LogisticRegression, solver="liblinear")
    same, stricter = (
        OneVsRestClassifier(kind(C=config.C, dual=True, tol=tolerance, random_state=0)).fit(
            vectorizer.fit_transform(cut(training)), training.labels
        )
        for tolerance in (TOLERANCE, 1e-6)
    )
    decisions = logits_of(fit(config, classes)[0], validation).argmax(dim=1).numpy()
    assert (decisions == same.predict(vectorizer.transform(cut(validation)))).all()
    assert (decisions == stricter.predict(vectorizer.transform(cut(validation)))).mean() > 0.97
    assert (decisions == validation.labels).mean() > 0.6


@every_config
@pytest.mark.parametrize("classes", [2, 3])
def test_no_other_scale_of_the_logits_fits_the_validation_texts_better(config: LinearConfig, classes: int) -> None:
    validation = make_texts(90, 1, classes)
    logits = logits_of(fit(config, classes)[0], validation)
    labels = torch.from_numpy(validation.labels.astype(int))
    losses = [functional.cross_entropy(logits * factor, labels).item() for factor in (0.5, 0.8, 1, 1.25, 2)]
    assert min(losses) == losses[2]
    assert losses[2] < 0.9 * np.log(classes)


def test_the_result_has_the_scores_of_the_evaluation_used_for_networks() -> None:
    model, result = fit(CONFIGS["svm bigrams"])
    predictions, loss = predict(
        model, EvaluationBatches(make_texts(90, 1), MAX_TOKENS, WORDS), device=torch.device("cpu")
    )
    assert result.curve == (result.best,)
    assert result.best.epoch == 0
    assert result.best.validation_loss == pytest.approx(loss)
    assert result.best.accuracy == (predictions == make_texts(90, 1).labels).mean()
    assert 0.6 < result.best.macro_f1 < 1
    assert 0 < result.best.training_loss < result.best.validation_loss
    assert 0 < result.best.seconds < 60


@pytest.fixture(scope="module")
def model() -> LinearClassifier:
    return fit(CONFIGS["svm bigrams"])[0]


@given(st.lists(st.integers(0, 89), min_size=1, max_size=20), st.integers(0, 30))
def test_neither_padding_nor_the_other_texts_of_a_batch_change_a_bit(
    model: LinearClassifier, rows: list[int], padding: int
) -> None:
    texts = make_texts(90, 1)
    batch = make_batch(texts, np.array(rows), max_tokens=MAX_TOKENS, vocabulary_size=WORDS)
    padded = functional.pad(batch.token_ids, (0, padding))
    assert torch.equal(model(padded, batch.lengths), logits_of(model, texts)[rows])


@every_config
def test_the_state_dict_holds_the_whole_classifier(config: LinearConfig) -> None:
    model, result = fit(config)
    state = safetensors.torch.load(safetensors.torch.save(result.best_weights))
    with torch.device("meta"):
        loaded = LinearClassifier(config, vocabulary_size=WORDS, classes=3, features=len(state["tfidf.ngrams"]))
    shapes = {name: (tensor.shape, tensor.dtype) for name, tensor in loaded.state_dict().items()}
    assert shapes == {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    loaded.to_empty(device="cpu").load_state_dict(state)
    assert torch.equal(logits_of(loaded, make_texts(90, 2)), logits_of(model, make_texts(90, 2)))


@every_config
def test_the_same_texts_give_the_same_bits(config: LinearConfig) -> None:
    first, again = (fit(config)[1].best_weights for _ in range(2))
    assert first.keys() == again.keys() == {"weight", "bias", "tfidf.ngrams", "tfidf.idf"}
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_text_of_unknown_words_gets_the_bias() -> None:
    model, _ = fit(CONFIGS["logistic regression"])
    unknown = torch.tensor([[1, 1, 0], [WORDS, 1, WORDS + 1]])
    assert torch.equal(model(unknown, torch.tensor([2, 3])), model.bias.expand(2, 3))


def test_training_texts_without_known_words_still_give_a_classifier() -> None:
    texts = EncodedTexts(np.ones(6, np.int32), np.arange(7), np.array([0, 0, 0, 0, 1, 1], np.int32))
    model, result = fit_linear(LinearConfig(), texts, texts, vocabulary_size=5, max_tokens=9, classes=2, seed=0)
    assert model(torch.tensor([[3, 4]]), torch.tensor([2])).argmax() == 0
    assert result.best.accuracy == 4 / 6


@pytest.mark.parametrize("classifier", ["svm", "logistic_regression"])
def test_a_class_without_a_training_text_is_never_predicted(classifier: Any) -> None:
    training, validation = make_texts(200, 0, classes=2), make_texts(90, 1, classes=4)
    sparse = EncodedTexts(training.token_ids, training.offsets, training.labels * 2)
    model, result = fit_linear(
        LinearConfig(classifier), sparse, validation, vocabulary_size=WORDS, max_tokens=MAX_TOKENS, classes=4, seed=0
    )
    probabilities = logits_of(model, validation).softmax(dim=1)
    assert set(probabilities.argmax(dim=1).tolist()) == {0, 2}
    assert (probabilities[:, [1, 3]] == 0).all()
    assert np.isfinite(result.best.validation_loss)


@pytest.mark.parametrize("classes", [2, 4])
def test_full_balance_is_that_of_scikit_learn(classes: int) -> None:
    training, validation = make_texts(200, 0, classes), make_texts(90, 1, classes)
    rows = np.flatnonzero((training.labels > 0) | (np.arange(200) % 5 == 0))  # the first class is rare
    config, training = LinearConfig(balance=1.0), training.take(rows)
    features = fit_features(config, training, validation, vocabulary_size=WORDS, max_tokens=MAX_TOKENS)
    columns, values, offsets = (tensor.numpy() for tensor in features.training)
    matrix = csr_array((values.astype(float), columns.astype(np.int32), offsets.astype(np.int32)))
    balanced = LinearSVC(class_weight="balanced", dual=True, tol=1e-6, max_iter=10_000).fit(matrix, training.labels)
    plain = LinearSVC(dual=True, tol=1e-6, max_iter=10_000).fit(matrix, training.labels)
    decisions = logits_of(fit_classifier(config, features, classes=classes, seed=0), training).argmax(dim=1).numpy()
    assert (decisions == balanced.predict(matrix)).mean() > 0.97
    assert (decisions == 0).sum() > (plain.predict(matrix) == 0).sum()


def test_training_texts_of_one_class_are_refused() -> None:
    texts = make_texts(20, 0, classes=1)
    with pytest.raises(ValueError, match="at least two classes"):
        fit_classifier(
            LinearConfig(), fit_features(LinearConfig(), texts, texts, vocabulary_size=WORDS), classes=2, seed=0
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"classifier": "bayes"}, "`classifier` must be svm or logistic_regression, got 'bayes'"),
        ({"C": 0.0}, "`0 < C < inf` must hold, got 0.0"),
        ({"C": float("nan")}, "`0 < C < inf` must hold, got nan"),
        ({"max_ngram": 4}, "`1 <= max_ngram <= 3` must hold, got 4"),
        ({"minimum_texts": 0}, "`minimum_texts >= 1` must hold, got 0"),
        ({"balance": 1.5}, "`0 <= balance <= 1` must hold, got 1.5"),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LinearConfig(**wrong)
