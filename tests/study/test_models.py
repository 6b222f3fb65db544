"""Every model as a user meets it: searched, continued, reported side by side, used for prediction."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from data.source import DataSource
from models.export import load_model
from preprocessing.pretrained import PretrainedEncoder
from study.command_line import run_command
from study.configuration import StudyConfig
from study.confirmation.bootstrap import Estimate
from study.confirmation.leaderboard import Outcome, basis, compare, save_outcome
from study.model_settings import DEFAULTS
from study.report import app as report_app
from study.run import app as run_app
from study.storage.attributes import CONFIRMED_IDENTITY
from study.storage.snapshots import snapshot
from study.storage.studies import load_configuration, open_confirmation

Capture = pytest.CaptureFixture[str]
COMMON = ("--data", "toy.csv", "--workers", "1", "--max-tokens", "20")
OPTIONS = {
    "lstm": ("--epochs", "2"),
    "cnn": ("--model", "cnn", "--epochs", "2"),
    "linear": ("--model", "linear"),
    "bert-frozen": ("--model", "bert"),
    "bert-lora": ("--model", "bert", "--strategy", "lora", "--epochs", "1", "--max-training-texts", "40"),
}


def options_of(variant: str, encoder: PretrainedEncoder) -> tuple[str, ...]:
    return OPTIONS[variant] + (("--bert-model", str(encoder.folder)) if variant.startswith("bert") else ())


def run(*arguments: str) -> int:
    return run_command(run_app, [*COMMON, *arguments])


@pytest.mark.parametrize("variant", OPTIONS)
@pytest.mark.parametrize("space", ["default", pytest.param("wide", marks=pytest.mark.slow)])
def test_every_model_can_be_searched_and_continued(
    variant: str, space: str, toy: Any, tiny_encoder: PretrainedEncoder, capsys: Capture
) -> None:
    options = (*options_of(variant, tiny_encoder), "--space", space, "--sampler", "random")
    assert run("--trials", "1", *options) == 0
    assert run("--trials", "3", *options) == 0
    trials = toy.load(name=f"toy-{variant}").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3, [trial.user_attrs for trial in trials]
    assert len(trials[0].params) == 2 if space == "default" else len(trials[0].params) > 2
    assert run("--trials", "3", *options, "--seed", "1") == 2
    assert "--seed 0, now it is 1" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_studies_of_one_database_are_reported_side_by_side(tiny_encoder: PretrainedEncoder, capsys: Capture) -> None:
    variants = ("cnn", "linear", "bert-frozen")
    for variant in variants:
        assert run("--trials", "2", *options_of(variant, tiny_encoder)) == 0
    assert run("--trials", "1", "--epochs", "1", "--metric", "accuracy", "--name", "another_metric") == 0
    assert run("--trials", "1", "--epochs", "1", "--split-seed", "3", "--name", "another split") == 0
    shutil.rmtree("reports", ignore_errors=True)
    capsys.readouterr()
    assert run_command(report_app, ["--output", "one"]) == 2
    assert "--name" in capsys.readouterr().err
    assert run_command(report_app, ["--top", "1", "--seeds", "2", "--workers", "1"]) == 0
    printed = capsys.readouterr().out
    reports = {variant: json.loads(Path(f"reports/toy-{variant}/best_params.json").read_text()) for variant in variants}
    ranked = sorted(variants, key=lambda variant: -reports[variant]["confirmed"]["mean"])
    side_by_side = printed[printed.index("Side by side") :].splitlines()[1:4]
    assert [line.split("  toy-")[1].split()[0] for line in side_by_side] == ranked
    for variant in variants:
        page = Path(f"reports/toy-{variant}/report.md").read_text()
        table = page[page.index("## Side by side") :].split("\n\n")[2]
        assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [f"toy-{one}" for one in ranked]
        assert "opened 4 times, once for each study" in page  # no matter when it was its turn
        assert load_model(Path(f"reports/toy-{variant}/model")).predictions(["court attorney law"]).labels.shape == (1,)
        assert "From best to worst: toy-" in Path(f"reports/toy-{variant}/report.html").read_text()
    assert "Side by side" not in Path("reports/another_metric/report.html").read_text()
    newest = max(Path("reports").glob("toy-*/model/config.json"), key=lambda path: path.stat().st_mtime)
    assert newest.parts[1] == f"toy-{ranked[0]}"


def test_only_studies_of_the_same_texts_are_compared(toy: Any) -> None:
    assert run("--trials", "1", "--model", "linear") == 0
    assert run("--trials", "1", "--model", "linear", "--max-training-texts", "60", "--name", "a part") == 0
    assert run("--trials", "1", "--model", "linear", "--classifier", "logistic_regression", "--name", "logistic") == 0
    study, configuration = toy.load(name="toy-linear"), load_configuration(toy.load(name="toy-linear"))
    assert {one.name for one in compare(study._storage, configuration)} == {"toy-linear", "logistic"}
    confirmation = open_confirmation(study, study._storage, configuration)
    estimate = Estimate(0.5, 0.4, 0.6)
    outcome = Outcome({"C": 1.0}, 0.5, None, 1, 1, 1.0, 9, estimate, estimate)
    save_outcome(confirmation, outcome)
    assert compare(study._storage, configuration)[0].outcome == outcome
    confirmation.set_user_attr(CONFIRMED_IDENTITY, "another study of this name, which is gone")
    assert {one.outcome for one in compare(study._storage, configuration)} == {None}
    before = snapshot(study)
    study.add_trial(create_trial(value=0.5))
    trials = [one.trials for one in compare(study._storage, configuration, {"toy-linear": before})]
    assert trials == [1, 1]
    with_other_seed = replace(configuration, split_seed=1)
    assert compare(study._storage, with_other_seed) == []


def test_studies_with_the_same_test_and_other_training_texts_are_not_compared() -> None:
    source = DataSource("a", "00", "/a.csv", test_path="/test.csv", test_sha256="11")
    sources = [source] + [replace(source, **{name: "another"}) for name in ("sha256", "group_column", "split_column")]
    bases = [basis(StudyConfig(source, "/cache", DEFAULTS["linear"])) for source in sources]
    assert all(bases.count(basis) == 1 for basis in bases)
    assert basis(StudyConfig(replace(source, path="/b.csv"), "/cache", DEFAULTS["linear"])) == bases[0]


def test_a_study_that_cannot_be_reported_on_does_not_prevent_the_reports_of_others(toy: Any, capsys: Capture) -> None:
    toy.csv.rename(toy.csv.with_name("gone.csv"))
    other = toy.csv.with_name("gone.csv")
    assert run_command(run_app, ["--data", "gone.csv", "--model", "linear", "--trials", "1"]) == 0
    other.rename(toy.csv)
    assert run("--trials", "1", "--model", "linear") == 0
    assert run("--trials", "1", "--model", "linear", "--name", "unfinished") == 0
    toy.load(name="unfinished").set_user_attr("trials", 50)
    capsys.readouterr()
    shutil.rmtree(".cache")
    assert run_command(report_app, ["--top", "1", "--seeds", "1", "--workers", "1"]) == 2
    printed = capsys.readouterr()
    assert "Note: study 'unfinished' has finished 1 of 50 trials and is left out." in printed.out
    assert "Note: no report on study 'gone-linear': " in printed.out
    assert printed.err == "Error: There is no report on gone-linear; the reason is above.\n"
    assert [path.name for path in Path("reports").iterdir()] == ["toy-linear"]


def test_a_study_without_a_complete_trial_is_left_out(toy: Any, capsys: Capture) -> None:
    assert run("--trials", "2", "--model", "linear") == 0
    assert toy.run("--trials", 1, "--timeout", 0.001, "--name", "empty") == 0
    toy.load(name="empty").add_trial(create_trial(value=math.inf))  # told by hand
    assert run_command(report_app, ["--no-retrain"]) == 0
    assert "Note: study 'empty' has no complete trial yet and is left out." in capsys.readouterr().out
    assert Path("reports/toy-linear-search/report.html").exists()
