"""`study.report --ensemble`: one model of several studies, chosen on validation and tested once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.source import Split, find_source
from data.texts import load_test_texts
from models.export import load_model
from models.training.scores import accuracy
from study.command_line import run_command
from study.report import app as report_app
from study.run import app as run_app

Capture = pytest.CaptureFixture[str]
COMMON = ("--data", "toy.csv", "--workers", "1", "--trials", "1")
QUICK = ("--top", "1", "--seeds", "2", "--workers", "1")


def run(*arguments: str) -> None:
    assert run_command(run_app, [*COMMON, *arguments]) == 0


def report(*arguments: str) -> int:
    return run_command(report_app, [*QUICK, *arguments])


def test_the_studies_of_a_database_are_combined_into_one_model(toy: Any, capsys: Capture) -> None:
    run("--model", "linear")
    run("--epochs", "4", "--max-tokens", "20")
    run("--model", "linear", "--metric", "accuracy", "--name", "another metric")
    assert report("--ensemble") == 0
    printed = capsys.readouterr().out
    folder = toy.folder / "reports" / "toy-ensemble"
    assert {path.name for path in folder.iterdir()} == {"ensemble.html", "ensemble.json", "model"}
    facts = json.loads((folder / "ensemble.json").read_text())
    assert set(facts["weights"]) == {"toy-linear", "toy-lstm"}
    assert sum(facts["weights"].values()) == pytest.approx(1)
    assert facts["validation"] >= max(part["validation"] for part in facts["parts"].values())
    classifier = load_model(folder / "model")
    chosen = [name for name, weight in facts["weights"].items() if weight > 0]
    assert len(classifier.members) == 2 * len(chosen)
    assert classifier.about["studies"] == {name: facts["weights"][name] for name in classifier.about["studies"]}
    test = load_test_texts(Split(find_source("toy.csv")[0]), cache_dir=toy.folder)
    predictions = classifier.predict(test.texts)
    labels = np.array(test.labels.to_pylist(), object)
    assert facts["test"]["accuracy"]["value"] == pytest.approx(accuracy(labels, predictions))
    page = (folder / "ensemble.html").read_text()
    for part in ("The studies, 2 in all", "On the test split", "Score and prediction time", "toy-lstm"):
        assert part in page
    assert f"Written: {Path('reports/toy-ensemble/model')}" in printed
    openings = toy.load("toy-linear/confirmation").user_attrs, toy.load("toy-lstm/confirmation").user_attrs
    stamps = [stamp for attributes in openings for stamp in attributes["openings"]]
    assert sum("ensemble" in stamp["study"] for stamp in stamps) == 1
    assert report("--ensemble") == 0  # again: nothing is opened, and the folder is replaced
    again = toy.load("toy-linear/confirmation").user_attrs, toy.load("toy-lstm/confirmation").user_attrs
    assert [stamp for attributes in again for stamp in attributes["openings"]] == stamps
    assert json.loads((folder / "ensemble.json").read_text())["test"] == facts["test"]


def test_what_cannot_be_combined_is_refused_in_one_line(toy: Any, capsys: Capture) -> None:
    run("--model", "linear")
    assert report("--ensemble") == 2
    assert "--ensemble needs at least two finished studies of the same texts" in capsys.readouterr().err
    assert run_command(report_app, ["--ensemble", "--no-retrain"]) == 2
    assert "--no-retrain confirms none: leave that out" in capsys.readouterr().err
    run("--model", "linear", "--classifier", "logistic_regression", "--name", "other")
    (toy.folder / "reports" / "toy-ensemble").mkdir()
    (toy.folder / "reports" / "toy-ensemble" / "mine.txt").touch()
    assert report("--ensemble") == 2
    assert "would be replaced, but it is no ensemble of study.report" in capsys.readouterr().err
