"""Files are written back as they came: separator, encoding, mark, line ends; with several labels, or none if unsure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.learners.classifier import TextClassifier

Label = Callable[..., int]
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("end", ["\r\n", "\n"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_a_table_keeps_its_dialect(
    end: str, separator: str, encoding: str, classifier: TextClassifier, label: Label
) -> None:
    inside = "\r\n" if end == "\n" else "\n"
    rows = [["id", "text"], ["1", f'"court{separator} ""é"""'], ["2", f'"surgeon{inside}judge"']]
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = (mark + "".join(separator.join(row) + end for row in rows)).encode(encoding)
    Path("in.csv").write_bytes(content)
    named = ["--encoding", "cp1252"] if encoding == "cp1252" else []
    assert label("--input", "in.csv", "--output", "out.csv", *named) == 0
    texts = [f'court{separator} "é"', f"surgeon{inside}judge"]
    predictions = classifier.predictions(texts)
    added = [["label", "probability"]]
    for name, shares in zip(predictions.labels, predictions.probabilities, strict=True):
        added.append([f'"{name}"' if separator in name or "\n" in name else name, f"{shares.max():.6f}"])
    expected = mark + "".join(separator.join([*row, *more]) + end for row, more in zip(rows, added, strict=True))
    assert Path("out.csv").read_bytes() == expected.encode(encoding)


def test_quotes_escaped_by_backslashes_and_those_that_are_text_stay(label: Label, classifier: TextClassifier) -> None:
    del classifier
    Path("in.csv").write_text('id,text\n1,"a \\"court\\", judge"\n2,"surgeon, judge"\n')
    assert label("--input", "in.csv", "--output", "out.csv") == 0
    assert Path("out.csv").read_text().splitlines()[1].startswith('1,"a \\"court\\", judge",')
    Path("in.tsv").write_text('sep=\t\nid\ttext\n1\t"court judge\n2\tsurgeon"\n3\t"art" judge\n')
    assert label("--input", "in.tsv", "--output", "out.tsv", "--label-as", "job") == 0
    kept = [line.rsplit("\t", 2)[0] for line in Path("out.tsv").read_text().splitlines()[2:]]
    assert kept == ['1\t"court judge', '2\tsurgeon"', '3\t"art" judge']


def test_a_table_whose_cells_are_all_quoted_stays_so(classifier: TextClassifier, label: Label) -> None:
    del classifier
    Path("in.csv").write_text('"id","text"\r\n"1","court"\r\n"2","a ""judge"", or two"\r\n', newline="")
    assert label("--input", "in.csv", "--output", "out.csv") == 0
    lines = Path("out.csv").read_bytes().decode().split("\r\n")
    assert lines[0] == '"id","text","label","probability"'
    assert lines[1].startswith('"1","court","')
    assert lines[2].startswith('"2","a ""judge"", or two","')


def test_a_table_without_a_header_gets_none(classifier: TextClassifier, label: Label) -> None:
    Path("in.txt").write_text("1;court\n2;surgeon, judge\n")
    assert label("--input", "in.txt", "--output", "out.txt", "--no-header", "--text-column", "2") == 0
    lines = [line.split(";") for line in Path("out.txt").read_text().splitlines()]
    wanted = classifier.predictions(["court", "surgeon, judge"]).labels
    assert [(line[0], line[2]) for line in lines] == [("1", wanted[0]), ("2", wanted[1])]


def test_several_labels_are_added_from_the_likeliest_on(classifier: TextClassifier, label: Label) -> None:
    Path("in.csv").write_text("text\ncourt\nsurgeon\n")
    assert label("--input", "in.csv", "--output", "out.csv", "--top", 2) == 0
    table = pd.read_csv("out.csv", dtype={"label": str, "label_2": str})
    assert list(table.columns) == ["text", "label", "probability", "label_2", "probability_2"]
    for row, shares in zip(table.itertuples(), classifier.predictions(["court", "surgeon"]).probabilities, strict=True):
        ranked = sorted(zip(shares.tolist(), classifier.classes, strict=True), reverse=True)
        assert [row.label, row.label_2] == [name for _, name in ranked[:2]]
        assert [row.probability, row.probability_2] == [pytest.approx(share, abs=1e-6) for share, _ in ranked[:2]]


