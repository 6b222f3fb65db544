"""How many texts a trial reads: chosen by the size of the corpus, or asked for; a continued study keeps its own."""

from dataclasses import replace
from typing import Any

import pytest

from models.lstm import LSTMLearner
from study.command_line import run_command
from study.run import app
from study.storage.attributes import CONFIGURATION

Capture = pytest.CaptureFixture[str]
COMMAND = ("--trials", "1", "--max-tokens", "20", "--workers", "1", "--precision", "float32")


def run(toy: Any, *arguments: object) -> None:
    assert run_command(app, ["--data", str(toy.csv), *COMMAND, *map(str, arguments)]) == 0


def training(toy: Any, name: str = "toy-lstm") -> dict[str, Any]:
    return dict(toy.load(name=name).user_attrs[CONFIGURATION]["base"]["training"])


def test_a_small_corpus_gets_more_epochs_and_a_continued_study_keeps_them(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.model_settings.MOST_EPOCHS", 1.5)
    run(toy)
    assert "Budget: 10 epochs of all 144 training texts (--epochs)." in capsys.readouterr().out
    assert training(toy)["epochs"] == 10
    monkeypatch.setattr("study.model_settings.MOST_EPOCHS", 1)  # as in another version
    run(toy, "--trials", 2)
    assert training(toy)["epochs"] == 10


def test_a_study_that_began_with_another_schedule_keeps_it(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    default = LSTMLearner.defaults[""]
    before = replace(default, training=replace(default.training, schedule="one_cycle"))
    with monkeypatch.context() as context:
        context.setattr(LSTMLearner, "defaults", {"": before})  # as in another version
        run(toy)
    run(toy, "--trials", 2)
    assert training(toy)["schedule"] == "one_cycle"
    run(toy, "--name", "new")
    assert training(toy, "new")["schedule"] == "linear"


def test_an_epoch_of_a_large_corpus_reads_a_part_of_it(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.model_settings.MANY_TEXTS", 40)
    run(toy)
    assert "Budget: 7 epochs of 40 of the 144 training texts (--budget-texts)." in capsys.readouterr().out
    assert training(toy)["budget_texts"] == 280
    curve = toy.load().trials[0].user_attrs["curve"]
    run(toy, "--epochs", 7, "--budget-texts", 280, "--name", "asked")
    assert toy.load(name="asked").trials[0].user_attrs["curve"] == curve
    run(toy, "--budget-texts", 280, "--name", "without epochs")
    assert toy.load(name="without epochs").trials[0].user_attrs["curve"] == curve
    run(toy, "--epochs", 7, "--name", "whole")
    assert training(toy, "whole")["budget_texts"] is None
    assert toy.load(name="whole").trials[0].user_attrs["curve"] != curve


def test_a_number_of_epochs_that_is_asked_for_is_kept(toy: Any) -> None:
    run(toy, "--epochs", 2)
    assert training(toy)["epochs"] == 2


def test_another_budget_that_is_asked_for_is_another_study(toy: Any, capsys: Capture) -> None:
    run(toy, "--budget-texts", 280)
    capsys.readouterr()
    assert run_command(app, ["--data", str(toy.csv), *COMMAND, "--budget-texts", "70"]) == 2
    assert "was started with --budget-texts 280, now it is 70" in capsys.readouterr().err
