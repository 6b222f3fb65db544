"""Ids compared with a plain Python counter, and the encoding of texts without a known word."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import preprocessing.encoding
from preprocessing.encoding import encode, learn_and_encode
from preprocessing.vocabulary import UNKNOWN_ID, kept_words

some_texts = st.lists(st.text("abc .", max_size=20), min_size=1, max_size=30)


def column(texts: list[str]) -> pa.Array:
    return pa.array(texts, pa.large_string())


@given(some_texts)
def test_ids_are_ranked_by_frequency_then_alphabet(texts: list[str]) -> None:
    vocabulary, token_ids, offsets = learn_and_encode(column(texts))
    split = [text.replace(".", " ").split() for text in texts]
    counts = Counter(word for words in split for word in words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    assert vocabulary.words.to_pylist() == ["<pad>", "<unk>", *ranked]
    assert vocabulary.counts.tolist() == [0, 0, *(counts[word] for word in ranked)]
    ids = {word: number for number, word in enumerate(ranked, start=2)}
    expected = [[ids[word] for word in words] or [UNKNOWN_ID] for words in split]
    assert [token_ids[start:stop].tolist() for start, stop in pairwise(offsets)] == expected


@given(some_texts)
def test_a_text_is_encoded_the_same_alone_and_among_others(texts: list[str]) -> None:
    vocabulary, token_ids, offsets = learn_and_encode(column(texts))
    for number, text in enumerate(texts):
        alone, _ = encode(column([text]), vocabulary)
        assert alone.tolist() == token_ids[offsets[number] : offsets[number + 1]].tolist()


def test_large_corpora_are_encoded_piece_by_piece_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = column([f"word{number % 7} and {'more ' * (number % 5)}" for number in range(500)])
    vocabulary, token_ids, offsets = learn_and_encode(texts)
    monkeypatch.setattr(preprocessing.encoding, "BYTES_PER_PIECE", 300)
    vocabulary_by_pieces, ids_by_pieces, offsets_by_pieces = learn_and_encode(texts)
    assert vocabulary_by_pieces.words.equals(vocabulary.words)
    assert np.array_equal(ids_by_pieces, token_ids)
    assert np.array_equal(offsets_by_pieces, offsets)


def test_words_that_training_has_not_seen_are_unknown() -> None:
    vocabulary, _, _ = learn_and_encode(column(["seen before"]))
    token_ids, offsets = encode(column(["never seen", "???"]), vocabulary)
    assert token_ids.tolist() == [UNKNOWN_ID, vocabulary.words.to_pylist().index("seen"), UNKNOWN_ID]
    assert offsets.tolist() == [0, 2, 3]


def test_size_and_frequency_limit_the_vocabulary() -> None:
    counts = np.array([0, 0, 9, 5, 5, 2, 1, 1])
    assert kept_words(counts, vocabulary_size=100, min_frequency=1) == 8
    assert kept_words(counts, vocabulary_size=100, min_frequency=2) == 6
    assert kept_words(counts, vocabulary_size=4, min_frequency=2) == 4
