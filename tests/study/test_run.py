"""`study.run` as a user meets it: budgets, restarts, refusals and interruptions."""

import inspect
import re
import signal
import subprocess
import sys
import time
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from data.source import DataSource
from models.lstm import LSTMConfig
from models.training import TrainingConfig
from preprocessing.batches import TextLimits
from study.configuration import StudyConfiguration
from study.run import run as run_function
from study.search_space import TrialSettings
from study.stored_study import load_configuration

Capture = pytest.CaptureFixture[str]


def test_a_study_is_run_stored_and_told(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 4) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Data: {toy.csv}: named by --data"
    assert lines[-1] == "Browse: optuna-dashboard sqlite:///study.db"
    assert sum(line.startswith("trial ") for line in lines) == 4
    study = toy.load()
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3]
    assert study.trials[0].params == {"hidden_size": 64, "learning_rate": 5e-3}
    first = study.trials[0]
    assert first.value == pytest.approx(max(first.user_attrs["curve"]["macro_f1"]), abs=1e-6)
    assert first.intermediate_values[2] == first.value
    assert first.user_attrs["training_seed"] == 0
    assert first.user_attrs["threads"] == 1
    best = next(line for line in lines if line.startswith("Best: "))
    assert f"trial {study.best_trial.number}, validation macro-F1 {study.best_value:.4f}" in best


def test_trials_are_counted_in_total_over_restarts(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 2) == 0
    before = toy.table()
    assert toy.run("--trials", 2) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert toy.table() == before
    assert toy.run("--trials", 5) == 0
    assert toy.table()[:2] == before
    assert len(toy.load().trials) == 5


def test_the_same_seed_gives_the_same_table_also_when_run_in_two_parts(toy: Any) -> None:
    sampled = 13  # more than the random ones: TPE has chosen some
    assert toy.run("--trials", sampled, "--storage", "sqlite:///whole.db") == 0
    assert toy.run("--trials", 6, "--storage", "sqlite:///parts.db") == 0
    assert toy.run("--trials", sampled, "--storage", "sqlite:///parts.db") == 0
    whole, parts = (toy.table(file=file) for file in ("whole.db", "parts.db"))
    assert whole == parts
    assert len({str(trial["params"]) for trial in whole}) == sampled


def test_another_seed_gives_another_table(toy: Any) -> None:
    for seed in (0, 1):
        assert toy.run("--trials", 3, "--seed", seed, "--name", f"seed{seed}") == 0
    tables = [toy.table(name=f"seed{seed}") for seed in (0, 1)]
    assert tables[0][0]["params"] == tables[1][0]["params"]  # the default configuration
    assert tables[0][1]["params"] != tables[1][1]["params"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda stop: stop.name)
def test_an_interrupted_study_goes_on_to_the_same_table(stop: signal.Signals, toy: Any) -> None:
    slow = ["--epochs", 12, "--patience", 12]
    process = toy.start("--trials", 500, *slow)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial   0"):
            break
    time.sleep(0.3)  # most likely in the middle of the next trial
    process.send_signal(stop)
    output, _ = process.communicate()
    states = [trial.state for trial in toy.load().trials]
    if stop == signal.SIGKILL:
        assert states.count(TrialState.RUNNING) <= 1
    else:
        assert process.returncode == 130
        assert "To go on: python -m study.run --data toy.csv" in output
        assert TrialState.RUNNING not in states
    trials = len(states) + 1
    assert toy.run("--trials", trials, *slow) == 0
    assert toy.run("--trials", trials, *slow, "--storage", "sqlite:///whole.db") == 0
    assert toy.table() == toy.table(file="whole.db")


def test_when_it_ends_the_database_is_one_whole_file(toy: Any) -> None:
    assert toy.run("--trials", 1) == 0
    assert [path.name for path in toy.folder.glob("study.db*")] == ["study.db"]


def test_a_changed_range_is_named(toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    assert toy.run("--trials", 1) == 0
    narrower = {"hidden_size": IntDistribution(16, 128), "learning_rate": FloatDistribution(1e-4, 3e-2, log=True)}
    monkeypatch.setattr("study.configuration.search_space", lambda *_: narrower)
    assert toy.run("--trials", 2) == 2
    assert "begun with another space hidden_size, 16-256 (log), now it is 16-128" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--epochs", 4], "--epochs 3, now it is 4"),
        (["--split-seed", 1], "--split-seed 0, now it is 1"),
        (["--metric", "accuracy"], "--metric macro_f1, now it is accuracy"),
        (["--space", "wide"], "--space default, now it is wide"),
        (["--seed", 5], "--seed 0, now it is 5"),
        (["--pruner", "none"], "--pruner median, now it is none"),
        (["--max-tokens", 19], "--max-tokens 20, now it is 19"),
    ],
)
def test_a_study_is_not_gone_on_with_as_another_one(
    options: list[object], difference: str, toy: Any, capsys: Capture
) -> None:
    assert toy.run("--trials", 1) == 0
    assert toy.run("--trials", 2, *options) == 2
    error = capsys.readouterr().err
    assert difference in error
    assert "--name" in error
    assert error.count("\n") == 1
    assert len(toy.load().trials) == 1


def test_other_data_under_the_same_name_is_refused(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 1) == 0
    toy.csv.write_text(toy.csv.read_text() + "surgeon,one more\n")
    assert toy.run("--trials", 2) == 2
    assert "begun with other data" in capsys.readouterr().err


def test_another_package_version_only_warns(toy: Any, capsys: Capture) -> None:
    assert toy.run("--trials", 1) == 0
    study = toy.load()
    study.set_user_attr("fingerprint", {**study.user_attrs["fingerprint"], "environment.torch": "1.0"})
    assert toy.run("--trials", 2) == 0
    assert "torch was 1.0 when the study began" in capsys.readouterr().out


