"""The other numbers of a report, from trials made by hand: costs, failures, and best values at an edge."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.analysis.findings import find, find_cost, find_edges, find_failures, find_importances
from study.configuration import StudyConfig
from study.storage.attributes import FAILURE

BASE = Settings(LSTMConfig(), TrainingConfig(), TextLimits())
TPE = StudyConfig(DataSource("toy", "00"), "/cache", BASE)
RANDOM = StudyConfig(DataSource("toy", "00"), "/cache", BASE, sampler="random", pruner="none")
WIDE = StudyConfig(DataSource("toy", "00"), "/cache", BASE, space="wide", sampler="random", pruner="none")
START = datetime(2026, 1, 1)


def add(
    study: Study,
    value: float | None = 0.5,
    *,
    configuration: StudyConfig = TPE,
    state: TrialState = TrialState.COMPLETE,
    seconds: float = 1.0,
    epochs: int = 6,
    **changes: Any,
) -> None:
    """Add a trial in the middle of all ranges except for `changes`; a `failure` among them is its reason."""
    space = configuration.search_space
    failure = changes.pop("failure", None)
    parameters = {"hidden_size": 64, "learning_rate": 0.002} | changes
    attributes = {"epochs": epochs, "seconds": seconds} | ({FAILURE: failure} if failure else {})
    trial = create_trial(
        params=parameters,
        distributions={name: space[name] for name in parameters},
        value=value,
        state=state,
        user_attrs=attributes,
    )
    trial.datetime_start = START
    trial.datetime_complete = START + timedelta(seconds=seconds)
    study.add_trial(trial)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5] * 20])
def test_there_is_a_reason_if_importance_cannot_be_estimated(study: Study, values: list[float]) -> None:
    for value in values:
        add(study, value)
    importances = find_importances(study, TPE)
    assert importances.parameters == ()
    assert importances.reason is not None
    assert ("the same value" in importances.reason) == (len(values) == 20)


def test_the_cost_is_counted(study: Study) -> None:
    six = replace(TPE, base=replace(BASE, training=TrainingConfig(epochs=6)))
    add(study, seconds=60)
    add(study, state=TrialState.PRUNED, seconds=20, epochs=2)
    add(study, state=TrialState.PRUNED, seconds=30, epochs=3)
    add(study, None, state=TrialState.FAIL, seconds=5, epochs=0, failure="ValueError: no")
    cost = find_cost(study, six)
    assert cost.trial_seconds == {0: 60, 1: 20, 2: 30, 3: 5}
    assert cost.total_seconds == 115
    assert cost.median_seconds == 25
    assert cost.elapsed_seconds == 60
    assert cost.epochs == 11
    assert (cost.pruned, cost.epochs_saved, cost.seconds_saved) == (2, 4 + 3, 40 + 30)


def test_failures_are_counted_by_reason(study: Study) -> None:
    add(study, None, state=TrialState.FAIL, failure="ValueError: a")
    for _ in range(2):
        add(study, None, state=TrialState.FAIL, failure="ValueError: b")
    add(study, None, state=TrialState.FAIL)
    found = [(failure.reason, failure.trials) for failure in find_failures(study)]
    assert found == [("ValueError: b", (1, 2)), ("ValueError: a", (0,)), ("no reason was recorded", (3,))]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"learning_rate": 0.029},
            "of the search's best trial, 0.029, lies at the upper edge of its range",
        ),
        ({"learning_rate": 0.00012}, "lower edge"),
        ({"learning_rate": 0.00015}, ""),  # within 5 % on a linear scale, but the range is logarithmic
        ({"hidden_size": 17}, "16-256 (log): widen it"),
        ({"hidden_size": 230}, "upper edge"),
        ({"dropout": 0.01}, ""),  # 0 cannot be moved lower
        ({"dropout": 0.69}, "dropout of the search's best trial"),
        ({"layers": 1}, ""),
        ({"layers": 2}, "layers of the search's best trial"),
        ({"pooling": "max"}, ""),
    ],
)
def test_a_best_value_at_an_edge_that_can_be_moved_is_noted(
    study: Study, changes: dict[str, Any], sentence: str
) -> None:
    add(study, 0.9, configuration=WIDE, **changes)
    add(study, 0.8, configuration=WIDE, learning_rate=1e-4)
    edges = find_edges(study, WIDE)
    assert len(edges) == bool(sentence)
    assert sentence in " ".join(edges)


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("configuration", [TPE, RANDOM, WIDE])
def test_a_study_without_trials_gives_empty_findings_and_no_error(study: Study, configuration: StudyConfig) -> None:
    findings = find(study, configuration)
    assert findings.importances.reason
    assert findings.interaction.reason
    assert findings.cost.total_seconds == 0
    assert findings.failures == ()
    assert findings.edges == ()
