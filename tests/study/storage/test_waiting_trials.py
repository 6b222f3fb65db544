"""Trials that wait with parameters of their own: they are run with them, or fail with a reason."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from study.storage.attributes import FAILURE
from study.storage.trial_queue import TrialQueue

NewQueue = Callable[[str, Path], TrialQueue]
ALL_KINDS = {
    "x": FloatDistribution(0.1, 1, log=True),
    "n": IntDistribution(1, 3),
    "kind": CategoricalDistribution(["a", "b"]),
}
sqlite_only = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@sqlite_only
@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"x": 0}, r"`x` must lie in 0.1-1 \(log\), got 0\. Queue another value"),
        ({"x": None}, "got None"),
        ({"x": "a word"}, "got 'a word'"),
        ({"x": "0.5"}, "got '0.5'"),
        ({"x": float("nan")}, "got nan"),
        ({"x": 2.0}, "got 2.0"),
        ({"x": 10**400}, "got 1000"),
        ({"n": 2.5}, "`n` must lie in 1-3, got 2.5"),
        ({"x": 0.5, "kind": "c"}, r"`kind` must lie in a\|b, got 'c'"),
        ({"learning_rat": 0.1}, "`learning_rat` is not searched; queue values of x, n, kind only"),
    ],
)
def test_a_queued_trial_that_cannot_be_run_fails_with_a_reason_and_the_next_is_claimed(
    parameters: dict[str, Any], reason: str, new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue.study.enqueue_trial(parameters)
    queue.study.enqueue_trial({"x": 0.5})
    with queue.worker():
        trial = queue.claim(ALL_KINDS, trials=2)
        assert trial is not None
        assert trial.params["x"] == 0.5
        refused = queue.study.trials[0]
        assert refused.state == TrialState.FAIL
        assert re.search(reason, refused.user_attrs[FAILURE])
        assert queue.finish(trial, 0.5) is not None
        assert queue.claim(ALL_KINDS, trials=2) is None


@sqlite_only
def test_a_waiting_trial_with_values_of_another_range_fails(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    wider = {"x": FloatDistribution(0.1, 9, log=True)}
    queue.study.add_trial(create_trial(state=TrialState.WAITING, params={"x": 5.0}, distributions=wider))
    with queue.worker():
        trial = queue.claim(ALL_KINDS, trials=2)
        assert trial is not None
        assert trial.number == 1
        assert "got 5.0" in queue.study.trials[0].user_attrs[FAILURE]