def test_paths_are_no_part_of_what_a_study_is(toy: Any) -> None:
    assert toy.run("--trials", 1) == 0
    moved = toy.csv.parent / "elsewhere"
    moved.mkdir()
    toy.csv.rename(moved / "toy.csv")
    assert replace(toy, csv=moved / "toy.csv").run("--trials", 2, "--cache-dir", "other") == 0


def test_the_configuration_can_be_had_from_storage_and_name(toy: Any) -> None:
    assert toy.run("--trials", 1, "--space", "wide", "--split-seed", 7) == 0
    configuration = load_configuration(toy.load())
    assert configuration.source.path == str(toy.csv)
    assert configuration.space == "wide"
    assert configuration.split_seed == 7
    assert configuration.base.training.epochs == 3
    assert Path(configuration.cache_dir) == toy.folder / ".cache"
    assert toy.run("--trials", 1, "--space", "wide", "--split-seed", 7, "--cache-dir", "moved") == 0
    assert Path(load_configuration(toy.load()).cache_dir) == toy.folder / "moved"


def test_the_wide_space_runs(toy: Any) -> None:
    assert toy.run("--trials", 6, "--space", "wide", "--sampler", "random", "--pruner", "none") == 0
    trials = toy.load().trials
    assert all(trial.state == TrialState.COMPLETE for trial in trials)
    assert len(trials[0].params) == 12


def test_a_timeout_begins_no_new_trial(toy: Any) -> None:
    assert toy.run("--trials", 100, "--timeout", 0.5) == 0
    assert 1 <= len(toy.load().trials) < 100


def test_two_processes_do_not_run_one_study(toy: Any, capsys: Capture) -> None:
    process = toy.start("--trials", 500)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            break
    assert toy.run("--trials", 500) == 2
    assert "Another process is running study 'toy-lstm'" in capsys.readouterr().err
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130


BAD_CALLS = [
    (["--trials", "0"], "--trials"),
    (["--trials", "many"], "--trials"),
    (["--epochs", "0"], "--epochs"),
    (["--timeout", "-1"], "--timeout"),
    (["--space", "huge"], "--space"),
    (["--nonsense"], "--nonsense"),
    (["--data", "missing.csv"], "File missing.csv not found"),
    (["--label-column", "nope"], "Column 'nope' not found"),
    (["--storage", "study.db"], "must be a URL such as sqlite:///study.db"),
    (["--storage", "sqlite:///no/such/folder/study.db"], "does not exist"),
    (["--storage", "sqlite://"], "in memory"),
    (["--storage", "oracle://host/db"], "oracle"),
    (["--name", ""], "1 to 255 characters"),
    (["--name", "a\nb"], "printable"),
    (["--storage", "postgresql://localhost:abc/db"], "must be a URL"),
    (["--max-tokens", "9" * 20], "--max-tokens"),
    (["--cache-dir", "toy.csv"], "The cache"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_CALLS, ids=lambda value: " ".join(value)[:40])
def test_a_bad_call_is_one_line_exit_code_2_and_no_database(
    arguments: list[str], message: str, toy: Any, capsys: Capture
) -> None:
    before = set(toy.csv.parent.iterdir())
    assert toy.run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert {path.name for path in set(toy.folder.iterdir()) - before} <= {".cache"}


def test_a_file_that_is_no_database_is_told_and_left_alone(toy: Any, capsys: Capture) -> None:
    other = toy.csv.parent / "study.db"
    other.write_text("my notes, not a database, and long enough to be looked at as one " * 20)
    before = other.read_bytes()
    assert toy.run("--trials", 1) == 2
    assert "file is not a database" in capsys.readouterr().err
    assert other.read_bytes() == before


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
    compared = 0
    source = DataSource("toy", "00")
    study = StudyConfiguration(source, "", TrialSettings(LSTMConfig(), TrainingConfig(), TextLimits()))
    for configuration in (TrainingConfig(), TextLimits(), source, study):
        for field in fields(configuration):
            if field.name in parameters and field.default is not MISSING:
                assert parameters[field.name].default == field.default, field.name
                compared += 1
    assert compared == 15


def test_nothing_that_a_search_leaves_holds_a_word_of_the_test_split(toy: Any, marked_csv: Path) -> None:
    assert toy.run("--trials", 2) == 0
    left = b"".join(path.read_bytes() for path in toy.folder.rglob("*") if path.is_file() and path != marked_csv)
    assert b"surgeon" in left
    assert b"university" in left
    assert b"testword" not in left


def test_a_study_that_is_minimised_is_not_ours(toy: Any, capsys: Capture) -> None:
    optuna.create_study(storage=f"sqlite:///{toy.folder / 'study.db'}", study_name="toy-lstm")
    assert toy.run("--trials", 1) == 2
    assert "was not made by study.run" in capsys.readouterr().err


def test_studies_that_begin_a_database_at_once_all_run(toy: Any) -> None:
    processes = [toy.start("--trials", 1, "--epochs", 1, "--name", name) for name in "abcd"]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    assert sorted(optuna.get_all_study_names(f"sqlite:///{toy.folder / 'study.db'}")) == list("abcd")


def test_a_hangup_does_not_end_what_was_started_with_nohup(toy: Any) -> None:
    program = "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from study.run import *; "
    call = "sys.exit(run_command(app, ['--data', 'toy.csv', '--trials', '3', '--epochs', '3']))"
    process = subprocess.Popen(
        [sys.executable, "-c", program + call], cwd=toy.folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("trial"):
            process.send_signal(signal.SIGHUP)
            break
    process.communicate()
    assert process.returncode == 0
    assert len(toy.load().trials) == 3
