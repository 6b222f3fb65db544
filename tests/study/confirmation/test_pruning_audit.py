"""Pruned trials that are trained to the end: the same trials, each once, and what is said about them."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from study.confirmation.confirm import confirmed_search
from study.confirmation.pruning_audit import Audit, Chosen, audit, choose_pruned
from study.sampling import PRUNING_RULE
from study.storage.attributes import AUDITS, FINGERPRINT
from study.storage.fingerprint import PRUNING

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
SPACE = {"learning_rate": FloatDistribution(0, 1)}


def confirm(**options: int) -> tuple[Audit | None, str]:
    """The audit and the output of a confirmation of the best and the default configuration on one repeat each."""
    text = StringIO()
    console = Console(file=text, width=500)
    with confirmed_search("sqlite:///study.db", "toy-lstm", top=1, seeds=1, console=console, **options) as found:
        return found.audit, text.getvalue()


@pytest.mark.slow
def test_an_audited_trial_starts_like_the_pruned_one_bit_for_bit_and_is_trained_once(toy: Any) -> None:
    toy.searched("--trials", 12)
    pruned = {trial.number for trial in toy.load().trials if trial.state == PRUNED}
    assert len(pruned) > 1
    found, printed = confirm(audits=1, workers=2)
    assert found is not None
    assert "Besides, 1 pruned trial will be finished." in printed
    (one,) = found.audited
    assert one.pruned.number in pruned
    assert not one.is_random
    assert one.pruned.params == one.finished.params
    assert one.finished.user_attrs["training_seed"] == 0
    for name, values in one.pruned.user_attrs["curve"].items():
        assert one.finished.user_attrs["curve"][name][: len(values)] == values
    before, after = one.pruned.intermediate_values, one.finished.intermediate_values
    assert 1 <= len(before) < len(after) == 3
    assert after == {**after, **before, 2: one.finished.value}
    assert one.is_repeated
    weights = {file.stem for file in toy.folder.glob(".cache/checkpoints/*/*.safetensors")}
    confirming = toy.load(name="toy-lstm/confirmation").trials
    assert weights == {str(trial.number) for trial in confirming if AUDITS not in trial.user_attrs}
    again, printed = confirm(audits=1, workers=1)
    assert again == found
    assert "repeat" not in printed
    everything, printed = confirm(audits=100, workers=1)
    assert everything is not None
    assert f"only {len(pruned)} trials pruned, all to be finished" in printed
    assert len(everything.audited) == everything.pruned == len(pruned)
    assert everything.audited[0].finished == one.finished
    assert len(toy.load(name="toy-lstm/confirmation").trials) == len(confirming) + len(pruned) - 1
    assert confirm(audits=0, workers=1)[0] is None


def test_a_search_without_a_pruner_has_nothing_to_audit(toy: Any) -> None:
    toy.searched("--trials", 2, "--pruner", "none")
    found, _ = confirm(audits=2, workers=1)
    assert found is not None
    assert found.audited == ()
    assert found.describe(0.5) == "The audit of pruning: no trial was pruned, so it has cost nothing."


@pytest.mark.slow
def test_an_audit_that_is_killed_continues_to_the_same_curve(toy: Any) -> None:
    toy.searched("--trials", 10, "--epochs", 20, "--patience", 20)
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
    deadline = time.monotonic() + 300  # the machine may be slow, and busy
    while time.monotonic() < deadline:
        time.sleep(0.05)
        with suppress(KeyError, optuna.exceptions.StorageInternalError):
            if any((trial.last_step or 0) > 5 for trial in audits_of(toy)):
                return
    pytest.fail("The audit did not begin.")


def add(
    study: Study,
    state: TrialState,
    value: float | None,
    learning_rate: float,
    *,
    curve: dict[int, float] | None = None,
    **attributes: Any,
) -> None:
    if curve is None:
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
    """Complete: 0.9 (twice the same configuration), 0.8, 0.7; pruned: trials 4, 5, 6 and 7, of which 6 had the most."""
    study = optuna.create_study(direction="maximize")
    for value, learning_rate in ((0.9, 0.1), (0.8, 0.2), (0.9, 0.1), (0.7, 0.3)):
        add(study, COMPLETE, value, learning_rate)
    for number, value in enumerate((0.5, 0.6, 0.65, 0.1), start=4):
        add(study, PRUNED, value, number / 10)
    return study


def finish(search: Study, *values: float | None, top: int) -> Audit:
    """The audit of one trial for each of these values, which are the values that they end with."""
    chosen = choose_pruned(search, SPACE, trials=len(values), seed=0)
    confirmation = optuna.create_study(direction="maximize")
    add(confirmation, COMPLETE, 0.99, 0.1, repeat=0)  # not an audited trial
    for trial, value in zip((*chosen.nearest, *chosen.random), values, strict=True):
        state = FAIL if value is None else COMPLETE
        add(confirmation, state, value, trial.params["learning_rate"], audits=trial.number)
    return audit(search, confirmation, chosen, SPACE, top=top)


def numbers_of(trials: Sequence[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def test_half_of_the_audited_trials_are_nearest_to_being_kept_and_the_others_random(search: Study) -> None:
    chosen = choose_pruned(search, SPACE, trials=3, seed=0)
    assert numbers_of(chosen.nearest) == [6, 5]
    assert len(chosen.random) == 1
    assert set(numbers_of(chosen.random)) < {4, 7}
    drawn = {tuple(numbers_of(choose_pruned(search, SPACE, trials=3, seed=seed).random)) for seed in range(20)}
    assert drawn == {(4,), (7,)}
    assert choose_pruned(search, SPACE, trials=0, seed=0) == Chosen((), ())
    everything = choose_pruned(search, SPACE, trials=9, seed=0)
    assert numbers_of(everything.nearest) == [6, 5]
    assert set(numbers_of(everything.random)) == {4, 7}


def test_nearness_is_the_gap_to_the_score_to_reach_at_the_trials_own_epoch_not_the_score() -> None:
    study = optuna.create_study(direction="maximize")
    for learning_rate in (0.1, 0.2):
        add(study, COMPLETE, 0.9, learning_rate, curve={0: 0.2, 1: 0.9})
    add(study, PRUNED, 0.8, 0.3, curve={0: 0.8, 1: 0.5})  # a lucky first epoch, then 0.4 below the best quarter
    add(study, PRUNED, 0.15, 0.4, curve={0: 0.15})  # 0.05 below
    add(study, PRUNED, 0.6, 0.5, curve={})  # pruned by hand, at no epoch
    chosen = choose_pruned(study, SPACE, trials=4, seed=0)
    assert numbers_of(chosen.nearest) == [3]
    assert numbers_of(chosen.random) == [2]


@pytest.mark.parametrize(
    ("rule", "second_score", "nearest"), [(1, 0.5, 3), (3, 0.5, 3), (4, 0.5, 4), (4, 0.3, 3), (PRUNING_RULE, 0.3, 4)]
)
def test_a_trial_is_near_to_the_score_that_its_studys_own_pruning_rule_asked_for(
    rule: int, second_score: float, nearest: int
) -> None:
    study = optuna.create_study(direction="maximize")
    study.set_user_attr(FINGERPRINT, {PRUNING: rule} if rule > 1 else {})
    # The medians are 0.3 and 0.6, the best thirds begin at 0.5 and 0.603, the best quarters at 0.6 and 0.605.
    for first, second in ((0.1, 0.5), (0.3, 0.6), (0.9, 0.61)):
        add(study, COMPLETE, second, first, curve={0: first, 1: second})
    add(study, PRUNED, 0.25, 0.4, curve={0: 0.25})
    add(study, PRUNED, second_score, 0.5, curve={0: 0.6, 1: second_score})
    assert numbers_of(choose_pruned(study, SPACE, trials=1, seed=0).nearest) == [nearest]


def test_the_rank_is_among_distinct_configurations_and_all_audited_trials(search: Study) -> None:
    found = finish(search, 0.65, 0.85, 0.8, top=2)
    assert [(one.pruned.number, one.rank) for one in found.audited][:2] == [(6, 6), (5, 2)]
    assert found.audited[2].rank == 4  # 0.8 came first in the search
    assert found.into_top == 1
    assert found.describe(0.9).startswith(
        "The audit of pruning: of 4 pruned trials, 3 were trained to the end (the 2 trials that were nearest to the "
        "score to reach, and 1 of the others at random); 1 of them scored above 0.8000, the "
        "lowest score of the search's top 2. Over all pruned trials, that is estimated as 25% (95 % "
        "interval 25% to 50%). "
    )


def test_the_rate_counts_the_nearest_and_estimates_the_rest() -> None:
    study = optuna.create_study(direction="maximize")
    add(study, COMPLETE, 0.9, 0.99)
    for number in range(100):
        add(study, PRUNED, 0.5 - number / 1000, number / 1000)
    ends: list[float | None] = [1.0 if number < 4 or number in (10, 11) else 0.9 for number in range(20)]
    rate = finish(study, *ends, top=6).rate
    assert rate is not None
    assert rate.estimate == pytest.approx((4 + 90 * 2 / 10) / 100)
    assert rate.low == pytest.approx((4 + 90 * 0.02521) / 100, abs=1e-4)  # Clopper & Pearson, 2 of 10
    assert rate.high == pytest.approx((4 + 90 * 0.55610) / 100, abs=1e-4)
    ends[0] = ends[9] = None  # failed ones of the nearest, which no other trial represents
    without = finish(study, *ends, top=6).rate
    assert without is not None
    assert without.estimate == pytest.approx((3 + 90 * 2 / 10) / 98)


def test_when_all_are_audited_the_rate_is_known(search: Study) -> None:
    rate = finish(search, 0.97, 0.1, 0.1, 0.2, top=1).rate
    assert rate is not None
    assert (rate.estimate, rate.low, rate.high) == (0.25, 0.25, 0.25)


def test_the_audit_says_what_pruning_has_cost(search: Study) -> None:
    told = finish(search, 0.65, 0.95, top=3).describe(0.9)
    assert "would have beaten the best of the search, 0.9000, with 0.9500: pruning has cost the" in told
    both = finish(search, 0.97, 0.95, 0.1, 0.2, top=3).describe(0.9)
    assert "2 of them scored above 0.7000, the lowest score of the search's top 3." in both
    assert "Trials 6, 5 would have beaten the best of the search, 0.9000, with up to 0.9700" in both


def test_an_audited_trial_that_fails_has_no_rank_and_is_reported(search: Study) -> None:
    found = finish(search, None, top=3)
    assert found.audited[0].rank is None
    assert found.rate is None
    told = found.describe(0.9)
    assert "none of them scored above 0.7000, the lowest score of the search's top 3" in told
    assert told.endswith("Trial 6 failed on the way.")
