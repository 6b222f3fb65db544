"""What is drawn depends on the seed and the number of a trial, not on interruptions; what is pruned, on its value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from study.configuration import SamplerName
from study.sampling import make_pruner, make_sampler
from study.signals import Interrupted
from study.storage.connection import RetryingStorage, close_storage, open_storage
from study.storage.trial_queue import TrialQueue
from study.workers.loop import run_trials

SPACE = {name: FloatDistribution(0, 1) for name in "abc"}
TRIALS = 14  # of which TPE draws some together


def run(storage: RetryingStorage, name: str, sampler: SamplerName) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    study.sampler = make_sampler(sampler, seed=0)
    queue = TrialQueue(study, storage, Path())
    run_trials(queue, SPACE, lambda trial, _: trial.params["a"], trials=TRIALS, deadline=float("inf"), on_change=list)
    return study


def interrupt_after(calls: int, original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        original(*arguments, **options)
        calls -= 1
        if calls == 0:
            raise Interrupted

    return call


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("calls", [1, 4, 5, 31, 38])
def test_a_claim_that_is_cut_short_between_two_parameters_goes_on_with_the_same_ones(
    calls: int, sampler: SamplerName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    whole = run(storage, "whole", sampler)
    monkeypatch.setattr(RetryingStorage, "_set_trial_param", interrupt_after(calls, RetryingStorage._set_trial_param))
    with pytest.raises(Interrupted):
        run(storage, "parts", sampler)
    monkeypatch.undo()
    storage.retry_seconds = 1
    parts = run(storage, "parts", sampler)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]
    assert [trial.number for trial in parts.trials] == list(range(TRIALS))
    close_storage(storage)


def is_pruned(reported: list[float], *, complete: int = 5) -> bool:
    """Whether a trial that has reported these is pruned, among complete trials that were worth 0.5 at every epoch."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner("median"))
    steps = dict.fromkeys(range(7), 0.5)
    study.add_trials([create_trial(value=0.5, intermediate_values=steps, state=TrialState.COMPLETE)] * complete)
    trial = study.ask()
    for epoch, value in enumerate(reported):
        trial.report(value, epoch)
    return trial.should_prune()


@pytest.mark.parametrize(
    ("reported", "pruned"),
    [
        ([0.9, 0.9, 0.9, 0.9, 0.4], True),  # its early epochs were lucky, and do not count for its value
        ([0.1, 0.1, 0.1, 0.1, 0.6], False),
        ([0.1, 0.5], False),
        ([0.1, 0.4], True),
    ],
)
def test_a_trial_is_pruned_by_what_it_would_be_worth_now(reported: list[float], pruned: bool) -> None:
    assert is_pruned(reported) == pruned


def test_no_trial_is_pruned_after_its_first_epoch_but_it_may_be_after_the_second() -> None:
    assert not is_pruned([0.1])
    assert is_pruned([0.1, 0.1])


def test_no_trial_is_pruned_before_five_are_complete() -> None:
    assert not is_pruned([0.1, 0.1], complete=4)
    assert is_pruned([0.1, 0.1], complete=5)


def test_a_trial_that_has_reported_nothing_and_a_study_without_a_pruner_prune_nothing() -> None:
    assert not is_pruned([])
    study = optuna.create_study(direction="maximize", pruner=make_pruner("none"))
    trial = study.ask()
    trial.report(0.0, 5)
    assert not trial.should_prune()