def test_a_label_below_the_threshold_is_left_out(classifier: TextClassifier, label: Label, capsys: Capture) -> None:
    texts = ["court", "surgeon", "court judge canvas", "hospital colour"]
    shares = classifier.predictions(texts).probabilities.max(axis=1)
    threshold = float(sorted(shares)[1])  # one of the four is below it
    unlabelled = int(shares.argmin())
    frame = pd.DataFrame({"text": texts, "id": [1, 2, 3, 4]})
    frame.to_csv("in.csv", index=False)
    frame.to_json("in.jsonl", orient="records", lines=True)
    frame.to_parquet("in.parquet")
    for suffix in ("csv", "jsonl", "parquet"):
        assert label("--input", f"in.{suffix}", "--output", f"out.{suffix}", "--threshold", threshold) == 0
        assert f"Note: texts without a label, since no probability reaches {threshold}: 1." in capsys.readouterr().err
    found = [
        pd.read_csv("out.csv")["label"].isna(),
        pd.read_json("out.jsonl", lines=True)["label"].isna(),
        pq.read_table("out.parquet")["label"].to_pandas().isna(),
    ]
    assert all(column.tolist() == [number == unlabelled for number in range(4)] for column in found)
    assert label(*texts, "--threshold", threshold) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith("\t") for line in lines] == [number == unlabelled for number in range(4)]


@pytest.mark.parametrize("orient", ["records", "columns"])
def test_an_array_of_objects_stays_one(orient: Any, classifier: TextClassifier, label: Label) -> None:
    frame = pd.DataFrame({"text": ["court", "surgeon"], "id": [2**40, 2]})
    frame.to_json("in.json", orient=orient, indent=1)
    assert label("--input", "in.json", "--output", "out.json") == 0
    rows = json.loads(Path("out.json").read_text())
    assert [row["id"] for row in rows] == [2**40, 2]
    assert [row["label"] for row in rows] == classifier.predictions(["court", "surgeon"]).labels.tolist()


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz"])
def test_the_output_is_compressed_as_its_name_says(suffix: str, classifier: TextClassifier, label: Label) -> None:
    del classifier
    Path("in.csv").write_bytes(pa.compress(b"text\ncourt\n", codec="zstd", asbytes=True))
    assert label("--input", "in.csv", "--output", f"out.csv.{suffix}") == 0
    assert pd.read_csv(f"out.csv.{suffix}")["text"].tolist() == ["court"]


def test_a_column_whose_name_has_blanks_is_found_in_json_lines(classifier: TextClassifier, label: Label) -> None:
    Path("in.jsonl").write_text('{" text ": "court"}\n{" text ": "surgeon"}\n')
    assert label("--input", "in.jsonl", "--output", "out.jsonl") == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == classifier.predict(["court", "surgeon"]).tolist()


def test_json_lines_keep_their_line_ends_and_may_begin_without_a_text(classifier: TextClassifier, label: Label) -> None:
    del classifier
    rows = ['{"id": 0}'] * 3_000 + ['{"id": 1, "text": "court"}']
    Path("in.jsonl").write_bytes("\r\n".join(rows).encode())
    assert label("--input", "in.jsonl", "--output", "out.jsonl") == 0
    lines = Path("out.jsonl").read_bytes().split(b"\r\n")
    assert len(lines) == len(rows) + 1
    assert b"\n" not in b"".join(lines)


def test_compressed_parquet_is_read(classifier: TextClassifier, label: Label) -> None:
    del classifier
    pq.write_table(pa.table({"text": ["court"]}), "in.parquet")
    Path("in.parquet").write_bytes(pa.compress(Path("in.parquet").read_bytes(), codec="gzip", asbytes=True))
    assert label("--input", "in.parquet", "--output", "out.parquet") == 0
    assert pq.read_table("out.parquet")["text"].to_pylist() == ["court"]


def test_half_an_emoji_stays_an_escape(classifier: TextClassifier, label: Label) -> None:
    del classifier
    Path("in.json").write_text('[{"text": "court \\ud83d"}]')
    assert label("--input", "in.json", "--output", "out.json") == 0
    assert json.loads(Path("out.json").read_text())[0]["text"] == "court \ud83d"


def test_an_encoding_that_has_no_letters_for_a_label_or_is_none_is_one_line(
    write_model: Callable[..., None], toy: Any, label: Label, capsys: Capture
) -> None:
    write_model(toy.folder / "reports" / "study" / "model", text_column="text")
    config = toy.folder / "reports" / "study" / "model" / "config.json"
    config.write_text(config.read_text().replace('"art"', '"право"'))
    Path("in.csv").write_text("text\ncourt\n")
    named = ["--input", "in.csv", "--output", "out.csv", "--encoding"]
    assert label(*named, "cp1252") == 2
    assert "'право' cannot be written in cp1252" in capsys.readouterr().err
    for encoding in ("undefined", "nothing"):
        assert label(*named, encoding) == 2
        assert f"--encoding must be one that Python knows, such as cp1252, got '{encoding}'" in capsys.readouterr().err
    assert label(*named, "utf-16") == 2
    assert "in.csv is not UTF-16 (UTF-16 stream does not start with BOM)" in capsys.readouterr().err
    assert not Path("out.csv").exists()
