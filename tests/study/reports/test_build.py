"""What a failed report leaves to the reports on other studies."""

import os
import signal
from collections.abc import Iterator

import pytest
from rich.console import Console

from study.errors import StudyError
from study.reports.build import _step
from study.signals import Interrupted, end_on_signals, hold_signals


@pytest.fixture
def handlers() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    end_on_signals()
    yield
    end_on_signals()  # forget what came
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_after_a_study_whose_workers_had_to_be_stopped_the_next_one_can_be_interrupted() -> None:
    with _step("Study: one", "one", Console(quiet=True), alone=False):
        hold_signals()  # as when a team is stopped
        raise StudyError("all failed")
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
