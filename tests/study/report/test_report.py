"""`study.report` as a user meets it: what it writes, what it opens, and what it never leaves half-written."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from markupsafe import escape
from optuna.trial import Trial, TrialState

from study.command_line import run_command
from study.report import app
from study.trials.objective import run_trial

Capture = pytest.CaptureFixture[str]
QUICK = ("--top", "1", "--seeds", "2", "--workers", "1")
FILES = {"report.html", "report.md", "best_params.json", "trials.csv"}
PICTURES = {"history.png", "learning-curves.png", "contour.png"}


def report(*arguments: str) -> int:
    return run_command(app, list(arguments))


def test_a_report_confirms_judges_and_exports_the_winner(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 5)
    capsys.readouterr()
    assert report(*QUICK) == 0
    printed = capsys.readouterr().out
    folder = toy.folder / "reports" / "toy-lstm"
    assert {path.name for path in folder.iterdir()} == FILES | PICTURES | {"model"}
    found = json.loads((folder / "best_params.json").read_text())
    assert found["verdict"] in printed
    assert found["parameters"].keys() == {"hidden_size", "learning_rate"}
    draws = found["confirmed"]["draws"]
    assert found["confirmed"]["mean"] == pytest.approx(sum(draw["value"] for draw in draws) / 2)
    assert "opened once" in printed
    assert 0 <= found["calibration"]["expected_calibration_error"] <= 1
    assert f"the negative log-likelihood {found['calibration']['negative_log_likelihood']:.4f}" in printed
    model = json.loads((folder / "model" / "config.json").read_text())
    assert model["about"]["test"] == {name: found["model"][name] for name in ("accuracy", "macro_f1")}
    assert len(model["members"]) == 2
    assert all(member["temperature"] != 1 for member in model["members"])
    assert len(found["test"]["linear_svm"]["parameters"]["C"]) == 2
    page = (folder / "report.html").read_text()
    assert str(escape(found["verdict"])) in page.replace("\u00a0%", " %")
    assert "<script src=" not in page
    assert len(page.encode()) < 8_000_000
    markdown = (folder / "report.md").read_text()
    assert all(f"]({name})" in markdown for name in PICTURES)
    assert "linear SVM on TF-IDF" in markdown
    table = pd.read_csv(folder / "trials.csv")
    assert list(table["number"]) == [0, 1, 2, 3, 4]
    command = [sys.executable, "-m", "study.predict", "hospital patient surgery clinic doctor"]
    done = subprocess.run(command, cwd=toy.folder, capture_output=True, text=True, check=True)
    assert done.stdout.split("\t")[0] in ("surgeon", "lawyer", "painter")


@pytest.mark.slow
def test_repeating_a_report_does_not_open_the_test_split_again(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 4)
    assert report(*QUICK) == 0
    first = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    capsys.readouterr()
    assert report(*QUICK) == 0
    printed = capsys.readouterr().out
    assert "Predicting the test split" not in printed
    assert json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text()) == first
    shutil.rmtree(toy.folder / ".cache" / "checkpoints")  # with the weights, which are then trained again, bit for bit
    assert report(*QUICK) == 0
    assert "Predicting the test split" not in capsys.readouterr().out
    again = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    assert again.pop("model")["trainings"] != first.pop("model")["trainings"]
    assert again == first


def test_a_second_look_by_the_same_study_is_flagged(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1)
    assert report("--seeds", "1", "--workers", "1") == 0
    assert "Caution" not in capsys.readouterr().out
    assert report("--seeds", "2", "--workers", "1") == 0
    printed = capsys.readouterr().out
    assert "Caution: this test split has been opened 2 times" in printed
    assert "Each look that guides a choice makes its figures more optimistic." in printed
    assert "Caution: this test split" in (toy.folder / "reports/toy-lstm/report.md").read_text()


def test_the_best_baseline_and_a_single_training_to_be_exported_are_chosen_by_validation(
    toy: Any, capsys: Capture
) -> None:
    """The stored results are changed by hand, so that validation and test disagree."""
    toy.searched("--trials", 1)
    assert report("--seeds", "3", "--workers", "1") == 0
    confirmation = toy.load(name="toy-lstm/confirmation")
    (name,) = (name for name in confirmation.user_attrs if name.startswith("test_results"))
    stored = confirmation.user_attrs[name]
    scores = {"majority": [0.99] * 3, "logistic_regression": [0.5] * 3, "linear_svm": [0.7, 1.0, 1.0]}
    for system in stored["systems"]:
        system["validation"] = scores.get(system["name"], system["validation"])
    confirmation.set_user_attr(name, stored)
    capsys.readouterr()
    assert report("--seeds", "3", "--workers", "1") == 0
    assert "the best baseline on validation, majority class" in capsys.readouterr().out
    found = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    assert found["test"]["majority"]["macro_f1"]["value"] < found["test"]["linear_svm"]["macro_f1"]["value"]
    draws = found["confirmed"]["draws"]
    best = max(draws, key=lambda draw: draw["value"])
    assert best["value"] > min(draw["value"] for draw in draws)
    config = json.loads((toy.folder / "reports/toy-lstm/model/config.json").read_text())
    assert len(config["members"]) == 3
    assert [training["draw"] for training in config["about"]["trainings"]] == [draw["draw"] for draw in draws]
    assert report("--seeds", "3", "--workers", "1", "--single") == 0
    config = json.loads((toy.folder / "reports/toy-lstm/model/config.json").read_text())
    assert len(config["members"]) == 1
    assert [training["draw"] for training in config["about"]["trainings"]] == [best["draw"]]


@pytest.mark.slow
def test_the_audit_of_pruning_is_reported_everywhere(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 8)
    capsys.readouterr()
    assert report(*QUICK[:2], "--seeds", "1", "--workers", "1", "--audit", "1") == 0
    printed = capsys.readouterr().out
    folder = toy.folder / "reports" / "toy-lstm"
    found = json.loads((folder / "best_params.json").read_text())
    (audited,) = found["audit"]["trials"]
    assert audited["is_repeated"]
    assert audited["value"] >= audited["value_when_pruned"]
    assert found["command"]["report"] == "python -m study.report --top 1 --seeds 1 --audit 1"
    for told in (printed, (folder / "report.html").read_text(), (folder / "report.md").read_text()):
        assert "The audit of pruning: of " in told
    assert f"| {audited['trial']} | hidden_size=" in (folder / "report.md").read_text()
    assert "on one further repeat, a fresh seed and split" in printed


def test_a_default_configuration_that_fails_on_fresh_repeats_is_left_out_and_reported(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(trial: Trial, *arguments: Any, **options: Any) -> float:
        if trial.params["hidden_size"] == 64:
            raise RuntimeError("no memory")
        return run_trial(trial, *arguments, **options)

    assert toy.run("--trials", 4) == 0
    monkeypatch.setattr("study.trials.repeats.run_trial", run)
    assert report(*QUICK, "--top", "2") == 0  # if the default one is the best, another one has its place
    printed = capsys.readouterr().out
    assert "The default configuration failed on fresh repeats, so that the winner is not compared" in printed
    left_out = "Left out, since training failed on a fresh repeat: hidden_size=64  learning_rate=0.01 (default); "
    assert f"{left_out}RuntimeError: no memory." in printed
    assert "default" not in json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())["test"]


@pytest.mark.slow
def test_the_confirmation_of_an_earlier_study_of_the_same_name_is_not_used(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 2)
    assert report(*QUICK) == 0
    storage = toy.load()._storage
    storage.delete_study(storage.get_study_id_from_name("toy-lstm"))
    assert toy.run("--trials", 2, "--epochs", 2) == 0
    assert report(*QUICK) == 2
    assert "it holds the report of another study of the name 'toy-lstm'" in capsys.readouterr().err
    assert report(*QUICK, "--output", "elsewhere") == 2
    assert "confirms an earlier study of the name 'toy-lstm'" in capsys.readouterr().err


def test_the_search_alone_is_shown_without_opening_anything(toy: Any, marked_csv: Path, capsys: Capture) -> None:
    toy.searched("--trials", 3)
    assert report("--no-retrain", "--output", "elsewhere/here") == 0
    assert "its best value is optimistic" in capsys.readouterr().out
    folder = toy.folder / "elsewhere" / "here"
    assert {path.name for path in folder.iterdir()} == FILES | PICTURES
    left = b"".join(path.read_bytes() for path in toy.folder.rglob("*") if path.is_file() and path != marked_csv)
    assert b"testword" not in left


@pytest.mark.slow
def test_a_reports_best_parameters_reproduce_their_score(toy: Any) -> None:
    toy.searched("--trials", 3)
    assert report(*QUICK) == 0
    found = json.loads((toy.folder / "reports/toy-lstm/best_params.json").read_text())
    (toy.folder / "study.db").rename(toy.folder / "old.db")
    assert toy.run("--trials", 3) == 0
    assert report(*QUICK, "--output", "again") == 0
    again = json.loads((toy.folder / "again/best_params.json").read_text())
    assert again == found


@pytest.mark.parametrize("output", ["mine", "mine/notes.txt", "."])
def test_a_folder_that_is_not_a_report_is_never_replaced(
    output: str, toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.searched("--trials", 1)
    (toy.folder / "mine").mkdir()
    notes = toy.folder / "mine" / "notes.txt"
    notes.write_text("keep")
    assert report("--no-retrain", "--output", output) == 2
    error = capsys.readouterr().err
    assert error.endswith("; name another --output.\n")
    assert "would be replaced" in error
    assert notes.read_text() == "keep"
    notes.unlink()
    with monkeypatch.context() as patch:
        patch.chdir("mine")
        assert report("--no-retrain", "--storage", f"sqlite:///{toy.folder}/study.db", "--output", ".") == 2
        assert "it is where this was started" in capsys.readouterr().err
    assert report("--no-retrain", "--output", "mine") == 0
    assert report("--no-retrain", "--output", "mine") == 0
    assert {path.name for path in (toy.folder / "mine").iterdir()} == FILES | PICTURES


@pytest.mark.slow
def test_an_interrupted_report_leaves_nothing_half_written_and_continues(toy: Any) -> None:
    slow = ("--epochs", 40, "--patience", 40)
    assert toy.run("--trials", 1, *slow) == 0
    command = [sys.executable, "-m", "study.report", *QUICK, "--seeds", "3"]
    process = subprocess.Popen(command, cwd=toy.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    toy.wait_for_running(step=1, name="toy-lstm/confirmation")
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "To continue: python -m study.report" in output
    assert not list(toy.folder.glob("reports/*"))
    assert report(*QUICK, "--seeds", "3") == 0
    trials = toy.load(name="toy-lstm/confirmation").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3


def test_a_study_without_a_complete_trial_is_an_error(toy: Any, capsys: Capture) -> None:
    toy.searched("--trials", 1, "--timeout", 0.001)
    assert report() == 2
    assert "has no complete trial yet" in capsys.readouterr().err
