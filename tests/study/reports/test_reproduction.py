"""The command lines of a report: they reproduce it, with every option that affects the result."""

import inspect
import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from models.lstm import LSTMConfig
from study.adaptation import RULES
from study.command_line import run_command
from study.configuration import StudyConfig
from study.model_settings import choose_settings
from study.report import app
from study.reports.contents import search_report
from study.reports.folder import folder_name
from study.reports.reproduction import DEFAULTS, reproduction, search_command
from study.run import run
from study.sampling import PRUNING_RULE
from study.storage.attributes import BESIDE_OTHERS, WORKER
from study.storage.studies import load_configuration

DECIDE_NOTHING = {"timeout", "cluster", "storage", "heartbeat", "cache_dir", "artifact_dir"}
OF_SOME_MODELS = {  # options of some models only, with values that are not the default
    "lstm": {
        "vectors": "glove",
        "vocabulary_size": 100,
        "min_frequency": 5,
        "epochs": 9,
        "patience": 8,
        "precision": "bfloat16",
        "budget_texts": 5_000,
    },
    "linear": {"classifier": "logistic_regression", "vocabulary_size": 100, "min_frequency": 5},
    "bert": {
        "strategy": "full",
        "bert_model": "some/encoder",
        "epochs": 9,
        "patience": 8,
        "precision": "float32",
        "budget_texts": 5_000,
    },
}


@pytest.mark.slow
def test_the_command_of_best_params_reproduces_the_study_in_an_empty_folder(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ("--name", "-my study", "--split-seed", 3, "--seed", 7, "--metric", "accuracy", "--max-tokens", 15)
    assert toy.run("--trials", 6, *odd) == 0
    assert run_command(app, ["--no-retrain", "--output", "report"]) == 0
    found = json.loads((toy.folder / "report" / "best_params.json").read_text())
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "optuna", "numpy"} <= found["versions"].keys()
    empty = toy.folder / "empty"
    empty.mkdir()
    shutil.copy(toy.csv, empty)
    words = shlex.split(found["command"]["search"])
    assert words[:3] == ["python", "-m", "study.run"]
    subprocess.run([sys.executable, *words[1:]], cwd=empty, check=True, capture_output=True)
    table = toy.table(name="-my study")
    assert len(table) == 6
    assert replace(toy, csv=empty / "toy.csv").table(name="-my study") == table
    assert found["command"]["report"] == "python -m study.report --no-retrain"
    monkeypatch.chdir(empty)
    assert run_command(app, shlex.split(found["command"]["report"])[3:]) == 0
    again = json.loads((empty / "reports" / f"{folder_name('-my study')}-search" / "best_params.json").read_text())
    assert again == found
    for page in ("report.html", "report.md"):
        content = (toy.folder / "report" / page).read_text()
        assert "--trials 6 --workers 1 --data toy.csv" in content
        assert str(toy.folder) not in content


@pytest.fixture
def configuration(toy: Any) -> StudyConfig:
    assert toy.run("--trials", 1) == 0
    return load_configuration(toy.load())


def test_the_defaults_that_are_left_out_are_those_of_the_command() -> None:
    parameters = inspect.signature(run).parameters
    shared = DEFAULTS.keys() & parameters.keys() - {"name", "cache_dir", "artifact_dir"}
    assert shared >= {"label_column", "text_column", "split_seed", "space", "sampler", "pruner", "seed", "device"}
    assert {option: DEFAULTS[option] for option in shared} == {option: parameters[option].default for option in shared}


@pytest.mark.parametrize("model", OF_SOME_MODELS)
def test_every_option_that_affects_the_result_is_in_the_command(configuration: StudyConfig, model: Any) -> None:
    options = {"max_training_texts": 90, "metric": "accuracy", "seed": 2, "max_tokens": 7, **OF_SOME_MODELS[model]}
    options |= {} if model == "bert" else {"truncate": "tail"}
    other = replace(
        configuration,
        source=replace(
            configuration.source,
            label_column="a",
            text_column="b c",
            separator=";",
            encoding="cp1252",
            header=False,
            split_column="side",
            group_column="author",
            test_path="/somewhere/test.csv",
        ),
        base=choose_settings(model, options),
        split_seed=4,
        space="wide",
        sampler="random",
        pruner="none",
        seed=2,
        device="cpu",
    )
    words = shlex.split(search_command(optuna.create_study(study_name="another name"), other))
    told = {word[2:].removeprefix("no-").replace("-", "_") for word in words if word.startswith("--")}
    foreign = {option for others in OF_SOME_MODELS.values() for option in others} - options.keys()
    usual = {"model"} if model == "lstm" else {"truncate"} if model == "bert" else set()
    assert told == set(inspect.signature(run).parameters) - DECIDE_NOTHING - foreign - usual
    assert words[words.index("--text-column") + 1] == "b c"
    for option, value in options.items():
        assert words[words.index(f"--{option.replace('_', '-')}") + 1] == str(value)


