"""Fresh seeds for the best configurations: what is trained, what is reused, and what happens if a training fails."""

import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from io import StringIO
from typing import Any

import pytest
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from rich.console import Console

from study.confirmation.confirm import Confirmation, confirmed_search
from study.errors import StudyError
from study.storage.attributes import REPEAT
from study.storage.studies import load_configuration
from study.trials.objective import run_trial
from study.trials.repeats import FIRST_CONFIRMING, load_weights, prepare_repeat

URL = "sqlite:///study.db"
Confirming = Callable[..., AbstractContextManager[Confirmation]]


def confirm(**options: int) -> tuple[Confirmation, str]:
    """The confirmation, and what was printed."""
    text = StringIO()
    with confirmed_search(URL, "toy-lstm", workers=1, console=Console(file=text, width=500), **options) as found:
        return found, text.getvalue()


def repeats_of(trials: Sequence[FrozenTrial]) -> list[int]:
    return [trial.user_attrs[REPEAT] for trial in trials]


def test_the_ranking_and_the_confirmation_use_different_repeats(toy: Any) -> None:
    toy.searched("--trials", 6)
    search = toy.load()
    configuration = load_configuration(search)
    found, printed = confirm(top=3, seeds=2)
    best = sorted((trial for trial in search.trials if trial.state == TrialState.COMPLETE), key=lambda t: -t.value)
    ranked = {str(one.candidate.parameters): one for one in found.ranking}
    assert ranked.keys() == {str(trial.params) for trial in best[:3]}
    assert sorted(len(one.trials) for one in found.ranking) == [1, 2, 2]
    assert [repeats_of(one.trials) for one in found.ranking[:2]] == [[0, 1]] * 2
    assert found.winner.candidate == found.ranking[0].candidate
    for one in found.compared:
        assert repeats_of(one.trials) == [FIRST_CONFIRMING, FIRST_CONFIRMING + 1]
        assert [trial.user_attrs["training_seed"] for trial in one.trials] == [11, 12]  # the search's is 0
        assert one.mean == pytest.approx(sum(trial.value for trial in one.trials) / 2)
    assert found.winner.optimism == pytest.approx(found.winner.candidate.trial.value - found.winner.mean)
    assert "The best 3 configurations are ranked in 2 rounds; then the winner and the default" in printed
    assert "up to 9 training runs" in printed
    weights = {int(file.stem) for file in toy.folder.glob(".cache/checkpoints/*/*.safetensors")}
    assert weights == {trial.number for one in found.compared for trial in one.trials}
    validations = [prepare_repeat(configuration, repeat).validation.token_ids.tolist() for repeat in (0, 1, 10, 11)]
    assert len({str(texts) for texts in validations}) == 4


def test_a_second_confirmation_trains_only_what_is_missing(toy: Any) -> None:
    toy.searched("--trials", 4)
    first, _ = confirm(top=2, seeds=1)
    again, printed = confirm(top=2, seeds=1)
    assert (again.ranking, again.compared) == (first.ranking, first.compared)
    assert printed == ""
    before = len(toy.load(name="toy-lstm/confirmation").trials)
    more, printed = confirm(top=2, seeds=3)
    assert more.ranking == first.ranking
    assert [one.trials[:1] for one in more.compared] == [one.trials for one in first.compared]
    assert len(toy.load(name="toy-lstm/confirmation").trials) == before + 2 * len(first.compared)
    assert "Round" not in printed
    toy.load().add_trial(create_trial(value=0.5))  # by a search that goes on meanwhile
    assert len(more.search.trials) == 4


@pytest.mark.slow
def test_a_later_confirmation_uses_no_fewer_seeds_than_the_last_one_or_the_default(toy: Any) -> None:
    toy.searched("--trials", 2)
    first, _ = confirm(top=1, seeds=4)
    again, printed = confirm(top=1)
    assert again.compared == first.compared
    assert printed == "As in the last report: --seeds 4.\n"
    confirm(top=1, seeds=1)
    assert {len(one.trials) for one in confirm(top=1)[0].compared} == {3}


@pytest.mark.slow
def test_a_smaller_confirmation_does_not_train_what_an_interrupted_one_has_queued(toy: Any) -> None:
    toy.searched("--trials", 2)
    first, _ = confirm(top=1, seeds=1)
    confirmation = toy.load(name="toy-lstm/confirmation")
    for repeat in (17, 18):
        confirmation.enqueue_trial(first.winner.candidate.parameters, user_attrs={REPEAT: repeat})
    assert confirm(top=1, seeds=1)[1] == ""
    more, _ = confirm(top=1, seeds=2)
    assert {len(one.trials) for one in more.compared} == {2}
    states = {trial.user_attrs[REPEAT]: trial.state for trial in toy.load(name="toy-lstm/confirmation").trials}
    assert (states[17], states[18]) == (TrialState.FAIL, TrialState.FAIL)
    most, _ = confirm(top=1, seeds=9)  # requested again, they are trained
    assert {len(one.trials) for one in most.compared} == {9}


def test_a_second_report_on_a_study_at_the_same_time_is_refused(toy: Any, confirming: Confirming) -> None:
    toy.searched("--trials", 1)
    with (
        confirming(top=1, seeds=1) as found,
        pytest.raises(StudyError, match="Another report on this study is running"),
        confirming(top=1, seeds=2),
    ):
        pytest.fail("It was let in.")
    assert len(confirm(top=1, seeds=2)[0].winner.trials) == 2
    assert len(found.winner.trials) == 1


