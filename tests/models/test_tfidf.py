"""The features are those of scikit-learn for any texts, and the row of a text depends on that text only."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from models.tfidf import SparseRows, Tfidf, fit_tfidf, flat_tokens
from preprocessing.encoding import EncodedTexts

WORDS = 7  # of the ids in `texts`, 0 is padding, 1 is `<unk>`, 7 and 8 are beyond the vocabulary
texts = st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=12), min_size=1, max_size=6)


def encoded(token_ids: list[list[int]]) -> EncodedTexts:
    offsets = np.cumsum([0, *map(len, token_ids)])
    return EncodedTexts(np.concatenate(token_ids).astype(np.int32), offsets, np.zeros(len(token_ids), np.int32))


def known_ngrams(text: list[int], max_ngram: int) -> list[tuple[int, ...]]:
    """The n-grams of known words only: "a <unk> b" has neither (a, <unk>) nor (a, b)."""
    windows = [tuple(text[i : i + n]) for n in range(1, max_ngram + 1) for i in range(len(text) - n + 1)]
    return [window for window in windows if all(2 <= word < WORDS for word in window)]


def dense(rows: SparseRows, features: int) -> np.ndarray:
    matrix = np.zeros((len(rows.offsets) - 1, features))
    for row, (start, end) in enumerate(pairwise(rows.offsets.tolist())):
        columns = rows.columns[start:end]
        assert (columns.diff() > 0).all()
        matrix[row, columns] = rows.values[start:end]
    return matrix


@given(texts, texts, st.integers(1, 3), st.integers(1, 2))
def test_the_features_are_those_of_scikit_learn(
    training: list[list[int]], others: list[list[int]], max_ngram: int, minimum_texts: int
) -> None:
    tfidf = fit_tfidf(
        *flat_tokens(encoded(training)), max_ngram=max_ngram, vocabulary_size=WORDS, minimum_texts=minimum_texts
    )
    vectorizer = TfidfVectorizer(
        analyzer=lambda text: known_ngrams(text, max_ngram), sublinear_tf=True, min_df=minimum_texts
    )
    try:
        vectorizer.fit(training)
    except ValueError:  # scikit-learn refuses texts without any n-gram
        assert tfidf.ngrams.tolist() == [0]
        assert len(tfidf(*flat_tokens(encoded(training))).columns) == 0
        return
    ngrams = sorted(vectorizer.vocabulary_, key=lambda ngram: (len(ngram), ngram))
    order = [vectorizer.vocabulary_[ngram] for ngram in ngrams]
    assert len(tfidf.ngrams) == len(ngrams)
    for some in (training, others):
        found = dense(tfidf(*flat_tokens(encoded(some))), len(ngrams))
        np.testing.assert_allclose(found, vectorizer.transform(some).toarray()[:, order], atol=1e-6)


@given(texts, st.integers(1, 13))
def test_longer_texts_are_cut_off(token_ids: list[list[int]], max_tokens: int) -> None:
    expected = flat_tokens(encoded([text[:max_tokens] for text in token_ids]))
    for found, wanted in zip(flat_tokens(encoded(token_ids), max_tokens), expected, strict=True):
        assert torch.equal(found, wanted)


def test_the_longest_ngrams_of_the_largest_vocabulary_are_told_apart() -> None:
    words = 2**21
    token_ids = [[words - 1] * 3, [words - 1, words - 1, words - 2], [words - 2, words - 1, words - 1], [2, 2, 2]]
    tfidf = fit_tfidf(*flat_tokens(encoded(token_ids)), max_ngram=3, vocabulary_size=words)
    assert len(set(tfidf.ngrams.tolist())) == 3 + 4 + 4
    assert int(tfidf.ngrams.max()) == 2**63 - 1
    with pytest.raises(
        ValueError, match=r"`vocabulary_size \*\* max_ngram <= 2 \*\* 63` must hold, got vocabulary_size=2097153"
    ):
        Tfidf(max_ngram=3, vocabulary_size=words + 1)
