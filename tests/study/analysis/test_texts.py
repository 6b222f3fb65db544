"""What is told about texts: their classes, lengths, duplicates and scripts, and what should be warned about."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from data.source import Split, find_source
from preprocessing.batches import TextLimits
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.analysis.linear_look import Mistake, linear_look
from study.analysis.texts import ClassCounts, Duplicates, text_facts, truncated_texts, warnings_about
from study.reports.texts import text_tables

WriteCsv = Callable[[list[tuple[str, str]]], Path]
SENTENCE = "the committee met in the old town hall and spoke about the new road for two hours until late at night"


def prepare(path: Path) -> PreparedTexts:
    return prepare_for_search(Split(find_source(str(path))[0]), cache_dir=path.parent)


def rows_of(**sizes: int) -> list[tuple[str, str]]:
    return [(name, f"{name} word{number} and {name}{number}") for name, size in sizes.items() for number in range(size)]


def test_classes_are_counted_on_each_side_with_the_largest_first(write_csv: WriteCsv) -> None:
    prepared = prepare(write_csv(rows_of(small=20, large=100, single=1)))
    assert text_facts(prepared, TextLimits()).classes == (
        ClassCounts("large", 80, 10, 10),
        ClassCounts("small", 16, 2, 2),
        ClassCounts("single", 1, 0, 0),
    )


def test_the_cut_of_long_texts_is_told_in_texts_and_in_words(write_csv: WriteCsv) -> None:
    prepared = prepare(write_csv([("ab"[number % 2], f"word{number} " * (1 + number % 2 * 9)) for number in range(40)]))
    truncated = truncated_texts(prepared.training, 5)
    assert (truncated.texts, truncated.of) == (16, 32)
    assert truncated.lost_words == pytest.approx(16 * 5 / (16 * 10 + 16))
    (warning,) = [text for text in warnings_about(prepared, truncated) if "longer" in text]
    assert warning == (
        "16 of 32 training texts are longer than 5 words and are cut, which loses 45% of all words "
        "(--max-tokens, --truncate)."
    )
    assert not any("longer" in text for text in warnings_about(prepared, None))
    assert not any("longer" in text for text in warnings_about(prepared, truncated_texts(prepared.training, 10)))


def test_rare_classes_are_warned_about(write_csv: WriteCsv) -> None:
    prepared = prepare(write_csv(rows_of(a=100, b=100, c=20, d=1)))
    assert "2 of 4 classes have at most 2 texts in validation" in warnings_about(prepared, None)[0]
    assert warnings_about(prepare(write_csv(rows_of(a=100, b=100))), None) == []


def test_texts_that_are_nearly_the_same_on_two_sides_are_warned_about(write_csv: WriteCsv) -> None:
    rows = [("ab"[number % 2], f"{SENTENCE} {number}") for number in range(60)]
    prepared = prepare(write_csv(rows))
    duplicates = text_facts(prepared, TextLimits()).duplicates
    assert duplicates == Duplicates(0, len(prepared.training) - 1, len(prepared.validation))
    assert "6 of 6 validation texts are nearly the same as a training text" in warnings_about(prepared, None)[0]


def test_scripts_have_their_shares_of_the_words(write_csv: WriteCsv) -> None:
    texts = ["слово и дело", "word and deed", "日本", "\U0001f600 12 +"]
    pairs = [f"{texts[number % 4]} {texts[(number + 1) % 4]}{' x' * (number + 1)}" for number in range(40)]
    prepared = prepare(write_csv([("ab"[number % 2], pair) for number, pair in enumerate(pairs)]))
    shares = dict(text_facts(prepared, TextLimits()).scripts)
    assert set(shares) == {"Latin", "Cyrillic", "Chinese or Japanese", "digits", "symbols"}
    assert sum(shares.values()) == pytest.approx(1, abs=0.01)


def test_known_words_are_those_that_the_limits_keep(write_csv: WriteCsv) -> None:
    prepared = prepare(write_csv([("ab"[number % 2], f"common words {number}") for number in range(60)]))
    assert text_facts(prepared, TextLimits()).known_words == pytest.approx(2 / 3)
    assert text_facts(prepared, TextLimits(vocabulary_size=3)).known_words == pytest.approx(1 / 3)


def test_a_linear_model_tells_its_mistakes_and_its_words(write_csv: WriteCsv) -> None:
    rows = [("court", f"judge attorney {n}") for n in range(60)] + [("art", f"canvas colour {n}") for n in range(60)]
    rows += [("law", f"judge attorney {n + 60}") for n in range(20)]  # which nothing tells from court
    look = linear_look(prepare(write_csv(rows)))
    assert look.training_texts == 112
    assert set(look.words["art"]) == {"canvas", "colour"}  # none that speaks against it
    (mistake,) = look.mistakes
    assert {mistake.actual, mistake.predicted} == {"law", "court"}
    assert mistake == Mistake(mistake.actual, mistake.predicted, {"law": 2, "court": 6}[mistake.actual], 1.0)
    assert look.accuracy == pytest.approx(1 - mistake.texts / 14)


def test_nothing_is_told_of_limits_that_a_model_has_not(write_csv: WriteCsv) -> None:
    facts = text_facts(prepare(write_csv(rows_of(a=30, b=30))), None)
    assert (facts.truncated, facts.known_words) == (None, None)
    labels = [row[0] for row in text_tables(facts)[0].rows]
    assert not [label for label in labels if "cut off" in label or "known" in label]
    limited = text_tables(text_facts(prepare(write_csv(rows_of(a=30, b=30))), TextLimits()))[0].rows
    assert len(limited) == len(labels) + 3


@pytest.mark.parametrize(
    ("signal", "filler"),
    [
        (
            ("\u0926\u093f\u0928", "\u0926\u0941\u0928"),
            ["\u0915\u0932 ", "\u0918\u0930 ", "\u0938\u092c "],
        ),  # Hindi: a vowel sign
        (("\u0e14\u0e35", "\u0e14\u0e38"), ["\u0e01\u0e32\u0e23 ", "\u0e02\u0e2d\u0e07 "]),  # Thai: likewise
        (
            ("\u8db3\u7403", "\u94f6\u884c"),
            ["\u6628\u5929", "\u5728\u5317\u4eac", "\u6211\u4eec"],
        ),  # Chinese, without blanks
        (("\U0001f600", "\U0001f621"), ["the ", "day ", "was ", "long "]),
        (("c++", "c#"), ["code ", "in ", "a ", "file "]),
    ],
)
def test_what_tells_classes_apart_in_any_script_is_found(
    signal: tuple[str, str], filler: list[str], write_csv: WriteCsv
) -> None:
    generator = random.Random(0)
    rows = []
    for number in range(120):
        parts = [*generator.choices(filler, k=6), f" n{number} ", f"{signal[number % 2]} "]
        generator.shuffle(parts)
        rows.append(("ab"[number % 2], "".join(parts)))
    assert linear_look(prepare(write_csv(rows))).accuracy == 1
