"""Runs the trainings of a confirmation, step by step: in worker processes that stay from step to step, or here."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from optuna.study import Study
from optuna.trial import FrozenTrial
from rich.console import Console

from study.configuration import StudyConfig
from study.confirmation.trainings import Wanted, enqueue, left, trained, under_way, withdraw_all_but
from study.storage.attributes import REPEAT, TRIALS
from study.storage.retrying import RetryingStorage, retry
from study.storage.studies import checkpoints_of, load_configuration, make_queue, open_confirmation
from study.storage.study_lock import study_lock
from study.trials.repeats import prepare_repeat
from study.trials.texts import compute_features, shares_features
from study.workers.deployment import Deployment
from study.workers.devices import find_study_device
from study.workers.display import SearchDisplay
from study.workers.supervision import Team


@dataclass
class Crew:
    """The study of a confirmation, and the workers that run its trainings."""

    storage: RetryingStorage
    deployment: Deployment
    team: Team
    stack: ExitStack  # what ends with the team
    repeats: Sequence[int]  # all that may be needed, in the order in which they are
    workers: int | None  # None: as many as this machine can have
    plan: list[str] = field(default_factory=list)  # printed before the first training

    def __post_init__(self) -> None:
        self.since = len(self.study.get_trials(deepcopy=False))  # the number of the first trial of this report
        self.device = find_study_device(self.deployment.configuration.device)
        self.checkpoints = checkpoints_of(self.study, self.deployment.configuration)

    @property
    def study(self) -> Study:
        return self.deployment.queue.study

    def train(self, step: str, wanted: Sequence[Wanted], *, along: Sequence[Wanted] = ()) -> list[FrozenTrial | None]:
        """The trial of each wanted training, None for one that failed twice; missing ones are run.

        If any is missing, `step` is printed. The trainings of `along` keep workers busy that would otherwise wait for
        the end of the step, which does not wait for them.
        """
        lines = [*self.plan, step]
        while self._left(wanted):
            for line in lines:
                self.deployment.console.print(line)
            lines = ["Trying once more what has failed."]
            self.plan.clear()
            todo = self._left([*wanted, *along])
            if self.workers is None:
                self.workers = self.deployment.default_workers(self.device, len(todo))
            if not self.team:
                self._compute_features(todo)
            there, total = retry(self.storage, partial(self._enqueue, wanted, todo))
            if self.team or min(self.workers, len(todo)) > 1:
                self._run_team(wanted, along, total=total, workers=min(self.workers, len(todo)))
            else:
                replace(self.deployment, trials=there).run_here(self.device)
        return trained(self.study, wanted, checkpoints=self.checkpoints)

    @cached_property
    def _display(self) -> SearchDisplay:
        return self.stack.enter_context(self.deployment.display())

    def _run_team(self, wanted: Sequence[Wanted], along: Sequence[Wanted], *, total: int, workers: int) -> None:
        """Until no wanted training is under way."""
        if not self.team:
            self.deployment.console.print(f"Workers: {workers} on {self.device.type}.")
        self._display.trials = total
        while any(one in wanted for one in under_way(self.study)):
            if self._left(along) and len(under_way(self.study)) < workers:
                retry(self.storage, lambda: self._fill(along, room=workers))
            self.team.grow(workers)
            self.team.watch()
            self._display.update()
        self._display.update()

    def _left(self, asked: Sequence[Wanted]) -> list[Wanted]:
        return left(self.study, asked, checkpoints=self.checkpoints, since=self.since)

    def _enqueue(self, wanted: Sequence[Wanted], todo: Sequence[Wanted]) -> tuple[int, int]:
        """Queue the wanted trainings, and withdraw what an earlier report has left.

        Returns the study's number of trials, now and with all that is to do.
        """
        with study_lock(self.storage, self.study.study_name):
            withdraw_all_but(self.deployment.queue, todo)
            there = enqueue(self.deployment.queue, self._left(wanted))
            ahead = under_way(self.study)
            total = there + sum(one not in ahead for one in todo)
            self.study.set_user_attr(TRIALS, total)
            return there, total

    def _fill(self, along: Sequence[Wanted], *, room: int) -> None:
        with study_lock(self.storage, self.study.study_name):
            enqueue(self.deployment.queue, self._left(along), room=room)

    def _compute_features(self, todo: Sequence[Wanted]) -> None:
        """Compute the features of a frozen encoder for this step and the next ones, before workers need the memory."""
        configuration, console = self.deployment.configuration, self.deployment.console
        asked = {purpose[REPEAT] for _, purpose in todo if REPEAT in purpose}
        if asked and shares_features(configuration):
            for repeat in sorted(asked.union(repeat for repeat in self.repeats if repeat > min(asked))):
                prepared = prepare_repeat(configuration, repeat)
                compute_features(configuration, prepared, console, device=self.device)


@contextmanager
def open_crew(
    search: Study,
    storage: RetryingStorage,
    configuration: StudyConfig,
    *,
    url: str,
    repeats: Sequence[int],
    workers: int | None,
    console: Console,
) -> Iterator[Crew]:
    """The crew, whose workers are stopped when the context is left."""

    def open_alone() -> Study:
        with study_lock(storage, search.study_name):
            return open_confirmation(search, storage, configuration)

    study = retry(storage, open_alone)
    own = load_configuration(study, storage)
    queue = make_queue(study, storage, own)
    queue.recover(count_crashes=False)
    deployment = Deployment(queue, own, None, url, None, float("inf"), console)
    with ExitStack() as stack, deployment.local_team() as team:
        yield Crew(storage, deployment, team, stack, repeats, workers)
