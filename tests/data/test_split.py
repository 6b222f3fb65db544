"""No text is in two splits, every class is in all splits that it is large enough for, and a seed fixes the split."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.corpus import TEST, TRAINING, VALIDATION, LabelledTexts
from data.split import classes_only_in_training, split_sides

HELD_OUT = (VALIDATION, TEST)


def corpus_of(rows: list[tuple[str, str]]) -> LabelledTexts:
    labels, texts = zip(*rows, strict=True)
    return LabelledTexts(pa.array(texts, pa.large_string()), pa.array(labels, pa.large_string()))


a_text = st.integers(0, 60).map("text {}".format)
rows_of_few_texts = st.lists(st.tuples(st.sampled_from("abc"), a_text), min_size=1, max_size=200)


@given(rows_of_few_texts, st.integers(0, 10))
def test_no_text_is_in_two_splits_and_every_class_stays_in_training(rows: list[tuple[str, str]], seed: int) -> None:
    corpus = corpus_of(rows)
    sides = split_sides(corpus, held_out=HELD_OUT, seed=seed)
    assert len(sides) == len(rows)
    sides_of_texts: dict[str, set[int]] = {}
    for (_, text), side in zip(rows, sides, strict=True):
        sides_of_texts.setdefault(text, set()).add(int(side))
    assert all(len(found) == 1 for found in sides_of_texts.values())

    first_labels = {text: label for label, text in reversed(rows)}
    some_text_has_two_labels = len(set(rows)) > len(first_labels)
    side_counts = Counter((label, *sides_of_texts[text]) for text, label in first_labels.items())
    for label in set(first_labels.values()):
        size = sum(other == label for other in first_labels.values())
        held_out = {side_counts[label, VALIDATION], side_counts[label, TEST]}
        tenth = max(1, round(size / 10)) if size >= 3 else 0
        assert max(held_out) <= tenth
        assert min(held_out) >= (0 if some_text_has_two_labels else tenth)
        assert side_counts[label, TRAINING] >= 1
    assert {label for (label, _), side in zip(rows, sides, strict=True) if side == TRAINING} == {row[0] for row in rows}


def test_a_tenth_of_every_class_goes_to_validation_and_a_tenth_to_test() -> None:
    corpus = corpus_of(
        [(label, f"{label} {number}") for label in "ab" for number in range(500 if label == "a" else 70)]
    )
    sides = split_sides(corpus, held_out=HELD_OUT, seed=0)
    labels = np.array(corpus.labels.to_pylist())
    assert Counter(sides[labels == "a"].tolist()) == {TRAINING: 400, VALIDATION: 50, TEST: 50}
    assert Counter(sides[labels == "b"].tolist()) == {TRAINING: 56, VALIDATION: 7, TEST: 7}


@pytest.mark.parametrize("size", [1, 2])
def test_a_class_too_small_to_be_split_stays_in_training_and_is_named(size: int) -> None:
    corpus = corpus_of([("large", f"text {n}") for n in range(40)] + [("tiny", f"tiny {n}") for n in range(size)])
    sides = split_sides(corpus, held_out=HELD_OUT, seed=0)
    assert set(sides[40:].tolist()) == {TRAINING}
    assert classes_only_in_training(corpus, sides) == ["tiny"]


@given(rows_of_few_texts, st.integers(0, 10))
def test_undivided_classes_stay_in_training_and_the_other_splits_do_not_change(
    rows: list[tuple[str, str]], seed: int
) -> None:
    corpus = corpus_of(rows)
    usual = split_sides(corpus, held_out=(VALIDATION,), seed=seed)
    sides = split_sides(corpus, held_out=(VALIDATION,), seed=seed, undivided=["a", "not there"])
    first_labels = {text: label for label, text in reversed(rows)}
    expected = [TRAINING if first_labels[text] == "a" else side for (_, text), side in zip(rows, usual, strict=True)]
    labels = np.array([label for label, _ in rows])
    assume(all(label in labels[np.array(expected) == TRAINING] for label in labels))
    in_training = {label for label, side in zip(labels, usual, strict=True) if side == TRAINING}
    assert in_training == set(labels)
    assert set(sides[labels == "a"].tolist()) <= {TRAINING, VALIDATION}
    assert all(side == TRAINING for (_, text), side in zip(rows, sides, strict=True) if first_labels[text] == "a")


def test_texts_that_differ_only_in_case_or_whitespace_are_in_the_same_split() -> None:
    rows = [(str(n % 2), f"Text  number {n}") for n in range(100)] + [
        (str(n % 2), f" text number {n} ") for n in range(100)
    ]
    sides = split_sides(corpus_of(rows), held_out=HELD_OUT, seed=0)
    assert (sides[:100] == sides[100:]).all()
    assert len(set(sides.tolist())) == 3


def test_a_label_whose_only_text_has_another_label_keeps_a_row_in_training() -> None:
    rows = [("ac"[n % 2], f"text {n}") for n in range(60)] + [("b", "text 0")]
    for seed in range(40):
        sides = split_sides(corpus_of(rows), held_out=HELD_OUT, seed=seed)
        assert sides[60] == sides[0] == TRAINING


def test_the_seed_decides_the_split() -> None:
    corpus = corpus_of([(str(n % 4), f"text {n}") for n in range(400)])
    first, again, other = (split_sides(corpus, held_out=HELD_OUT, seed=seed) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_the_split_of_a_seed_is_the_same_on_every_machine_and_in_every_version() -> None:
    """If these splits change, every study changes: then increment `SPLIT_VERSION`."""
    corpus = corpus_of([("ab"[n % 3 == 0], f"text {n}") for n in range(60)])
    found = ["".join(map(str, split_sides(corpus, held_out=HELD_OUT, seed=seed))) for seed in (0, (0, 1))]
    assert found == [
        "002020001020000010001000000100000010000000100000000220000200",
        "100201000220000000000120000000000001000000000001001020000002",
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abc"), a_text, st.sampled_from([None, *"12345678"])), min_size=1, max_size=200),
    st.integers(0, 10),
)
def test_neither_a_group_nor_a_text_is_on_two_sides(rows: list[tuple[str, str, str | None]], seed: int) -> None:
    groups = pa.array([group for *_, group in rows], pa.large_string())
    corpus = replace(corpus_of([(label, text) for label, text, _ in rows]), groups=groups)
    sides = split_sides(corpus, held_out=HELD_OUT, seed=seed)
    for values in (corpus.texts.to_pylist(), groups.to_pylist()):
        found: dict[str, set[int]] = {}
        for value, side in zip(values, sides, strict=True):
            found.setdefault(value, set()).add(int(side)) if value else None
        assert all(len(seen) == 1 for seen in found.values())


@pytest.mark.parametrize(("sizes", "largest_share"), [([1] * 100, 0.1), ([5] * 20, 0.1), ([1, 1, 100], 0.01)])
def test_each_held_out_side_gets_groups_of_about_a_tenth(sizes: list[int], largest_share: float) -> None:
    rows = [("a", f"text {group} {number}") for group, size in enumerate(sizes) for number in range(size)]
    groups = pa.array([str(group) for group, size in enumerate(sizes) for _ in range(size)], pa.large_string())
    corpus = replace(corpus_of(rows), groups=groups)
    for seed in range(5):
        counts = np.bincount(split_sides(corpus, held_out=HELD_OUT, seed=seed), minlength=3)
        assert counts[VALIDATION] > 0
        assert counts[TEST] > 0
        assert counts[1:].max() <= np.ceil(largest_share * len(rows)) + 2


def test_rows_without_a_group_are_split_by_their_text() -> None:
    corpus = corpus_of([("ab"[number % 2], f"text {number}") for number in range(100)])
    without = replace(corpus, groups=pa.nulls(100, pa.large_string()))
    expected = split_sides(corpus, held_out=HELD_OUT, seed=1)
    assert np.array_equal(split_sides(without, held_out=HELD_OUT, seed=1), expected)
