"""What is queued for a confirmation, what is withdrawn, and why a candidate is left out, without any training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from study.confirmation.candidates import Candidate
from study.confirmation.trainings import enqueue, left, left_out, ranking, under_way, withdraw_all_but
from study.storage.attributes import AUDITS, FAILURE, REPEAT, WITHDRAWN
from study.storage.connection import close_storage, open_storage
from study.storage.trial_queue import TrialQueue

ONE, TWO, THREE = (Candidate({"C": value}, None, is_default=False) for value in (1.0, 2.0, 3.0))
SPACE = {"C": FloatDistribution(0, 9)}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[TrialQueue]:
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield TrialQueue(optuna.create_study(storage=storage, direction="maximize"), storage, tmp_path)
    close_storage(storage)


def in_state(queue: TrialQueue, state: TrialState) -> list[tuple[float, int]]:
    """The value of C and the repeat of queued trials in this state."""
    trials = queue.study.get_trials(states=(state,))
    return [(trial.system_attrs["fixed_params"]["C"], trial.user_attrs[REPEAT]) for trial in trials]


def test_waiting_trainings_are_withdrawn_unless_they_are_asked_for(queue: TrialQueue) -> None:
    assert enqueue(queue, ranking([ONE, TWO, THREE], 0)) == 3
    withdraw_all_but(queue, ranking([ONE, TWO], 0))
    assert enqueue(queue, ranking([ONE], 0)) == 3
    assert in_state(queue, TrialState.WAITING) == [(1.0, 0), (2.0, 0)]
    (withdrawn,) = queue.study.get_trials(states=(TrialState.FAIL,))
    assert withdrawn.user_attrs[WITHDRAWN]
    assert "the last report did not ask for it" in withdrawn.user_attrs[FAILURE]


def test_a_training_that_another_worker_runs_is_neither_withdrawn_nor_queued_again(queue: TrialQueue) -> None:
    with queue.worker():
        assert queue.claim(SPACE, trials=None) is None  # none waits, and none is invented
        enqueue(queue, ranking([ONE], 0))
        assert queue.claim(SPACE, trials=None) is not None
        withdraw_all_but(queue, ranking([TWO], 0))
        enqueue(queue, ranking([ONE, TWO], 0))
        assert in_state(queue, TrialState.RUNNING) == [(1.0, 0)]
        assert in_state(queue, TrialState.WAITING) == [(2.0, 0)]
        assert [asked[0]["C"] for asked in under_way(queue.study)] == [1.0, 2.0]


def test_no_more_trainings_are_queued_than_there_is_room_for(queue: TrialQueue) -> None:
    enqueue(queue, ranking([ONE], 0), room=2)
    enqueue(queue, ranking([TWO, THREE], 0), room=2)
    assert in_state(queue, TrialState.WAITING) == [(1.0, 0), (2.0, 0)]


def test_a_training_is_left_until_it_is_complete_or_has_failed_twice_in_this_report(
    queue: TrialQueue, tmp_path: Path
) -> None:
    asked = ranking([ONE, TWO], 0)
    for tries in range(2):
        assert left(queue.study, asked, checkpoints=tmp_path) == asked
        fail(queue, ONE, **{REPEAT: 0})
        assert left(queue.study, asked, checkpoints=tmp_path, since=1) == asked, tries
    assert left(queue.study, asked, checkpoints=tmp_path) == asked[1:]
    queue.study.add_trial(create_trial(value=0.5, params=TWO.parameters, distributions=SPACE, user_attrs={REPEAT: 0}))
    assert left(queue.study, asked, checkpoints=tmp_path) == []


def fail(queue: TrialQueue, candidate: Candidate, **attributes: Any) -> None:
    queue.study.add_trial(
        create_trial(state=TrialState.FAIL, params=candidate.parameters, distributions=SPACE, user_attrs=attributes)
    )


def test_a_candidate_is_left_out_for_the_last_failure_on_its_own_repeats(queue: TrialQueue) -> None:
    fail(queue, ONE, **{REPEAT: 0, FAILURE: "the first"})
    fail(queue, ONE, **{REPEAT: 1, FAILURE: "the last"})
    fail(queue, ONE, **{REPEAT: 2, FAILURE: "withdrawn", WITHDRAWN: True})
    fail(queue, ONE, **{AUDITS: 7, FAILURE: "an audit"})
    fail(queue, TWO, **{REPEAT: 0})
    assert left_out(queue.study, ONE).reason == "the last"
    assert left_out(queue.study, TWO).reason == "no reason was recorded"
    assert left_out(queue.study, THREE).reason == "it was not trained"
