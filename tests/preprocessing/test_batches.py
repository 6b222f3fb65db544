"""Batches hold every text once, truncated and padded as configured, and depend only on the seed and the epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.batches import (
    BATCH_TOKENS,
    EVALUATION_BATCH_SIZE,
    EVALUATION_BATCH_TOKENS,
    EvaluationBatches,
    TextLimits,
    TrainingBatches,
    Truncation,
    limited_training_texts,
    make_batch,
    rows_of_epoch,
    texts_per_batch,
    truncated,
)
from preprocessing.encoding import EncodedTexts
from preprocessing.vocabulary import PAD_ID, UNKNOWN_ID


def encoded(lengths: list[int]) -> EncodedTexts:
    """Text `i` has the class `i` and ids from 1 up."""
    ids = [np.arange(1, length + 1) for length in lengths]
    return EncodedTexts(
        np.concatenate(ids).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.arange(len(lengths), dtype=np.int32),
    )


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 25), st.integers(2, 40)
)
def test_every_text_comes_once_cut_and_padded(lengths: list[int], batch_size: int, max_tokens: int, words: int) -> None:
    texts = encoded(lengths)
    training = TrainingBatches(texts, batch_size, max_tokens, words, seed=0)
    for batches in (list(training.epoch(0)), list(EvaluationBatches(texts, max_tokens, words))):
        assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(lengths)))
        for batch in batches:
            assert batch.token_ids.shape[1] == batch.lengths.max()
            for ids, length, label, row in zip(batch.token_ids, batch.lengths, batch.labels, batch.rows, strict=True):
                expected = np.arange(1, min(lengths[row], max_tokens) + 1)
                assert ids[:length].tolist() == np.where(expected < words, expected, UNKNOWN_ID).tolist()
                assert (ids[length:] == PAD_ID).all()
                assert label == row
    assert len(list(training.epoch(0))) == len(training)


@given(st.integers(1, 300), st.integers(1, 2_000), st.integers(0, 9))
def test_long_texts_are_evaluated_in_smaller_batches(texts: int, max_tokens: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 2_000, texts).tolist()
    batches = list(EvaluationBatches(encoded(lengths), max_tokens, 3_000))
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch.rows) <= EVALUATION_BATCH_SIZE
        assert batch.token_ids.numel() <= EVALUATION_BATCH_TOKENS


def test_texts_of_similar_length_share_a_batch() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 1000)
    padded = sum(batch.token_ids.numel() for batch in TrainingBatches(encoded(list(lengths)), 32, 200, 300, 0).epoch(0))
    assert padded < 1.2 * lengths.sum()


@pytest.mark.parametrize(
    ("texts", "length", "usual"),
    [
        (10_000, 100, 27),
        (10_000, 1_000, 14),  # cut to 200 tokens
        (41_000, 10, 270),
        (10_000, 10, 66),  # or an epoch would have 38 steps
        (1_000, 10, 32),  # as it was, though an epoch has few steps
        (10, 100, 27),
        (2_000_000, 1, 2_700),
        (100, 0, 32),  # nothing but empty texts
    ],
)
def test_a_batch_holds_so_many_texts_that_their_tokens_are_as_asked(texts: int, length: int, usual: int) -> None:
    same = EncodedTexts(np.zeros(0, np.int32), np.arange(texts + 1) * length, np.zeros(texts, np.int32))
    assert texts_per_batch(same, 200, BATCH_TOKENS) == usual
    assert texts_per_batch(same, 200, 2 * BATCH_TOKENS) == pytest.approx(2 * usual, abs=1)  # never the same training
    assert texts_per_batch(same, 200, BATCH_TOKENS // 2) == pytest.approx(usual / 2, abs=1)


def test_a_batch_has_at_least_one_text() -> None:
    assert texts_per_batch(encoded([20] * 5), 200, 3) == 1


def test_epochs_differ_and_each_can_be_reproduced() -> None:
    batches = TrainingBatches(encoded([5] * 50), 8, 10, 10, seed=1)
    orders = [[batch.rows.tolist() for batch in batches.epoch(number)] for number in (0, 1, 1)]
    assert orders[0] != orders[1]
    assert orders[1] == orders[2]


@given(st.integers(1, 40), st.integers(1, 50), st.integers(1, 7))
def test_epochs_of_a_part_of_the_texts_come_to_each_text_equally_often(texts: int, part: int, batch_size: int) -> None:
    batches = TrainingBatches(encoded([3] * texts), batch_size, 10, 10, seed=1, epoch_texts=part)
    seen = np.zeros(texts, int)
    for number in range(6):
        rows = np.concatenate([batch.rows for batch in batches.epoch(number)])
        assert len(rows) == min(part, texts)
        assert len(list(batches.epoch(number))) == len(batches)
        np.add.at(seen, rows, 1)
        assert seen.max() - seen.min() <= 1


def test_each_turn_through_the_texts_has_an_order_of_its_own() -> None:
    first, second, third = (rows_of_epoch(50, number, 25, seed=1).tolist() for number in range(3))
    assert sorted(first + second) == list(range(50))
    assert third != first


def test_a_batch_has_no_more_texts_than_leave_enough_steps_to_a_part_of_the_texts() -> None:
    same = EncodedTexts(np.zeros(0, np.int32), np.arange(100_001) * 10, np.zeros(100_000, np.int32))
    assert texts_per_batch(same, 200, BATCH_TOKENS) == 270
    assert texts_per_batch(same, 200, BATCH_TOKENS, 15_000) == 100


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="`max_tokens >= 1` must hold, got 0"):
        TextLimits(max_tokens=0)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(1, 70))
def test_a_part_of_the_training_texts_keeps_the_class_proportions(labels: list[int], most: int) -> None:
    lengths = np.arange(len(labels)) % 4 + 1
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    classes = np.unique(labels, return_inverse=True)[1].astype(np.int32)
    texts = EncodedTexts(np.repeat(np.arange(len(labels), dtype=np.int32), lengths), offsets, classes)
    part = limited_training_texts(texts, TextLimits(max_training_texts=most))
    assert len(part) == min(most, len(labels))
    rows = part.token_ids[part.offsets[:-1]]  # the ids of a text are its number
    assert part.token_ids.tolist() == np.repeat(rows, lengths[rows]).tolist()
    assert part.labels.tolist() == classes[rows].tolist()
    sizes, kept = np.bincount(classes), np.bincount(part.labels, minlength=classes.max() + 1)
    assert most < len(sizes) or (kept > 0).all()
    expected = sizes * len(part) / len(labels)
    assert (np.abs(kept - expected) <= len(sizes)).all()


@pytest.mark.parametrize(
    ("truncate", "kept"),
    [("head", [1, 2, 3, 4, 5, 6, 7]), ("tail", [3, 4, 5, 6, 7]), ("both", [1, 2, 3, 6, 7])],
)
def test_longer_texts_lose_their_end_their_start_or_their_middle(truncate: Truncation, kept: list[int]) -> None:
    texts = EncodedTexts(np.arange(1, 10, dtype=np.int32), np.array([0, 7, 9]), np.array([0, 1], np.int32))
    found = truncated(texts, 5, truncate)
    first, second = np.split(found.token_ids, found.offsets[1:-1])
    assert (first.tolist(), second.tolist()) == (kept, [8, 9])
    batch = make_batch(found, np.array([0]), max_tokens=5, vocabulary_size=10)
    assert batch.token_ids.tolist() == [kept[:5]]
    assert truncated(texts, 7, truncate) is texts


def test_what_is_kept_of_a_text_must_be_known() -> None:
    with pytest.raises(ValueError, match="`truncate` must be head, tail or both, got 'middle'"):
        TextLimits(truncate="middle")  # type: ignore[arg-type]
