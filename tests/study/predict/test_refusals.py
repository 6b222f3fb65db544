"""What `study.predict` refuses or cannot finish: one line that says what to do, and no file is left."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.learners.classifier import TextClassifier

Capture = pytest.CaptureFixture[str]
Label = Callable[..., int]

FILES = {
    "in.csv": b"text,note\ncourt,1\n",
    "taken.csv": b"text,label\ncourt,1\n",
    "long.csv": b"text,note\ncourt,1\nsurgeon, who,1\n",
    "open.csv": b'text,note\ncourt,1\n"surgeon, court,1\ncourt,1\n',
    "latin.csv": b"text\nk\xfcnstler\n",
    "empty.csv": b"",
    "in.xlsx": b"\xd0\xcf\x11\xe0",
    "in.parquet": b"PAR1 text",
    "in.csv.gz": gzip.compress(b"text\ncourt\n" * 10_000)[:-20],
    "in.jsonl": b'{"text": "court"}\n{"text": \n',
    "list.jsonl": b'{"text": "court"}\n["court"]\n',
    "taken.jsonl": b'{"text": "court"}\n{"text": "court", "probability": 1}\n',
    "nested.jsonl": b'{"text": ["court"], "id": 1}\n',
    "other.jsonl": b'{"bio": "court"}\n',
    "exists.csv": b"mine",
    "array.json": b'[{"text": "court"}]',
    "deep.jsonl": b'{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n",
    "twice.csv": b"text,text\ncourt,1\n",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--input in.csv", "Say with --output where"),
        ("--output out.csv", "go with --input FILE"),
        ("text --force", "go with --input FILE"),
        ("text --label-as x", "go with --input FILE"),
        ("text --input in.csv --output out.csv", "leave out the texts"),
        ("--input none.csv --output out.csv", "File none.csv not found. Check the path given to --input."),
        ("--input . --output out.csv", "File . not found"),
        ("--input in.xlsx --output out.xlsx", "in.xlsx is a spreadsheet, which is not written. Save it as CSV"),
        ("--input in.csv --output out.jsonl", "--output must be of the kind of --input (text, as .csv), got out.jsonl"),
        ("--input in.csv --output out.csv.zip", "--output can be compressed as .gz, .bz2, .xz, got out.csv.zip"),
        ("--input in.parquet --output out.parquet.gz", "must be of the kind of --input (.parquet), got"),
        (
            "--input in.csv --output exists.csv",
            "exists.csv is there already. Name another --output, or replace it with",
        ),
        ("--input in.csv --output none/out.csv", "could not be labelled into none/out.csv: No such file or directory"),
        (
            "--input in.csv --output out.csv --text-column bio",
            "Column 'bio' not found in in.csv (it has: 'text',",
        ),
        ("--input in.csv --output out.csv --label-as note", "has a column 'note' already. Name another"),
        ("--input in.csv --output out.csv --label-as x --probability-as x", "must differ"),
        (
            "--input taken.csv --output out.csv",
            "taken.csv: it has a column 'label' already. Name another for the result",
        ),
        ("--input taken.jsonl --output out.jsonl", "has a column 'probability' already"),
        ("--input long.csv --output out.csv", "row 3 has 3 cells, the header 2. Put cells that hold"),
        ("--input open.csv --output out.csv", "a double quote opened in row 3 (the header is row 1) is never"),
        (
            "--input latin.csv --output out.csv",
            "not UTF-8: line 2, byte offset 6 (0xfc). It seems to be cp1252",
        ),
        ("--input empty.csv --output out.csv", "empty.csv is empty; a header and rows are needed"),
        ("--input in.parquet --output out.parquet", "in.parquet could not be labelled into out.parquet: "),
        ("--input in.csv.gz --output out.csv", "not a whole gzip file"),
        ("--input in.jsonl --output out.jsonl", "line 2 is not JSON ("),
        ("--input deep.jsonl --output out.jsonl", "line 1 is not JSON ("),
        ("--input twice.csv --output out.csv", "twice.csv has 2 columns called 'text'. Rename all but one"),
        ("--input list.jsonl --output out.jsonl", "line 2 is not a JSON object"),
        ("--input nested.jsonl --output out.jsonl", "Column 'text' of nested.jsonl holds list<"),
        ("--input other.jsonl --output out.jsonl", "Column 'text' not found in other.jsonl (it has: 'bio')"),
        ("text --model nowhere", "nowhere is not a model: there is no such folder"),
        ("text --model .", ". is not a model: config.json is missing"),
        ("text --top 0", "Invalid value for '--top'"),
        ("text --threshold nan", "Invalid value for '--threshold'"),
        ("--input in.csv --output . --force", ". is a folder; name a file with --output"),
        ("--input in.csv --output out.xlsx", "--output is text, JSON or Parquet, got out.xlsx"),
        ("--input array.json --output out.jsonl", "array.json is an array of objects, not lines of them: name"),
        (
            "--input in.csv --output out.csv --label-as x --probability-as x_2 --top 2",
            "give two columns one name: x, x_2,",
        ),
    ],
)
def test_a_mistake_is_a_one_line_error_and_leaves_no_files(
    arguments: str, message: str, classifier: TextClassifier, capsys: Capture, label: Label
) -> None:
    del classifier
    for name, content in FILES.items():
        Path(name).write_bytes(content)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    assert label(*arguments.split()) == 2
    output = capsys.readouterr()
    *_, error = output.err.splitlines()
    assert output.out == ""
    assert error.startswith("Error: ")
    assert message in error
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()} == before


def test_without_a_model_the_error_says_how_to_get_one(toy: Any, capsys: Capture, label: Label) -> None:
    del toy
    assert label("text") == 2
    assert capsys.readouterr().err == (
        "Error: There is no model under reports/. Name one with --model, or run study.report.\n"
    )


def test_a_full_disk_is_a_one_line_error(classifier: TextClassifier, capsys: Capture, label: Label) -> None:
    del classifier
    Path("in.csv").write_text("text\n" + "court\n" * 10_000)
    Path(".out.csv.writing").symlink_to("/dev/full")
    assert label("--input", "in.csv", "--output", "out.csv") == 2
    assert "could not be labelled into out.csv: No space left on device." in capsys.readouterr().err
    assert not Path("out.csv").exists()