def test_a_field_without_an_option_is_reported_and_left_out_of_the_command(
    toy: Any, configuration: StudyConfig
) -> None:
    base = configuration.base
    old = replace(configuration, base=replace(base, model=replace(base.model, embedding_dropout=0.25)))  # type: ignore[call-arg]
    told = reproduction(toy.load(), old, retrain=False, rules=RULES)
    assert told.search == search_command(toy.load(), configuration)
    assert "gives a different study" in told.about
    assert isinstance(base.model, LSTMConfig)
    assert f"embedding_dropout was 0.25 and is {base.model.embedding_dropout} now" in told.about
    assert "bit for bit" not in told.about


def test_no_reproduction_is_promised_for_a_study_started_under_another_pruning_rule(
    toy: Any, configuration: StudyConfig
) -> None:
    study = toy.load()
    assert "pruning rule" not in reproduction(study, configuration, rules=RULES).versions
    before = dict(study.user_attrs["fingerprint"])
    del before["environment.pruning rule"]
    study.set_user_attr("fingerprint", before)
    told = reproduction(study, configuration, rules=RULES)
    assert "gives a different study" in told.about
    assert f"pruning rule was 1 and is {PRUNING_RULE} now" in told.about
    assert "bit for bit" in reproduction(study, replace(configuration, pruner="none"), rules=RULES).about


def test_the_same_bits_are_promised_for_a_cpu_only(toy: Any, configuration: StudyConfig) -> None:
    study = toy.load()
    study.set_user_attr("fingerprint", {**study.user_attrs["fingerprint"], "environment.device": "cuda"})
    assert reproduction(study, configuration, rules=RULES).about.endswith(
        "this repeats the search, but not bit for bit: only a CPU promises that."
    )


def test_options_with_their_default_values_are_left_out(toy: Any, configuration: StudyConfig) -> None:
    assert search_command(toy.load(), configuration) == (
        "python -m study.run --trials 1 --workers 1 --data toy.csv --epochs 3 --max-tokens 20 --min-frequency 1 "
        "--precision float32"
    )
    told = reproduction(toy.load(), configuration, seeds=5, rules=RULES)
    assert told.report == "python -m study.report --seeds 5"
    assert "the same trials, bit for bit" in told.about


SEVERAL = "several workers ran this study together"


@pytest.mark.parametrize(
    ("gap", "attributes", "state", "sentence"),
    [
        (1, {}, TrialState.COMPLETE, "bit for bit"),
        (-1, {}, TrialState.COMPLETE, SEVERAL),
        (1, {BESIDE_OTHERS: True}, TrialState.COMPLETE, SEVERAL),  # interrupted, then started again one after the other
        (1, {}, TrialState.WAITING, "1 trial of this study had not finished"),
        (1, {WORKER: None}, TrialState.COMPLETE, "trial 3 of this study was added or queued by hand"),
    ],
)
def test_no_reproduction_is_promised_for_unfinished_trials_or_those_of_several_workers(
    gap: int, attributes: dict[str, Any], state: TrialState, sentence: str, configuration: StudyConfig
) -> None:
    study = optuna.create_study(direction="maximize")
    environment = {"environment.device": "cpu", "environment.torch": "1", "environment.pruning rule": PRUNING_RULE}
    study.set_user_attr("fingerprint", environment)
    for number in range(3):
        trial = create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs={WORKER: "machine"})
        trial.datetime_start = datetime(2026, 1, 1) + timedelta(seconds=10 * number)
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=10 - gap)
        study.add_trial(trial)
    study.add_trial(
        create_trial(
            state=state,
            value=0.5 if state == TrialState.COMPLETE else None,
            user_attrs={WORKER: "machine"} | attributes,
        )
    )
    told = reproduction(study, configuration, retrain=False, rules=RULES)
    assert sentence in told.about
    assert told.versions == {"torch": "1"}


def test_what_the_texts_decide_is_not_called_changed_when_they_are_gone(toy: Any, configuration: StudyConfig) -> None:
    assert "different study" in reproduction(toy.load(), configuration, rules=()).about
    assert "bit for bit" in reproduction(toy.load(), configuration, rules=None).about
    base = configuration.base
    old = replace(configuration, base=replace(base, training=replace(base.training, gradient_norm=2.0)))
    assert "gradient_norm was 2.0" in reproduction(toy.load(), old, rules=None).about


def test_a_report_knows_what_the_texts_have_decided(toy: Any, configuration: StudyConfig) -> None:
    told = search_report(toy.load(), configuration, Console(quiet=True)).reproduction
    assert "bit for bit" in told.about
    assert "--min-frequency 1" in told.search
