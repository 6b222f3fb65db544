"""Reading a user's file, and the errors for files that cannot be used."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.corpus import Columns, LabelledTexts, check_corpus, read_corpus
from data.dialect import Reading
from data.errors import CorpusError

HEADER = "Category,description_pre\n"
GOOD_ROWS = "".join(f"{number % 2},text number {number}\n" for number in range(30))


def read(path: Path, **columns: str) -> tuple[LabelledTexts, tuple[str, ...]]:
    named = Columns(**{"label": "Category", "text": "description_pre", **columns})
    corpus, notes = read_corpus([path], named, reading=Reading())
    return corpus, (*notes, *check_corpus(corpus, str(path)))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_integer_labels_stay_integers_even_if_some_labels_are_missing(suffix: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"Category": [1.0, 2.0, None] * 20, "description_pre": [f"text {n}" for n in range(60)]})
    path = tmp_path / f"t.{suffix}"
    frame = frame.astype({"Category": "Int64"}) if suffix == "csv" else frame
    write = {"csv": frame.to_csv, "parquet": frame.to_parquet}.get(
        suffix, lambda path: frame.to_json(path, orient="records", lines=True)
    )
    write(path)
    corpus, notes = read(path)
    assert set(corpus.labels.to_pylist()) == {"1", "2"}
    assert notes[1] == "20 of 60 rows dropped: their text or their label is empty."


def test_the_words_na_and_null_are_texts_not_missing_values(write_csv: Callable[..., Path]) -> None:
    corpus, _ = read(write_csv([("NA", "null")] * 15 + [("None", "NA")] * 15))
    assert set(corpus.texts.to_pylist()) == {"null", "NA"}
    assert set(corpus.labels.to_pylist()) == {"NA", "None"}


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + (HEADER + GOOD_ROWS).encode())
    assert len(read(tmp_path / "t.csv")[0]) == 30


def test_the_same_text_under_two_labels_is_counted(write_csv: Callable[..., Path]) -> None:
    rows = [(str(number % 2), f"text {number}") for number in range(30)]
    _, notes = read(write_csv([*rows, ("0", "twice"), ("1", "twice"), ("0", "twice"), ("1", "text 1")]))
    assert notes[1:] == ("1 distinct texts stand under more than one label; no classifier gets all right.",)


def test_labels_of_several_types_are_taken_as_they_are_written(tmp_path: Path) -> None:
    rows = [{"Category": 1 if number % 2 else "one", "description_pre": f"text {number}"} for number in range(30)]
    pd.DataFrame(rows).to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    assert set(read(tmp_path / "t.jsonl")[0].labels.to_pylist()) == {"1", "one"}


def test_a_nan_label_counts_as_missing(tmp_path: Path) -> None:
    column = pa.array([1.0, 2.0, float("nan")] * 20)
    pq.write_table(
        pa.table({"Category": column, "description_pre": [f"text {n}" for n in range(60)]}), tmp_path / "t.parquet"
    )
    assert set(read(tmp_path / "t.parquet")[0].labels.to_pylist()) == {"1", "2"}


def test_label_and_text_must_be_two_columns(toy_csv: Path) -> None:
    with pytest.raises(CorpusError, match="must differ"):
        read(toy_csv, label="description_pre")


def test_a_text_of_a_megabyte_is_read(write_csv: Callable[..., Path]) -> None:
    long = "word " * 200_000
    rows = [(str(number % 2), f"text {number}") for number in range(30)]
    corpus, _ = read(write_csv([*rows, ("1", long)]))
    assert corpus.texts[30].as_py() == long


def test_other_columns_can_be_named(tmp_path: Path) -> None:
    pd.DataFrame({"job": ["a", "b"] * 10, "bio": [f"text {n}" for n in range(20)]}).to_csv(tmp_path / "t.csv")
    assert len(read(tmp_path / "t.csv", label="job", text="bio")[0]) == 20


BAD_FILES = [
    ("t.csv", b"", r"t\.csv is empty"),
    ("t.csv", HEADER.encode(), r"t\.csv has 0 usable rows of 0; at least 20"),
    ("t.csv", (HEADER + "1,some text\n" * 19).encode(), "19 usable rows of 19"),
    ("t.csv", (HEADER + "1,some text\n" * 30).encode(), "All 30 rows .* have the same label '1'"),
    ("t.csv", (HEADER + "1,some text\n2,some  TEXT\n" * 30).encode(), "All 60 rows .* have the same text"),
    ("t.csv", b"label,text\n1,a\n", r"Column 'Category' not found .*it has: 'label', 'text'.*--label-column"),
    ("t.csv", b"Category,text\n1,a\n", r"Column 'description_pre' not found .*--text-column"),
    ("t.csv", b"Category,description_pre,Category \n1,a,b\n", "2 columns called 'Category'"),
    ("t.jsonl", b"", "is empty"),
    ("t.parquet", b"PAR1 but not really", "t.parquet cannot be read"),
    (
        "t.jsonl",
        b'{"Category": 1, "description_pre": 2}\n{"Category": 1, "description_pre": ["b"]}\n',
        "a list in row 2",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES, ids=lambda value: str(value)[:30])
def test_a_bad_file_is_a_one_line_error(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


@given(st.binary(max_size=400))
def test_any_file_content_gives_an_error_instead_of_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    for name in ("t.csv", "t.jsonl"):
        path = tmp_path_factory.mktemp("any") / name
        path.write_bytes(HEADER.encode() + content if name == "t.csv" else content)
        with pytest.raises(CorpusError):
            read(path)
