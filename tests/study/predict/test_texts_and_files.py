"""`study.predict` as a user meets it: texts, and files of every kind, whose other columns are kept."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.export import load_model
from models.learners.classifier import TextClassifier

Capture = pytest.CaptureFixture[str]
Label = Callable[..., int]
WORDS = ["court", "judge", "canvas", "colour", "hospital", "surgeon"]  # those that the model knows
PROGRAM = (sys.executable, "-m", "study.predict")

generator = np.random.default_rng(0)
TEXTS = [" ".join(generator.choice(WORDS, 1 + number % 7)) for number in range(40)]
TEXTS += ["", "unheard of", 'with "quotes", commas\nand lines', "\r", "12", "1.5"]
UNKNOWN = 6  # the number of texts without any of the words


def expected(classifier: TextClassifier) -> list[tuple[str, float]]:
    predictions = classifier.predictions(TEXTS)
    assert set(predictions.labels) == set(classifier.classes)
    return list(zip(predictions.labels, predictions.probabilities.max(axis=1).tolist(), strict=True))


def test_each_text_is_labelled_on_a_line_of_its_own(classifier: TextClassifier, capsys: Capture, label: Label) -> None:
    assert label(*TEXTS) == 0
    output = capsys.readouterr()
    assert output.err == (
        "Model: reports/study/model, the newest under reports\n"
        f"Note: texts without a word that the model knows: {UNKNOWN}; their labels are a guess.\n"
    )
    lines = [line.split("\t") for line in output.out.splitlines()]
    assert lines == [[" ".join(name.split()), f"{share:.4f}"] for name, share in expected(classifier)]


def test_the_most_probable_labels_are_listed_in_their_order(
    classifier: TextClassifier, capsys: Capture, label: Label
) -> None:
    assert label("--top", 9, *TEXTS) == 0
    for line, probabilities in zip(
        capsys.readouterr().out.splitlines(), classifier.predictions(TEXTS).probabilities, strict=True
    ):
        fields = line.split("\t")
        assert sorted(fields[::2]) == ["7", "art", "law and order"]
        assert fields[1::2] == [f"{share:.4f}" for share in sorted(probabilities, reverse=True)]


def test_a_text_whose_known_words_are_all_truncated_counts_as_unknown(
    classifier: TextClassifier, capsys: Capture, label: Label
) -> None:
    assert label("unknown " * classifier.members[0].max_tokens + "court", "unknown court") == 0
    assert "without a word that the model knows: 1;" in capsys.readouterr().err


def write_rows(path: Path, rows: list[list[str]], separator: str) -> None:
    with (
        gzip.open(path, "wt", newline="", encoding="utf-8")
        if path.suffix.lower() == ".gz"
        else path.open("w", newline="") as file
    ):
        csv.writer(file, delimiter=separator).writerows(rows)


def read_rows(path: Path, separator: str) -> list[list[str]]:
    with gzip.open(path, "rt", newline="") if path.suffix.lower() == ".gz" else path.open(newline="") as file:
        return list(csv.reader(file, delimiter=separator))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".csv.gz", ".TSV.GZ"])
def test_cells_of_a_table_pass_through_unchanged(
    suffix: str, classifier: TextClassifier, capsys: Capture, label: Label
) -> None:
    separator = "\t" if "tsv" in suffix.lower() else ","
    # Duplicate names, and values that a parser might take for numbers, dates or missing values.
    rows = [["007", text, "NA", "1e5", "two\r\nlines", "\r", '"', ""] for text in TEXTS]
    header = ["same", "text", "same", "", "ünï", "c", "d", "e"]
    source, target = Path(f"in{suffix}"), Path(f"out{suffix.removesuffix('.gz').lower()}")
    write_rows(source, [header, *rows], separator)
    assert label("--input", source, "--output", target) == 0
    output = capsys.readouterr()
    kind = "tabs" if separator == "\t" else "commas"
    assert output.out == f"Labelled {len(TEXTS)} texts (separated by {kind}, UTF-8): {target}\n"
    assert f"without a word that the model knows: {UNKNOWN};" in output.err
    added = [[name, f"{share:.6f}"] for name, share in expected(classifier)]
    assert read_rows(target, separator) == [
        [*header, "label", "probability"],
        *(row + more for row, more in zip(rows, added, strict=True)),
    ]
    assert not list(Path().glob(".*writing"))


def test_a_table_of_one_column_keeps_its_empty_rows_and_short_rows_are_filled(
    classifier: TextClassifier, label: Label
) -> None:
    del classifier
    Path("in.csv").write_text("text\ncourt\n\n" + "surgeon " * 50_000 + "\n\n")
    assert label("--input", "in.csv", "--output", "out.csv") == 0
    assert [row[0].split(" ")[0] for row in read_rows(Path("out.csv"), ",")] == ["text", "court", "", "surgeon", ""]
    Path("in.csv").write_text("text\nThe court, the judge\n")
    assert label("--input", "in.csv", "--output", "out.csv", "--force") == 0
    assert [row[0] for row in read_rows(Path("out.csv"), ",")] == ["text", "The court, the judge"]
    Path("in.csv").write_text("text,note\n\ncourt\n")
    assert label("--input", "in.csv", "--output", "out.csv", "--force") == 0
    assert [row[:2] for row in read_rows(Path("out.csv"), ",")] == [["text", "note"], ["court", ""]]
    Path("in.csv").write_text("text,note\n")
    assert label("--input", "in.csv", "--output", "out.csv", "--force") == 0
    assert Path("out.csv").read_text() == "text,note,label,probability\n"


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson.gz"])
def test_json_lines_keep_every_character_of_other_columns(
    suffix: str, classifier: TextClassifier, label: Label
) -> None:
    def write(rows: list[str], name: str) -> Path:
        path = Path(f"{name}{suffix}")
        content = "\n".join(rows)
        path.write_bytes(gzip.compress(content.encode()) if suffix.endswith(".gz") else content.encode())
        return path

    kept = '"n": 1.10e0, "list": [1, {"a": null}], "s": "\\u00fc \\ud800 ü"'
    rows = [f'{{{kept}, "text": {json.dumps(text)} }}' for text in TEXTS]
    rows[12:12] = ["", "{}", f"{{{kept}}}", '{"text": null}', '{"text":12}', '{"text": 12.0}', '{"text": true}']
    source, target = write(rows, "in"), Path(f"out{suffix}")
    assert label("--input", source, "--output", target) == 0
    content = gzip.decompress(target.read_bytes()) if suffix.endswith(".gz") else target.read_bytes()
    found = content.decode().splitlines()
    assert len(found) == len(TEXTS) + 6
    assert found[0].startswith(f'{{{kept}, "text": ')
    results = [(json.loads(line)["label"], json.loads(line)["probability"]) for line in found]
    empty, twelve = classifier.predictions([""]).labels[0], classifier.predictions(["12"]).labels[0]
    assert [name for name, _ in results[12:18]] == [empty, empty, empty, twelve, twelve, empty]
    wanted = [(name, pytest.approx(share, abs=1e-6)) for name, share in expected(classifier)]
    assert results[:12] + results[18:] == wanted


def test_parquet_keeps_types_and_values(classifier: TextClassifier, label: Label) -> None:
    count = 10_000  # more than one chunk
    texts = (TEXTS * (count // len(TEXTS) + 1))[:count]
    frame = pd.DataFrame({
        "when": pd.date_range("2026-01-01", periods=count, freq="s"),
        "text": pd.Categorical([None if text == "" else text for text in texts]),
        "list": [[number] for number in range(count)],
        "kind": pd.Categorical(["a", "b"] * (count // 2)),
    }, index=pd.Index(range(5, count + 5), name="id"))  # fmt: skip
    frame.to_parquet("in.parquet")
    assert label("--input", "in.parquet", "--output", "out.parquet") == 0
    before, after = pq.read_table("in.parquet"), pq.read_table("out.parquet")
    assert after.select(before.column_names).equals(before)
    assert after.schema.names == [*before.schema.names, "label", "probability"]
    assert pd.read_parquet("out.parquet").index.equals(frame.index)
    wanted = [name for name, _ in expected(classifier)]
    assert after["label"].to_pylist()[: len(TEXTS)] == wanted
    assert after["label"].to_pylist()[len(TEXTS) * 200 : len(TEXTS) * 201] == wanted

    numbers = pa.table({"text": pa.array([12.0, None, float("nan"), 1.5, float("inf")])})
    pq.write_table(numbers, "numbers.parquet")
    assert label("--input", "numbers.parquet", "--output", "out.parquet", "--force") == 0
    assert (
        pq.read_table("out.parquet")["label"].to_pylist()
        == classifier.predictions(["12", "", "", "1.5", "inf"]).labels.tolist()
    )
    pq.write_table(numbers.slice(0, 0), "none.parquet")
    assert label("--input", "none.parquet", "--output", "out.parquet", "--force") == 0
    assert pq.read_table("out.parquet").num_rows == 0


def test_columns_can_be_named(classifier: TextClassifier, label: Label) -> None:
    del classifier
    Path("in.csv").write_text("label,bio\nold,court\n")
    named = ("--text-column", "bio", "--label-as", "job", "--probability-as", "p")
    assert label("--input", "in.csv", "--output", "out.csv", *named) == 0
    assert Path("out.csv").read_text().startswith("label,bio,job,p\nold,court,")


def test_the_newest_model_is_used_with_the_column_that_it_was_trained_on(
    toy: Any, capsys: Capture, label: Label, write_model: Callable[..., None]
) -> None:
    for number, (name, about) in enumerate((("b", {"text_column": "bio"}), ("a", {}), (".c", {}))):
        write_model(toy.folder / "reports" / name / "model", **about)
        os.utime(toy.folder / "reports" / name / "model" / "config.json", (number, number))
    Path("in.csv").write_text("bio,description_pre\ncourt,surgeon\n")
    wanted = load_model(Path("reports/a/model")).predictions(["surgeon", "court"]).probabilities.max(axis=1)
    assert label("--input", "in.csv", "--output", "out.csv") == 0
    assert "reports/a/model" in capsys.readouterr().err
    assert label("--input", "in.csv", "--output", "out2.csv", "--model", "reports/b/model") == 0
    assert [read_rows(Path(name), ",")[1][3] for name in ("out.csv", "out2.csv")] == [
        f"{share:.6f}" for share in wanted
    ]


def test_an_interruption_ends_with_one_line_and_leaves_the_old_file(classifier: TextClassifier) -> None:
    del classifier
    with Path("in.csv").open("w") as file:
        file.write("text\n")
        file.writelines([f"{' '.join(WORDS * 30)}\n"] * 40_000)
    Path("out.csv").write_text("old")
    command = [*PROGRAM, "--input", "in.csv", "--output", "out.csv", "--force"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (Path(".out.csv.writing").exists() and Path(".out.csv.writing").stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors.splitlines()[1:] == ["Interrupted. out.csv was not written."]
    assert Path("out.csv").read_text() == "old"
    assert not Path(".out.csv.writing").exists()
