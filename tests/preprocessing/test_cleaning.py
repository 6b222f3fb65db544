"""The cleaning rule, compared with Python's own notion of letters and digits."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.cleaning import clean, tokenize

# Characters that both Unicode tables know, whatever their versions.
texts = st.lists(st.text(st.characters(max_codepoint=0x24F)), max_size=20)


def words_of(*raw: str) -> list[list[str]]:
    words: list[list[str]] = tokenize(clean(pa.array(raw, pa.large_string()))).to_pylist()
    return words


@given(texts)
def test_words_consist_of_what_python_calls_letters_and_digits(raw: list[str]) -> None:
    def reference(text: str) -> list[str]:
        lowered = "".join(character.lower()[0] for character in unicodedata.normalize("NFKC", text))
        kept = "".join(c if unicodedata.category(c)[0] in "LN" else " " for c in lowered)
        return kept.split() or [""]

    assert words_of(*raw) == [reference(text) for text in raw]


@given(texts)
def test_cleaning_twice_changes_nothing(raw: list[str]) -> None:
    once = clean(pa.array(raw, pa.large_string()))
    assert clean(once).equals(once)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("Surgeon, since 1998 (M.D.)", ["surgeon", "since", "1998", "m", "d"]),
        ("\ufb01ne \uff21\uff22\uff23\u00a0x²", ["fine", "abc", "x2"]),  # a ligature, full width, a no-break space
        ("ÉCOLE straße Москва 東京", ["école", "straße", "москва", "東京"]),
        ("line\none\ttwo", ["line", "one", "two"]),
        ("!!!", [""]),
        ("", [""]),
    ],
)
def test_examples_are_split_into_the_expected_words(raw: str, words: list[str]) -> None:
    assert words_of(raw) == [words]
