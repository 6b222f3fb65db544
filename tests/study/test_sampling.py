"""What is drawn depends on the study's seed and the trial's number, not on interruptions."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.study import Study

from study.configuration import SamplerName
from study.interruption import Interrupted
from study.sampling import make_sampler
from study.search import search
from study.storage import PatientStorage, close_storage, open_storage
from study.trial_queue import TrialQueue

SPACE = {name: FloatDistribution(0, 1) for name in "abc"}
TRIALS = 14  # of which TPE draws some together


def run(storage: PatientStorage, name: str, sampler: SamplerName) -> Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    study.sampler = make_sampler(sampler, seed=0)
    queue = TrialQueue(study, storage, Path())
    search(queue, SPACE, lambda trial, _: trial.params["a"], trials=TRIALS, deadline=float("inf"), on_change=list)
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
    monkeypatch.setattr(PatientStorage, "_set_trial_param", interrupt_after(calls, PatientStorage._set_trial_param))
    with pytest.raises(Interrupted):
        run(storage, "parts", sampler)
    monkeypatch.undo()
    storage.patience_seconds = 1
    parts = run(storage, "parts", sampler)
    assert [trial.params for trial in parts.trials] == [trial.params for trial in whole.trials]
    assert [trial.number for trial in parts.trials] == list(range(TRIALS))
    close_storage(storage)
