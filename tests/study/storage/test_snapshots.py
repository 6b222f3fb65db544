"""Studies in memory, as they were at one moment, and with fewer trials."""

from itertools import pairwise

import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.configuration import StudyConfig
from study.search_space import default_parameters
from study.storage.queries import best_trial, default_value, running_best
from study.storage.snapshots import snapshot, thinned

CONFIGURATION = StudyConfig(DataSource("toy", "00"), "", Settings(LSTMConfig(), TrainingConfig(), TextLimits()))
SPACE = CONFIGURATION.search_space


@pytest.fixture
def study() -> Study:
    """500 trials that get worse, but for a few that set a new best; one has the default configuration."""
    study = optuna.create_study(direction="maximize")
    for number in range(500):
        parameters = {"hidden_size": 20 + number % 200, "learning_rate": 1e-3}
        if number == 303:
            parameters = default_parameters(SPACE, CONFIGURATION.base)
        value = number / 1000 if number in (7, 123, 124, 391) else -number / 1000
        state = TrialState.PRUNED if number % 3 == 2 and value < 0 else TrialState.COMPLETE
        study.add_trial(create_trial(params=parameters, distributions=SPACE, value=value, state=state))
    study.set_user_attr("about", "it")
    return study


def test_a_snapshot_stays_as_it_is(study: Study) -> None:
    held = snapshot(study)
    before = held.trials
    assert before == study.trials
    assert held.user_attrs == {"about": "it"}
    study.add_trial(create_trial(value=2.0))
    held.set_user_attr("about", "something else")
    assert held.trials == before
    assert study.user_attrs == {"about": "it"}


def test_a_thinned_study_keeps_what_a_figure_must_show(study: Study) -> None:
    part = thinned(study, CONFIGURATION, 50)
    numbers = [trial.number for trial in part.trials]
    assert 50 <= len(numbers) <= 60
    assert numbers == sorted(numbers)
    assert {0, 7, 123, 124, 303, 391, 499} <= set(numbers)
    assert all(trial == study.trials[trial.number] for trial in part.trials)
    assert max(following - number for number, following in pairwise(numbers)) <= 11
    whole = running_best(study, SPACE)
    assert all(whole[number] == value for number, value in running_best(part, SPACE).items())
    assert default_value(part, CONFIGURATION) == default_value(study, CONFIGURATION) == -0.303
    best = best_trial(part, SPACE)
    assert best is not None
    assert best.number == 391


def test_a_study_that_is_small_enough_is_not_thinned(study: Study) -> None:
    assert thinned(study, CONFIGURATION, 500) is study