def fail_first(monkeypatch: pytest.MonkeyPatch, fails: Callable[[Trial], bool], *, times: int) -> None:
    """Let each training run for which `fails` is true fail this many times."""
    failed = Counter[tuple[str, int]]()

    def run(trial: Trial, *arguments: Any, **options: Any) -> float:
        training = str(trial.params), trial.user_attrs[REPEAT]
        failed[training] += fails(trial)
        if fails(trial) and failed[training] <= times:
            raise RuntimeError("no memory")
        return run_trial(trial, *arguments, **options)

    monkeypatch.setattr("study.trials.repeats.run_trial", run)


def test_a_training_run_that_fails_is_tried_once_more(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.searched("--trials", 3)
    fail_first(monkeypatch, lambda trial: trial.user_attrs[REPEAT] == 0, times=1)
    found, printed = confirm(top=2, seeds=1)
    assert len(found.ranking) == 2
    assert found.left_out == ()
    assert "Trying once more what has failed." in printed


def test_the_runner_up_replaces_a_winner_that_fails(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.searched("--trials", 5)
    with monkeypatch.context() as patch:
        fail_first(patch, lambda trial: trial.user_attrs[REPEAT] >= FIRST_CONFIRMING, times=9)
        with pytest.raises(StudyError, match="could be trained on all repeats; the last one failed with: RuntimeError"):
            confirm(top=2, seeds=5)  # more failures in a row than a search tolerates
    won = [trial for trial in toy.load(name="toy-lstm/confirmation").trials if trial.user_attrs[REPEAT] == 0]
    best = max(won, key=lambda trial: trial.value).params
    fail_first(monkeypatch, lambda trial: trial.params == best and trial.user_attrs[REPEAT] > 0, times=2)
    second, _ = confirm(top=2, seeds=1)
    assert second.winner.candidate.parameters != best
    assert [(one.candidate.parameters, one.reason) for one in second.left_out] == [(best, "RuntimeError: no memory")]


def test_each_of_two_caches_is_used_with_its_own_weights(toy: Any) -> None:
    """A configuration is trained in one cache, then in another; each holds the weights of its own training run only."""
    toy.searched("--trials", 1)
    first, _ = confirm(top=1, seeds=1)
    here = first.checkpoints
    elsewhere = here.with_name("elsewhere")
    here.rename(elsewhere)
    second, _ = confirm(top=1, seeds=1)
    assert second.winner.trials != first.winner.trials
    shutil.rmtree(here)
    elsewhere.rename(here)
    third, printed = confirm(top=1, seeds=1)
    assert printed == ""
    assert third.winner.trials == first.winner.trials


def test_weights_that_are_damaged_are_trained_again(toy: Any) -> None:
    toy.searched("--trials", 1)
    first, _ = confirm(top=1, seeds=2)
    damaged, kept = first.winner.trials
    file = first.checkpoints / f"{damaged.number}.safetensors"
    bits = file.read_bytes()
    file.write_bytes(bits[:100])
    again, printed = confirm(top=1, seeds=2)
    assert "Confirming the default configuration on 2 further repeats." in printed
    assert again.winner.mean == first.winner.mean
    assert again.winner.trials[1] == kept
    assert (first.checkpoints / f"{again.winner.trials[0].number}.safetensors").read_bytes() == bits
    with pytest.raises(StudyError, match=r"cannot be read.*trained again"):
        load_weights(first.checkpoints, damaged)


def test_configurations_with_the_weights_of_another_training_run_are_trained_again(toy: Any) -> None:
    """This happens when two copies of a database share one cache folder."""
    toy.searched("--trials", 1)
    first, _ = confirm(top=1, seeds=2)
    files = [first.checkpoints / f"{trial.number}.safetensors" for trial in first.winner.trials]
    bits = [file.read_bytes() for file in files]
    for file, others in zip(files, reversed(bits), strict=True):
        file.write_bytes(others)
    with pytest.raises(StudyError, match=r"cannot be read: they are another training's.*trained again"):
        load_weights(first.checkpoints, first.winner.trials[0])
    again, printed = confirm(top=1, seeds=2)
    assert "Confirming the default configuration on 2 further repeats." in printed
    assert again.winner.values == first.winner.values
    kept = [(again.checkpoints / f"{trial.number}.safetensors").read_bytes() for trial in again.winner.trials]
    assert kept == bits


@pytest.mark.slow
def test_several_workers_give_the_same_confirmation_scores(toy: Any) -> None:
    def curves(found: Confirmation) -> list[Any]:
        return [[trial.user_attrs["curve"] for trial in one.trials] for one in (*found.ranking, *found.compared)]

    assert toy.run("--trials", 4) == 0
    text = StringIO()
    with confirmed_search(URL, "toy-lstm", top=2, seeds=2, workers=2, console=Console(file=text)) as found:
        together = curves(found)
    assert text.getvalue().count("Workers: 2 on cpu.") == 1  # they stay from step to step
    trained = toy.load(name="toy-lstm/confirmation").trials
    assert len({trial.user_attrs["worker"] for trial in trained}) == 2
    printed = re.findall(r"^training +(\d+)  ", text.getvalue(), re.MULTILINE)
    assert sorted(map(int, printed)) == [trial.number for trial in trained]
    storage = toy.load()._storage
    storage.delete_study(storage.get_study_id_from_name("toy-lstm/confirmation"))
    assert curves(confirm(top=2, seeds=2)[0]) == together
