"""The cleaning rule, compared with a slow one that goes through a text character by character."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preprocessing.cleaning import SYMBOLS, clean, tokenize

# Mostly characters of interest, whose categories are the same in all versions of Unicode.
SCRIPTS = "aZé ß.-_'0³ +#!€ \u0301\u093f\u0928\u0926 \u0e14\u0e35\u0e38 日本かナー"
SCRIPTS += "\u200b\ufeff\u00ad\ufe0f \U0001f600❤ \U00020000\n\t"
texts = st.lists(st.text(st.one_of(st.sampled_from(SCRIPTS), st.characters(max_codepoint=0x24F))), max_size=20)


def words_of(*raw: str) -> list[list[str]]:
    words: list[list[str]] = tokenize(clean(pa.array(raw, pa.large_string()))).to_pylist()
    return words


def is_written_without_blanks(character: str) -> bool:
    name = unicodedata.name(character, "")
    return name.startswith(("CJK UNIFIED", "HIRAGANA LETTER", "KATAKANA LETTER", "THAI CHARACTER"))


def reference(text: str) -> list[str]:
    """The words of a text, by the first letter of each character's category."""
    lowered = "".join(character.lower()[0] for character in unicodedata.normalize("NFKC", text))
    words, open_kind = [""], " "
    for character in lowered:
        kind = unicodedata.category(character)[0]
        if unicodedata.category(character) == "Cf" or character == "\ufe0f":
            continue
        if kind == "M":
            words[-1] += character if open_kind != " " else ""
            continue
        if character.isascii() and character.encode() in SYMBOLS:
            kind = "symbols"
        elif kind == "S" or is_written_without_blanks(character):
            kind = "alone"
        elif kind in "LN":
            kind = "L"
        else:
            kind = " "
        if kind != open_kind or kind == "alone":
            words.append("")
        words[-1] += "" if kind == " " else character
        open_kind = kind
    return [word for word in words if word] or [""]


@given(texts)
@example(["+\u200b+", "!\u0301\u0301", "\U0001f600", "\u0301abc", "a\u00b4s", "\u65e5\u0301\u0301x"])
def test_words_are_those_of_a_slow_rule(raw: list[str]) -> None:
    assert words_of(*raw) == [reference(text) for text in raw]


@given(texts)
def test_a_part_of_a_column_is_cleaned_like_the_whole(raw: list[str]) -> None:
    column = pa.array(["before", *raw, "after"], pa.large_string())
    assert tokenize(clean(column.slice(1, len(raw)))).to_pylist() == words_of(*raw)


@given(texts)
def test_cleaning_twice_changes_no_word(raw: list[str]) -> None:
    once = clean(pa.array(raw, pa.large_string()))
    assert tokenize(clean(once)).equals(tokenize(once))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("Surgeon, since 1998 (M.D.)", "surgeon since 1998 m d"),
        ("\ufb01ne \uff21\uff22\uff23\u00a0x²", "fine abc x2"),  # a ligature, full width, a no-break space
        ("ÉCOLE straße Москва", "école straße москва"),
        ("line\none\ttwo", "line one two"),
        ("c++ c# 3.5 don't", "c ++ c # 3 5 don t"),
        ("#topic @name 50% now!!!", "# topic @ name 50 % now !!!"),
        ("<pad> <unk>", "< pad > < unk >"),  # never the special words
        ("\u0926\u093f\u0928 \u0926\u0941\u0928", "\u0926\u093f\u0928 \u0926\u0941\u0928"),  # Hindi: signs of vowels
        ("\u0e14\u0e35\u0e14\u0e38", "\u0e14\u0e35 \u0e14\u0e38"),  # Thai: a letter with its sign
        ("足球比赛2024年", "足 球 比 赛 2024 年"),
        ("カラーで", "カ ラ ー で"),
        ("한국어 문장", "한국어 문장"),
        ("good\U0001f600\U0001f600 \u2764\ufe0f", "good \U0001f600 \U0001f600 \u2764"),
        ("co\u00adoperate zero\u200bwidth", "cooperate zerowidth"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"),  # Persian
        ("\ufffd broken", "broken"),
        ("geht\u00b4s", "geht s"),  # an accent that stands alone
        ("\u845b\U000e0100\u57ce", "\u845b \u57ce"),  # a variant of a Han character
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),  # the flag of England, in short
        (
            "\u0e9a\u0eb2\u0e87 \u1780\u17b6\u179a \u1019\u103c\u1014",
            "\u0e9a \u0eb2 \u0e87 \u1780\u17b6 \u179a \u1019\u103c \u1014",
        ),
        ("...", ""),
        ("", ""),
    ],
)
def test_examples_are_split_into_the_expected_words(raw: str, words: str) -> None:
    assert words_of(raw) == [words.split(" ")]
