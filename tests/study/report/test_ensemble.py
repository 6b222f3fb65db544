"""`study.report --ensemble`: one model of several studies, chosen on validation and tested once."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
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
NEXT_TOPIC = {"surgeon": "lawyer", "lawyer": "painter", "painter": "surgeon"}
QUICK = ("--top", "1", "--seeds", "2", "--workers", "1")


def run(*arguments: str) -> None:
    assert run_command(run_app, [*COMMON, *arguments]) == 0


def report(*arguments: str) -> int:
    return run_command(report_app, [*QUICK, *arguments])


@pytest.fixture
def toy_csv(toy_frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy corpus with a quarter of wrong labels and few words per text, so that no model is perfect."""
    frame = toy_frame.copy()
    frame["description_pre"] = frame["description_pre"].str.split().str[:4].str.join(" ")
    frame.loc[::4, "Category"] = frame["Category"].iloc[::4].map(NEXT_TOPIC)
    folder = tmp_path_factory.getbasetemp() / "toy"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    frame.to_csv(folder / "toy.csv", index=False)
    return folder / "toy.csv"


def test_the_studies_of_a_database_are_combined_into_one_model(toy: Any, capsys: Capture) -> None:
    run("--model", "linear", "--metric", "accuracy", "--name", "another metric")
    run("--model", "linear")
    run("--epochs", "12", "--max-tokens", "20")
    assert report("--ensemble") == 0
    printed = capsys.readouterr().out
    folder = toy.folder / "reports" / "toy-ensemble"
    assert {path.name for path in folder.iterdir()} == {"ensemble.html", "ensemble.json", "model"}
    facts = json.loads((folder / "ensemble.json").read_text())
    assert set(facts["weights"]) == {"toy-linear", "toy-lstm"}
    assert sum(facts["weights"].values()) == pytest.approx(1)
    assert all(0 < weight < 1 for weight in facts["weights"].values())
    assert all(part["without"] <= facts["validation"] for part in facts["parts"].values())
    assert facts["against_best"]["low"] <= facts["against_best"]["difference"] <= facts["against_best"]["high"]
    classifier = load_model(folder / "model")
    assert len(classifier.members) == 1 + 2  # a refit of the linear model, two training runs of the LSTM
    assert classifier.about["studies"] == facts["weights"]
    test = load_test_texts(Split(find_source("toy.csv")[0]), cache_dir=toy.folder)
    predictions = classifier.predict(test.texts)
    labels = np.array(test.labels.to_pylist(), object)
    assert facts["test"]["accuracy"]["value"] == pytest.approx(accuracy(labels, predictions))
    page = (folder / "ensemble.html").read_text()
    for part in ("The studies, 2 in all", "On the test split", "Score and prediction time", "toy-lstm"):
        assert part in page
    assert f"Written: {Path('reports/toy-ensemble/model')}" in printed
    assert "once for each study and the ensemble" in (toy.folder / "reports" / "toy-lstm" / "report.md").read_text()
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
    assert report("--ensemble", "--name", "toy-linear") == 2
    assert "--ensemble combines all studies of the same texts: leave --name out" in capsys.readouterr().err
    assert run_command(report_app, ["--ensemble", "--no-retrain"]) == 2
    assert "--no-retrain confirms none: leave that out" in capsys.readouterr().err
    run("--model", "linear", "--classifier", "logistic_regression", "--name", "other")
    (toy.folder / "reports" / "toy-ensemble").mkdir(parents=True)
    (toy.folder / "reports" / "toy-ensemble" / "mine.txt").touch()
    assert report("--ensemble") == 2
    assert "would be replaced, but it is no ensemble of these studies" in capsys.readouterr().err
    assert all("/confirmation" not in name for name in optuna.get_all_study_names("sqlite:///study.db"))
