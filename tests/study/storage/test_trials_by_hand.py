"""Trials that were added to a study by hand: nothing fails because of them, and what is reported of them is true."""

import json
import re
from typing import Any

import optuna
import pandas as pd
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from study.command_line import run_command
from study.report import app as report_app

WIDER = {"hidden_size": IntDistribution(16, 5000, log=True), "learning_rate": FloatDistribution(1e-6, 10, log=True)}
ODD = {"seconds": "abc", "epochs": "many", "curve": [1, 2], "failure": ["a", 1], "number": 77, "state": "X"}
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def add_by_hand(study: optuna.Study) -> None:
    """Add trials with unexpected attributes or without any; the third has the best finite value."""
    inside, outside = {"hidden_size": 32, "learning_rate": 0.02}, {"hidden_size": 4000, "learning_rate": 5.0}
    other = {"depth": 3}, {"depth": IntDistribution(1, 9)}
    study.add_trials(
        [
            create_trial(state=COMPLETE, value=0.2, params=inside, distributions=WIDER, user_attrs=ODD),
            create_trial(state=COMPLETE, value=0.3, params=outside, distributions=WIDER),
            create_trial(state=COMPLETE, value=0.9999, params=other[0], distributions=other[1]),
            create_trial(state=COMPLETE, value=float("inf")),
            create_trial(state=COMPLETE, value=-1.0),
            create_trial(state=PRUNED, params=inside, distributions=WIDER),
            create_trial(state=PRUNED, value=0.1, params=outside, distributions=WIDER),
            create_trial(state=PRUNED, intermediate_values={0: float("nan"), 7: 0.1}),
            create_trial(state=FAIL, params=other[0], distributions=other[1]),
            create_trial(state=FAIL, user_attrs=ODD),
        ]
    )
    study.tell(study.ask(WIDER), 0.4)
    study.tell(study.ask(), state=PRUNED)
    study.tell(study.ask(), state=FAIL)


def test_a_search_and_its_report_cope_with_trials_that_were_added_by_hand(
    toy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.searched("--trials", 3, "--pruner", "none")
    study = toy.load()
    add_by_hand(study)
    study.enqueue_trial({"hidden_size": 0})
    capsys.readouterr()
    assert toy.run("--trials", 18, "--pruner", "none") == 0
    printed = capsys.readouterr().out
    (best,) = re.findall(r"^Best: trial \d+, .*", printed, re.MULTILINE)  # not one without the parameters of a model
    assert "hidden_size=" in best
    assert "0.9999" not in best
    assert "Finished: 18 (" in printed
    assert "`hidden_size` must lie in 16-256 (log), got 0." in printed
    assert "Pruning saved" not in printed
    assert run_command(report_app, ["--no-retrain"]) == 0
    folder = toy.folder / "reports" / "toy-lstm-search"
    found = json.loads((folder / "best_params.json").read_text())
    assert found["search"]["parameters"].keys() == {"hidden_size", "learning_rate"}
    table = pd.read_csv(folder / "trials.csv")
    assert table["number"].tolist() == list(range(18))
    assert set(table["state"]) == {"COMPLETE", "PRUNED", "FAIL"}
    told = (folder / "report.md").read_text()
    assert f"was reached in trial {found['search']['trial']}." in told
    assert "added or queued by hand" in told
    assert "5 workers" not in told
    assert "nan" not in told
    assert "inf" not in told.replace("information", "")


def test_a_study_with_only_trials_that_were_added_by_hand_can_be_reported_on(
    toy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.searched("--trials", 1, "--timeout", 0.001)
    add_by_hand(toy.load())
    assert toy.run("--trials", 13) == 0
    assert "Best: trial " in capsys.readouterr().out
    assert run_command(report_app, ["--no-retrain"]) == 0
