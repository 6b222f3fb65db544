"""Texts that are nearly the same are found among many, and others are not taken for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.duplicates import NEARLY_THE_SAME, duplicate_groups
from preprocessing.encoding import EncodedTexts


def encoded(texts: list[list[int]]) -> EncodedTexts:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
    ids = np.array([token for text in texts for token in text], np.int32)
    return EncodedTexts(ids, offsets, np.zeros(len(texts), np.int32))


def grouped(texts: list[list[int]]) -> list[int]:
    """The first text of the group of each text."""
    groups = duplicate_groups(encoded(texts))[1].tolist()
    return [groups.index(group) for group in groups]


def test_texts_with_a_word_changed_are_found_among_others() -> None:
    generator = np.random.default_rng(0)
    texts = generator.integers(2, 5_000, (2_000, 60)).tolist()
    changed = [text.copy() for text in texts[:100]]
    for text in changed:
        text[int(generator.integers(60))] = 1
    expected = [*range(2_000), *range(100)]
    found = grouped([*texts, *changed])
    assert found[:2_000] == expected[:2_000]
    assert sum(one == other for one, other in zip(found[2_000:], expected[2_000:], strict=True)) >= 99


@pytest.mark.parametrize(
    ("texts", "expected"), [([[5]], [0]), ([[5], [6], [5]], [0, 1, 0]), ([[1, 2], [2, 1]], [0, 1])]
)
def test_short_texts_and_the_order_of_words_count(texts: list[list[int]], expected: list[int]) -> None:
    assert grouped(texts) == expected


def test_texts_with_the_same_words_are_told_from_those_that_are_nearly_the_same() -> None:
    text = list(range(2, 62))
    same, nearly = duplicate_groups(encoded([text, [*text[:-1], 91], text, [91]]))
    assert [same.tolist().index(group) for group in same] == [0, 1, 0, 3]
    assert [nearly.tolist().index(group) for group in nearly] == [0, 0, 0, 3]


def test_texts_that_share_less_are_never_taken_for_nearly_the_same() -> None:
    generator = np.random.default_rng(0)
    text = generator.integers(2, 5_000, 80).tolist()
    others = [[*text[:65], *generator.integers(5_000, 9_000, 15).tolist()] for _ in range(300)]  # of the pairs 0.68
    assert len(set(grouped(others))) == len(others)


def test_a_text_links_others_that_are_less_alike() -> None:
    text = list(range(2, 62))
    steps = [text, [*text[:-4], 91, 92, 93, 94], [97, 98, 99, 96, *text[4:-4], 91, 92, 93, 94]]
    assert grouped(steps) == [0, 0, 0]


@given(st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=6), min_size=1, max_size=40))
def test_equal_texts_are_in_one_group_and_texts_without_a_common_pair_in_none(texts: list[list[int]]) -> None:
    found = grouped(texts)
    for number, text in enumerate(texts):
        assert found[number] == found[texts.index(text)]
    sets = [set(zip(text, [*text[1:], 0], strict=True)) for text in texts]
    for number, first in enumerate(found):
        links = [other for other in range(len(texts)) if found[other] == first and other != number]
        alike = [len(sets[number] & sets[other]) / len(sets[number] | sets[other]) for other in links]
        assert not alike or max(alike) >= NEARLY_THE_SAME
