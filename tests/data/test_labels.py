"""Labels that look the same are the same, their order is one, and suspicious ones are noted."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from data.corpus import Columns, read_corpus
from data.dialect import Reading
from data.labels import clean_labels, notes_on_labels, ordered


def clean(*labels: str | None) -> list[str | None]:
    cleaned: list[str | None] = clean_labels(pa.array(labels, pa.large_string())).to_pylist()
    return cleaned


def test_blanks_around_labels_invisible_characters_and_composition_do_not_count() -> None:
    assert clean("sports", " sports\t", "sports\u200b", "\ufeffsports", "spo\u00adrts") == ["sports"] * 5
    assert clean("caf\u00e9", "cafe\u0301") == ["caf\u00e9"] * 2
    assert clean("Sports", "two  words", "\u200b", None) == ["Sports", "two  words", "", None]


def test_whole_numbers_are_the_same_with_a_decimal_point_if_all_labels_are_numbers() -> None:
    assert clean("1", "1.0", "-2.", "01", None, "") == ["1", "1", "-2", "01", None, ""]
    assert clean("1.0", "1", "one") == ["1.0", "1", "one"]
    assert clean("1.0", "1.5", "2.50", "1") == ["1", "1.5", "2.5", "1"]
    assert clean_labels(pa.array(["1.0"], pa.large_string()), are_numbers=False).to_pylist() == ["1.0"]


def test_labels_that_are_joined_as_numbers_are_noted(tmp_path: Path) -> None:
    rows = [f"{number % 3}{'.0' * (number % 2)},text {number}\n" for number in range(30)]
    (tmp_path / "t.csv").write_text("Category,description_pre\n" + "".join(rows))
    corpus, notes = read_corpus([tmp_path / "t.csv"], Columns("Category", "description_pre"), reading=Reading())
    assert set(corpus.labels.to_pylist()) == {"0", "1", "2"}
    assert "labels are numbers: 1 and 1.0 are the same one, which joins 3 of them." in notes


def test_the_order_of_classes_is_the_same_in_every_process() -> None:
    classes = ["1", "01", "2", "02", "001", "10"]
    expected = ["001", "01", "1", "02", "2", "10"]
    program = f"import json; from data.labels import ordered; print(json.dumps(ordered(set({classes!r}))))"
    for seed in range(5):
        output = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        assert json.loads(output) == expected
    assert ordered({"b", "10", "9", "a"}) == ["10", "9", "a", "b"]


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (["Sports", "sports", "SPORTS", "art"], "differ only in capitals are classes of their own: 'SPORTS', 'Sports'"),
        ([str(number / 2) for number in range(40)], "the 40 labels are numbers, most of them rare"),
        (["art, law", "art", "law", "law, music", "music"], "labels such as 'art, law' look like lists"),
        (["art|law", "law|music", "music|art"], "labels such as 'art|law' look like lists"),
    ],
)
def test_suspicious_labels_are_noted(labels: list[str], note: str) -> None:
    (found,) = notes_on_labels(pa.array(labels, pa.large_string()))
    assert note in found


@pytest.mark.parametrize(
    "labels", [["1", "2", "3"] * 9, ["art", "law"], ["Smith, John", "Doe, Jane"], [str(n % 25) for n in range(250)]]
)
def test_usual_labels_are_not_noted(labels: list[str]) -> None:
    assert notes_on_labels(pa.array(labels, pa.large_string())) == []
