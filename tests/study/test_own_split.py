"""A split of the user's own, and texts that are cut, from the search to the report."""

import json
from typing import Any

import pandas as pd
import pytest

from study.command_line import run_command
from study.report import app as report
from study.run import app as run

Capture = pytest.CaptureFixture[str]


def test_a_search_and_its_report_keep_to_the_split_that_was_given(
    toy: Any, toy_frame: pd.DataFrame, capsys: Capture
) -> None:
    sides = ["train"] * 120 + ["validation"] * 30 + ["test"] * 30
    authors = [f"author {number}" for number in range(180)]
    toy_frame.assign(side=sides, author=authors).to_csv("own.csv", index=False, sep=";")
    options = ["--data", "own.csv", "--model", "linear", "--trials", "2", "--workers", "1"]
    assert run_command(run, [*options, "--split-column", "side", "--group-column", "author"]) == 0
    output = capsys.readouterr().out
    assert "Texts: 120 for training, 30 for validation, 30 held back for the test; 3 classes;" in output
    assert "Note: 180 rows read (separated by semicolons, UTF-8)." in output
    assert run_command(report, ["--top", "1", "--seeds", "1", "--workers", "1"]) == 0
    folder = toy.folder / "reports" / "own-linear"
    markdown = (folder / "report.md").read_text()
    for part in ("Sizes of the classes", "Words that tell the classes", "Training texts with the same words"):
        assert part in markdown
    counts = [line.split("|")[1:5] for line in markdown.splitlines() if line.startswith("| lawyer")]
    texts = toy_frame["Category"].eq("lawyer")
    wanted = [texts[:120].sum(), texts[120:150].sum(), texts[150:].sum()]
    assert [str(number) for number in wanted] in [[cell.strip() for cell in row[1:]] for row in counts]
    command = json.loads((folder / "best_params.json").read_text())["command"]["search"]
    assert "--split-column side --group-column author" in command
    assert run_command(run, options) == 2
    assert "was started with --split-column side, now it is not given" in capsys.readouterr().err


def test_texts_are_cut_as_asked(toy: Any, toy_frame: pd.DataFrame, capsys: Capture) -> None:
    texts = "filler " * 30 + toy_frame["description_pre"].str.split().str[:5].str.join(" ")
    toy_frame.assign(description_pre=texts).to_csv(toy.csv, index=False)
    for truncate, is_better in (("head", False), ("tail", True)):
        options = ["--data", str(toy.csv), "--model", "linear", "--trials", "1", "--workers", "1", "--max-tokens", "10"]
        assert run_command(run, [*options, "--name", truncate, "--truncate", truncate]) == 0
        assert "are longer than 10 words and are cut" in capsys.readouterr().out
        assert (toy.load(truncate).best_value > 0.5) == is_better
