"""Pruned trials that are trained to their end: the same trials, each once, and what is said of them."""

import signal
import subprocess
import sys
import time
from contextlib import suppress
from io import StringIO
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial
from rich.console import Console

from study.audit import Audit, audit, choose_pruned
from study.confirmation import AUDITS
from study.full_confirmation import confirmed_search

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
SPACE = {"learning_rate": FloatDistribution(0, 1)}


def confirm(**options: int) -> tuple[Audit | None, str]:
    """With the best and the default configuration on one draw each."""
    text = StringIO()
    console = Console(file=text, width=500)
    with confirmed_search("sqlite:///study.db", "toy-lstm", top=1, draws=1, console=console, **options) as found:
        return found.audit, text.getvalue()


@pytest.mark.slow
def test_an_audited_trial_begins_as_the_pruned_one_bit_for_bit_and_is_trained_once(toy: Any) -> None:
    assert toy.run("--trials", 12) == 0
    pruned = sorted((trial for trial in toy.load().trials if trial.state == PRUNED), key=lambda trial: -trial.value)
    assert len(pruned) > 1
    found, printed = confirm(audits=1, workers=2)
    assert found is not None
    assert "Finishing 1 pruned trial on" in printed
    (one,) = found.audited
    assert one.pruned.number == pruned[0].number
    assert one.pruned.params == one.finished.params
    assert one.finished.user_attrs["training_seed"] == 0
    for name, values in one.pruned.user_attrs["curve"].items():
        assert one.finished.user_attrs["curve"][name][: len(values)] == values
    before, after = one.pruned.intermediate_values, one.finished.intermediate_values
    assert len(before) == 2
    assert after == {**before, 2: one.finished.value}
    assert one.is_repeated
    weights = {file.stem for file in toy.folder.glob(".cache/checkpoints/*/*.safetensors")}
    confirming = toy.load(name="toy-lstm/confirmation").trials
    assert weights == {str(trial.number) for trial in confirming if AUDITS not in trial.user_attrs}
    again, printed = confirm(audits=1, workers=1)
    assert again == found
    assert "Confirming" not in printed
    everything, printed = confirm(audits=100, workers=1)
    assert everything is not None
    assert f"only {len(pruned)} trials pruned, all to be finished" in printed
    assert len(everything.audited) == everything.pruned == len(pruned)
    assert everything.audited[0].finished == one.finished
    assert len(toy.load(name="toy-lstm/confirmation").trials) == len(confirming) + len(pruned) - 1
    assert confirm(audits=0, workers=1)[0] is None


def test_of_a_search_without_a_pruner_there_is_nothing_to_audit(toy: Any) -> None:
    assert toy.run("--trials", 2, "--pruner", "none") == 0
    found, _ = confirm(audits=2, workers=1)
    assert found == Audit((), 0, 1)
    assert found.describe(0.5) == "The audit of pruning: no trial was pruned, so it has cost nothing."


@pytest.mark.slow
def test_an_audit_that_is_killed_goes_on_to_the_same_curve(toy: Any) -> None:
    assert toy.run("--trials", 10, "--epochs", 40, "--patience", 40) == 0
    command = [sys.executable, "-m", "study.report", "--top", "1", "--seeds", "1", "--audit", "1", "--workers", "1"]
    process = subprocess.Popen(command, cwd=toy.folder, stdout=subprocess.DEVNULL)
    wait_for_audit(toy)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (interrupted,) = audits_of(toy)
    assert interrupted.state == TrialState.RUNNING
    found, _ = confirm(audits=1, workers=1)
    assert found is not None
    assert found.audited[0].finished.number == interrupted.number
    assert found.audited[0].is_repeated
    storage = toy.load()._storage
    storage.delete_study(storage.get_study_id_from_name("toy-lstm/confirmation"))
    straight, _ = confirm(audits=1, workers=1)
    assert straight is not None
    assert straight.audited[0].finished.user_attrs["curve"] == found.audited[0].finished.user_attrs["curve"]


def audits_of(toy: Any) -> list[Any]:
    return [trial for trial in toy.load(name="toy-lstm/confirmation").trials if AUDITS in trial.user_attrs]


def wait_for_audit(toy: Any) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        time.sleep(0.05)
        with suppress(KeyError, optuna.exceptions.StorageInternalError):
            if any((trial.last_step or 0) > 5 for trial in audits_of(toy)):
                return
    pytest.fail("The audit did not begin.")


def add(study: Study, state: TrialState, value: float | None, learning_rate: float, **attributes: Any) -> None:
    curve = {} if value is None else {0: value}
    study.add_trial(
        create_trial(
            state=state,
            value=value,
            params={"learning_rate": learning_rate},
            distributions=SPACE,
            intermediate_values=curve,
            user_attrs=attributes,
        )
    )


@pytest.fixture
def search() -> Study:
    """Complete: 0.9 (twice the same configuration), 0.8, 0.7; pruned: trials 4, 5, 6 and 7, of which 6 had most."""
    study = optuna.create_study(direction="maximize")
    for value, learning_rate in ((0.9, 0.1), (0.8, 0.2), (0.9, 0.1), (0.7, 0.3)):
        add(study, COMPLETE, value, learning_rate)
    for number, value in enumerate((0.5, 0.6, 0.65, 0.1), start=4):
        add(study, PRUNED, value, number / 10)
    return study


def finish(search: Study, *values: float | None, top: int) -> Audit:
    pruned = choose_pruned(search, trials=len(values))
    confirmation = optuna.create_study(direction="maximize")
    add(confirmation, COMPLETE, 0.99, 0.1, draw=0)  # no audit
    for trial, value in zip(pruned, values, strict=True):
        add(
            confirmation, FAIL if value is None else COMPLETE, value, trial.params["learning_rate"], audits=trial.number
        )
    return audit(search, confirmation, pruned, top=top)


def test_those_with_the_best_score_when_they_were_pruned_are_chosen(search: Study) -> None:
    assert [trial.number for trial in choose_pruned(search, trials=3)] == [6, 5, 4]
    assert choose_pruned(search, trials=0) == []


def test_the_rank_is_that_among_configurations_and_all_that_were_audited(search: Study) -> None:
    found = finish(search, 0.65, 0.85, 0.8, top=2)
    assert [(one.pruned.number, one.rank) for one in found.audited] == [(6, 6), (5, 2), (4, 4)]  # 0.8 was there first
    assert found.into_top == 1
    assert found.describe(0.9) == (
        "The audit of pruning: trained to the end, 1 of 3 pruned trials would have come into the top 2 of the search "
        "(of the 4 pruned ones those that were best when they were pruned). "
        "Trials 5, 4 did not repeat the first epochs bit for bit, as on another machine."
    )


def test_what_pruning_has_cost_is_said(search: Study) -> None:
    told = finish(search, 0.65, 0.95, top=3).describe(0.9)
    assert "Trial 5 would have beaten the best of the search, 0.9000, with 0.9500: pruning has cost the" in told
    both = finish(search, 0.97, 0.95, 0.1, 0.2, top=3).describe(0.9)
    assert "2 of 4 pruned trials would have come into the top 3 of the search (all that the search has pruned)." in both
    assert "Trials 6, 5 would have beaten the best of the search, 0.9000, with up to 0.9700" in both


def test_an_audited_trial_that_fails_has_no_rank_and_is_told(search: Study) -> None:
    found = finish(search, None, top=3)
    assert found.audited[0].rank is None
    told = found.describe(0.9)
    assert "none of 1 pruned trial would have come into the top 3" in told
    assert told.endswith("Trial 6 failed on the way.")
