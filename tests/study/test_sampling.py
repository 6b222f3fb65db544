"""What is drawn depends on the seed and the trial number, not on interruptions; what is pruned depends on its value."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from models.training.config import TrainingConfig
from study.choices import PrunerName, SamplerName
from study.sampling import RANDOM_TRIALS_BEFORE_TPE, make_pruner, make_sampler
from study.signals import Interrupted
from study.storage.connection import close_storage, open_storage
from study.storage.retrying import RetryingStorage
from study.storage.trial_queue import TrialQueue
from study.workers.loop import run_trials

SPACE = {name: FloatDistribution(0, 1) for name in "abc"}
DEFAULT = TrainingConfig()
TRIALS = 14  # enough for TPE to draw some of them


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
def test_a_claim_interrupted_between_two_parameters_continues_with_the_same_ones(
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


def sample(sampler: SamplerName, worth: Callable[[float], float]) -> list[dict[str, float]]:
    """The parameters of trials whose value is this function of their parameter a."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler(sampler, seed=0))
    for _ in range(RANDOM_TRIALS_BEFORE_TPE + 4):
        trial = study.ask(SPACE)
        study.tell(trial, worth(trial.params["a"]))
    return [trial.params for trial in study.trials]


def test_a_random_sampler_learns_nothing_from_values_and_tpe_does_after_ten_trials() -> None:
    assert sample("random", lambda a: a) == sample("random", lambda a: -a)
    rising, falling = sample("tpe", lambda a: a), sample("tpe", lambda a: -a)
    assert rising[:RANDOM_TRIALS_BEFORE_TPE] == falling[:RANDOM_TRIALS_BEFORE_TPE]
    assert all(one != other for one, other in zip(rising[10:], falling[10:], strict=True))


def draw_beside(state: TrialState) -> dict[str, float]:
    """What TPE draws after trials that have ended and four others in this state."""
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", seed=0))
    ended = [
        {name: (number * step) % 1 for name, step in zip(SPACE, (0.3, 0.7, 0.9), strict=True)} for number in range(12)
    ]
    study.add_trials([create_trial(params=one, distributions=SPACE, value=one["a"]) for one in ended])
    others = [{"a": 0.99, "b": 0.1 * number, "c": 0.5} for number in range(4)]
    study.add_trials([create_trial(params=one, distributions=SPACE, state=state) for one in others])
    return study.ask(SPACE).params


def test_tpe_keeps_away_from_what_other_workers_are_trying() -> None:
    assert draw_beside(TrialState.RUNNING) != draw_beside(TrialState.FAIL)


def test_tpe_draws_all_parameters_together() -> None:
    study = optuna.create_study(direction="maximize", sampler=make_sampler("tpe", seed=0))
    study.add_trials([create_trial(params=dict.fromkeys(SPACE, 0.5), distributions=SPACE, value=0.5)] * 12)
    assert study.sampler.infer_relative_search_space(study, study.ask()._cached_frozen_trial).keys() == SPACE.keys()


def is_pruned(
    reported: list[float], *, complete: int = 5, pruner: PrunerName = "percentile", training: TrainingConfig = DEFAULT
) -> bool:
    """Whether a trial that has reported these values is pruned, if complete trials had 0.1, 0.2 ... at every epoch."""
    study = optuna.create_study(direction="maximize", pruner=make_pruner(pruner, training))
    for number in range(1, complete + 1):
        steps = dict.fromkeys(range(training.epochs), number / 10)
        study.add_trial(create_trial(value=number / 10, intermediate_values=steps, state=TrialState.COMPLETE))
    trial = study.ask()
    for epoch, value in enumerate(reported):
        trial.report(value, epoch)
    return trial.should_prune()


@pytest.mark.parametrize(
    ("reported", "pruned"),
    [
        ([0.9, 0.9, 0.9, 0.9, 0.39], True),  # its early epochs were lucky, and do not count for its value
        ([0.1, 0.1, 0.1, 0.1, 0.41], False),
        ([0.1, 0.41], False),
        ([0.1, 0.39], True),
    ],
)
def test_a_trial_is_pruned_by_the_value_it_would_have_if_it_ended_now(reported: list[float], pruned: bool) -> None:
    assert is_pruned(reported) == pruned


def test_the_best_quarter_of_the_trials_that_were_complete_is_kept() -> None:
    assert not is_pruned([0.56], complete=7)
    assert is_pruned([0.54], complete=7)


@pytest.mark.parametrize(("epochs", "first"), [(2, 1), (3, 1), (7, 1), (8, 2), (12, 2), (20, 3), (35, 5)])
def test_no_trial_is_pruned_before_a_seventh_of_its_epochs(epochs: int, first: int) -> None:
    training = TrainingConfig(epochs=epochs)
    assert not any(is_pruned([0.1] * earlier, training=training) for earlier in range(1, first))
    assert is_pruned([0.1] * first, training=training)


def test_no_trial_is_pruned_before_three_are_complete() -> None:
    assert not is_pruned([0.1, 0.1], complete=2)
    assert is_pruned([0.1, 0.1], complete=3)


def test_nothing_is_pruned_before_the_first_report_or_without_a_pruner() -> None:
    assert not is_pruned([])
    assert not is_pruned([0.1, 0.1, 0.1], pruner="none")
