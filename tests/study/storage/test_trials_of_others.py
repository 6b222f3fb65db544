"""Trials of other programs are left to them; those whose worker died before it could sign them are recovered."""

import time
from collections.abc import Callable
from pathlib import Path

from optuna.distributions import FloatDistribution

from study.storage.trial_queue import TrialQueue

NewQueue = Callable[[str, Path], TrialQueue]
SPACE = {"x": FloatDistribution(0, 1)}


def test_a_trial_that_another_program_has_just_started_is_left_to_it(new_queue: NewQueue, tmp_path: Path) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    theirs = queue.study.ask(SPACE)
    with queue.worker():
        ours = queue.claim(SPACE, trials=2)
        assert ours is not None
        assert ours.number != theirs.number
        assert queue.recover() == []
        queue.study.tell(theirs, 0.7)
        queue.finish(ours, 0.5)
    assert [trial.value for trial in queue.study.trials] == [0.7, 0.5]


def test_a_trial_that_another_program_runs_is_left_to_it_however_long_it_takes(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue._storage.heartbeat_interval, queue._storage.grace_period = 1, 0
    theirs = queue.study.ask(SPACE)
    assert [trial.number for trial in queue.of_others()] == [theirs.number]
    with queue.worker():
        for _ in range(2):  # as many as are asked for, without that one
            time.sleep(0.1)
            assert queue.recover() == []
            ours = queue.claim(SPACE, trials=2)
            assert ours is not None
            queue.finish(ours, 0.5)
        assert queue.claim(SPACE, trials=2) is None
    queue.study.tell(theirs, 0.7)
    assert [trial.value for trial in queue.study.trials] == [0.7, 0.5, 0.5]


def test_a_trial_whose_worker_died_before_it_could_sign_it_is_recovered_after_the_grace_period(
    new_queue: NewQueue, tmp_path: Path
) -> None:
    queue = new_queue(tmp_path.name, tmp_path)
    queue._storage.heartbeat_interval, queue._storage.grace_period = 1, 1
    trial = queue.study.ask()
    assert queue.recover() == []
    assert queue.of_others() == []
    time.sleep(1.1)
    assert [left.number for left in queue.recover()] == [trial.number]
