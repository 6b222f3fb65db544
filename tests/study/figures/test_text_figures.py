"""The figures of the texts hold the counts that they should."""

import pyarrow as pa
import pytest

from data.corpus import LabelledTexts
from data.texts import SearchTexts
from study.figures.notebook import BARS, class_distribution, text_lengths


def labelled(labels: list[str]) -> LabelledTexts:
    return LabelledTexts(pa.array(labels, pa.large_string()), pa.array(labels, pa.large_string()))


def test_the_largest_class_is_on_top_and_no_class_is_left_out() -> None:
    texts = SearchTexts(labelled(["2", "1", "1", "3", "3", "3"]), labelled(["1", "3", "3"]), 0, ())
    validation, training = class_distribution(texts).data
    assert training.y == validation.y == ("2", "1", "3")  # from bottom to top
    assert training.x == (1, 2, 3)
    assert validation.x == (0, 1, 2)


def test_every_text_is_in_the_bar_of_its_length_and_the_longest_are_in_the_last() -> None:
    lengths = [3] * 150 + [BARS * 2 - 1, BARS * 2, BARS * 50]
    texts = pa.array(["word " * length for length in lengths], pa.large_string())
    bars, _ = text_lengths(texts, max_tokens=200).data
    assert sum(bars.y) == len(lengths)
    filled = {bars.text[bar]: count for bar, count in enumerate(bars.y) if count}
    assert filled == {"2 to 3": 150, f"{BARS * 2 - 2} to {BARS * 2 - 1}": 1, f"{BARS * 2} or more": 2}


@pytest.mark.parametrize(("max_tokens", "share"), [(3, "25.0%"), (4, "0.0%")])
def test_the_figure_says_how_many_texts_are_truncated(max_tokens: int, share: str) -> None:
    texts = pa.array(["a", "A.", "a-b-c", "a b c d"], pa.large_string())
    assert f"{share} of the texts are longer" in text_lengths(texts, max_tokens=max_tokens).data[1].name
