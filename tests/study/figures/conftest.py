"""Studies whose trials are known."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from study.configuration import StudyConfig
from study.storage.attributes import FAILURE, WORKER

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
START = datetime(2026, 1, 1)


@pytest.fixture
def fill() -> Callable[..., None]:
    """Add trials in these states with random parameters, the first one the default; two workers, a second per trial."""

    def add(study: Study, configuration: StudyConfig, states: list[TrialState], value: float | None = None) -> None:
        sampler = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        space = configuration.search_space
        sampler.enqueue_trial({"hidden_size": 64, "learning_rate": 0.01})
        for number, state in enumerate(states):
            parameters = sampler.ask(space).params
            best = 0.3 + number / 100 if value is None else value
            curve = [best / 2, best] if state == PRUNED else [best / 3, best / 2, best]
            attributes: dict[str, Any] = {WORKER: f"machine-{number % 2}"}
            if state == FAIL:
                attributes[FAILURE] = "ValueError: the loss is not a number"
            elif state != TrialState.RUNNING:
                attributes |= {"epochs": len(curve), "seconds": 1.0, "curve": {"macro_f1": curve}}
            trial = create_trial(
                params=parameters,
                distributions=space,
                value=best if state in (COMPLETE, PRUNED) else None,
                state=state,
                user_attrs=attributes,
                intermediate_values=dict(enumerate(curve)) if state in (COMPLETE, PRUNED) else {},
            )
            trial.datetime_start = START + timedelta(seconds=number)
            trial.datetime_complete = None if state == TrialState.RUNNING else START + timedelta(seconds=number + 1)
            study.add_trial(trial)

    return add
