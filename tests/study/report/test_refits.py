"""`study.report --refit`: the winner, trained on all texts but the test's, is tested and exported."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from data.source import Split, find_source
from data.texts import load_test_texts
from models.export import load_model
from models.training.config import TrainingConfig
from models.training.scores import accuracy
from models.training.trainer import EpochResult, best_epoch
from preprocessing.prepared import PreparedTexts
from study.command_line import run_command
from study.configuration import FIRST_REFIT, StudyConfig
from study.report import app
from study.run import app as run_app
from study.storage.studies import load_configuration
from study.trials.repeats import FIRST_CONFIRMING, prepare_repeat
from study.workers.display import describe_trial

Capture = pytest.CaptureFixture[str]
QUICK = ("--top", "1", "--seeds", "2", "--workers", "1")


def report(*arguments: str) -> int:
    return run_command(app, list(arguments))


def test_refits_on_all_texts_but_the_tests_are_tested_and_exported(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    assert report(*QUICK, "--refit") == 0
    printed = capsys.readouterr().out
    assert "up to 4 training runs" in printed
    assert "the average of 2 refits of the default configuration, on all texts but the test's, with nothing" in printed
    assert "the exported model, trained on all texts but the test's, is" in printed
    trials = toy.load("toy-lstm/confirmation").trials
    refits = [trial for trial in trials if "on all texts" in describe_trial(trial)]
    assert [trial.user_attrs["epochs"] for trial in refits] == [3, 3]  # all that were asked for
    found = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    assert found["model"]["trainings"] == [trial.number for trial in refits]
    assert found["test"]["refitted_baseline"]["macro_f1"]["value"] > 0.8
    assert found["command"]["report"].endswith("--refit")
    classifier = load_model(toy.folder / "reports/toy-lstm/model")
    assert {member.temperature for member in classifier.members} == {np.mean(temperatures(toy))}
    texts = load_test_texts(Split(find_source("toy.csv")[0]), cache_dir=toy.folder)
    predictions = classifier.predict(texts.texts)
    assert accuracy(np.array(texts.labels.to_pylist(), object), predictions) == found["model"]["accuracy"]
    command = found["command"]["report"]
    assert report(*QUICK, "--single") == 0
    found = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    assert found["command"]["report"] == command.replace("--refit", "--single")
    assert report(*QUICK, "--no-refit") == 0  # the validated ones, whose predictions are stored
    assert "opened once" in capsys.readouterr().out
    found = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    assert not set(found["model"]["trainings"]) & {trial.number for trial in refits}
    assert "refitted_baseline" not in found["test"]


def test_a_linear_model_is_refitted_unless_the_last_report_was_without(toy: Any, capsys: Capture) -> None:
    search = ("--data", "toy.csv", "--model", "linear", "--trials", "1", "--workers", "1")
    assert run_command(run_app, [*search]) == 0
    assert report(*QUICK, "--no-refit") == 0
    assert "refit" not in capsys.readouterr().out
    assert report(*QUICK) == 0
    printed = capsys.readouterr().out
    assert "As in the last report: --no-refit." in printed
    assert "trained on all texts" not in printed
    found = json.loads((toy.folder / "reports/toy-linear/best_params.json").read_text())
    assert found["command"]["report"].endswith("--no-refit")
    assert run_command(run_app, [*search, "--name", "another"]) == 0
    assert report(*QUICK, "--name", "another") == 0
    assert "the exported model, trained on all texts but the test's, is" in capsys.readouterr().out
    found = json.loads((toy.folder / "reports/another/best_params.json").read_text())
    assert "refit" not in found["command"]["report"]
    assert len(found["model"]["trainings"]) == 1  # others would be the same
    opened = toy.load("another/confirmation").user_attrs["openings"]
    assert report(*QUICK, "--name", "another", "--single") == 0  # of the validated training runs
    assert report(*QUICK, "--name", "another") == 0
    assert "the exported model, trained on all texts but the test's, is" in capsys.readouterr().out
    assert toy.load("another/confirmation").user_attrs["openings"] == opened


@pytest.mark.usefixtures("toy")
def test_a_part_of_the_texts_is_not_refitted(capsys: Capture) -> None:
    search = ("--data", "toy.csv", "--model", "linear", "--trials", "1", "--workers", "1")
    assert run_command(run_app, [*search, "--max-training-texts", "60"]) == 0
    capsys.readouterr()
    assert report(*QUICK, "--refit") == 2
    assert "--max-training-texts on a part: leave --refit out" in capsys.readouterr().err
    assert report(*QUICK) == 0
    assert "refit" not in capsys.readouterr().out


def temperatures(toy: Any) -> list[float]:
    """Those of the winner's validated training runs, as they are stored."""
    attributes = toy.load("toy-lstm/confirmation").user_attrs
    (results,) = (stored for name, stored in attributes.items() if name.startswith("test_results"))
    return list(results["systems"][0]["probabilities"]["temperatures"])


def test_refits_are_added_to_a_report_without_predicting_the_rest_again(
    toy: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    toy.searched("--trials", 1)
    assert report(*QUICK) == 0
    before = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())["test"]
    monkeypatch.delattr("study.confirmation.holdout._predict_validated")
    assert report(*QUICK, "--refit") == 0
    after = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())["test"]
    assert after["winner"] == before["winner"]
    assert after["ensemble"] != before["ensemble"]
    capsys.readouterr()
    assert report(*QUICK) == 0
    assert "As in the last report: --refit." in capsys.readouterr().out


def test_a_refit_that_fails_is_named_and_what_was_validated_is_exported(
    toy: Any, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def prepare(configuration: StudyConfig, repeat: int | None, *, in_words: bool = False) -> PreparedTexts:
        if repeat is not None and repeat >= FIRST_REFIT:
            raise ValueError("no memory left")
        return prepare_repeat(configuration, repeat, in_words=in_words)

    toy.searched("--trials", 1)
    monkeypatch.setattr("study.trials.repeats.prepare_repeat", prepare)
    assert report(*QUICK, "--refit") == 0
    assert "Not all refits on all texts but the test's could be trained" in capsys.readouterr().out
    page = (toy.folder / "reports/toy-lstm/report.md").read_text()
    assert "no memory left" in page
    assert "averages the probabilities of these 2 training runs" in page


def test_a_trial_on_all_texts_is_judged_by_its_last_epoch() -> None:
    scores = (0.1, 0.2, 0.9, 0.8)
    curve = [EpochResult(epoch, 1.0, 1.0, score, score, 1.0, torch.zeros(1)) for epoch, score in enumerate(scores)]
    config = TrainingConfig(epochs=4)
    assert best_epoch(curve, config).epoch == 2
    assert best_epoch(curve, config, keep_last=True).epoch == 3


def test_refits_have_all_texts_but_the_tests(toy: Any) -> None:
    toy.searched("--trials", 1)
    configuration = load_configuration(toy.load())
    usual, whole = (prepare_repeat(configuration, repeat) for repeat in (FIRST_CONFIRMING, FIRST_REFIT))
    assert len(whole.training) == len(usual.training) + len(usual.validation)
