"""`study.run` as a user meets it: what it stores and prints, and what it never touches."""

import inspect
import re
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

import pytest
from optuna.trial import TrialState

from data.source import DataSource
from models.bert import Strategy
from models.learners.learner import Settings
from models.linear import ClassifierName
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from models.training.precision import Precision
from models.training.scores import Metric
from preprocessing.batches import TextLimits
from study.command_line import run_command
from study.configuration import StudyConfig
from study.run import app
from study.run import run as run_function
from study.storage.studies import load_configuration

Capture = pytest.CaptureFixture[str]


def test_a_study_is_run_stored_and_printed(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 4) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Data: {toy.csv}: named by --data"
    assert lines[-1] == "Browse: optuna-dashboard sqlite:///study.db --artifact-dir artifacts"
    assert sum(line.startswith("trial ") for line in lines) == 4
    study = toy.load()
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert study.trials[0].params == {"hidden_size": 64, "learning_rate": 1e-2}
    first = study.trials[0]
    assert first.value == pytest.approx(max(first.user_attrs["curve"]["macro_f1"][1:]), abs=1e-6)  # the settled epochs
    assert first.intermediate_values[2] == first.value
    assert first.user_attrs["training_seed"] == 0
    assert first.user_attrs["threads"] == 1
    best = next(line for line in lines if line.startswith("Best: "))
    assert f"trial {study.best_trial.number}, validation macro-F1 {study.best_value:.4f}" in best


def test_defaults_follow_the_texts_as_long_as_the_study_lives(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 1) == 0
    told = "Defaults for short texts (14.0 words on average): word_dropout 0.1, embedding_dropout 0.3, label_smoothing"
    assert told in capsys.readouterr().out
    first = load_configuration(toy.load())
    assert first.base.limits == TextLimits(max_tokens=20, min_frequency=1)  # the first of them was asked for
    assert toy.run("--trials", 2) == 0
    output = capsys.readouterr().out
    assert told in output
    assert "keeps the settings" not in output
    assert load_configuration(toy.load()) == first
    assert toy.run("--trials", 1, "--name", "asked", "--min-frequency", 2) == 0
    assert "min_frequency 1" not in capsys.readouterr().out
    assert load_configuration(toy.load("asked")).base.limits.min_frequency == 2
    capsys.readouterr()
    assert toy.run("--trials", 2, "--name", "asked") == 0  # as a study of before there were rules
    output = capsys.readouterr().out
    assert "Note: the study keeps the settings that it began with: min_frequency 2 (new studies: 1)." in output
    assert "176 words known of 176" not in output
    assert load_configuration(toy.load("asked")).base.limits.min_frequency == 2
    assert toy.run("--trials", 2, "--min-frequency", 2) == 2
    assert "was started with --min-frequency 1" in capsys.readouterr().err


def test_other_models_follow_no_texts(toy: Any, capsys: Capture) -> None:
    command = ["--data", str(toy.csv), "--model", "linear", "--workers", "1", "--trials"]
    assert run_command(app, [*command, "1", "--min-frequency", "2"]) == 0
    assert "Defaults for" not in capsys.readouterr().out
    assert run_command(app, [*command, "2"]) == 2
    assert "was started with --min-frequency 2" in capsys.readouterr().err


def test_the_configuration_can_be_loaded_from_the_stored_study(toy: Any) -> None:
    toy.searched("--trials", 1, "--space", "wide", "--split-seed", 7)
    configuration = load_configuration(toy.load())
    assert configuration.source.path == str(toy.csv)
    assert configuration.space == "wide"
    assert configuration.split_seed == 7
    assert configuration.base.training.epochs == 3
    assert Path(configuration.cache_dir) == toy.folder / ".cache"
    assert toy.run("--trials", 1, "--space", "wide", "--split-seed", 7, "--cache-dir", "moved") == 0
    assert Path(load_configuration(toy.load()).cache_dir) == toy.folder / "moved"


@pytest.mark.slow
def test_the_wide_space_runs(toy: Any) -> None:
    toy.searched("--trials", 6, "--space", "wide", "--sampler", "random", "--pruner", "none")
    trials = toy.load().trials
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert len(trials[0].params) == 13


def test_help_answers_at_once_with_every_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    command = [sys.executable, "-X", "importtime", "-m", "study.run", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[-1].strip() for line in result.stderr.splitlines()}
    assert not imported & {"torch", "optuna", "pandas", "numpy", "sklearn"}
    for name in inspect.signature(run_function).parameters:
        option = f"--{name.replace('_', '-')} "
        assert re.search(rf"{option}.*(\n[^-]*)*?\[default: ", result.stdout), option


def test_the_options_defaults_are_those_of_the_configurations() -> None:
    parameters = inspect.signature(run_function).parameters
    source = DataSource("toy", "00")
    study = StudyConfig(source, "", Settings(LSTMConfig(), TrainingConfig(), TextLimits()))
    defaults = [
        (field.name, field.default)
        for configuration in (TrainingConfig(), TextLimits(), source, study)
        for field in fields(configuration)
        if field.name in parameters and field.default is not MISSING
    ]
    defaults.remove(("artifact_dir", None))  # the default in studies stored before the field existed
    given = [(name, default) for name, default in defaults if parameters[name].default is not None]
    assert given == [(name, parameters[name].default) for name, _ in given]
    assert len(given) == 11


@pytest.mark.usefixtures("pictures")
def test_no_file_of_a_search_contains_a_word_of_the_test_split(toy: Any, marked_csv: Path) -> None:
    toy.searched("--trials", 2)
    left = b"".join(path.read_bytes() for path in toy.folder.rglob("*") if path.is_file() and path != marked_csv)
    assert b"surgeon" in left
    assert b"university" in left
    assert b"testword" not in left


@pytest.mark.parametrize(
    ("option", "field"),
    [("metric", Metric), ("classifier", ClassifierName), ("strategy", Strategy), ("precision", Precision)],
)
def test_an_option_takes_every_value_of_its_field(option: str, field: Any) -> None:
    parts = get_args(get_type_hints(run_function)[option])  # the values, or an optional literal of them
    assert [value for part in parts if part is not NoneType for value in get_args(part) or [part]] == [*get_args(field)]


def test_a_network_of_before_continues_without_a_bag_of_words(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    study = toy.load()
    configuration, facts = study.user_attrs["configuration"], study.user_attrs["fingerprint"]
    del configuration["base"]["model"]["bag_of_words"], facts["model.bag_of_words"]  # as it was stored then
    study.set_user_attr("configuration", configuration)
    study.set_user_attr("fingerprint", facts)
    assert toy.run("--trials", 2) == 0
    assert "began with: bag_of_words False (new studies: True)." in capsys.readouterr().out
    assert toy.load().user_attrs["configuration"]["base"]["model"]["bag_of_words"] is False
