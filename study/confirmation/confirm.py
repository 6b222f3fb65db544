"""The confirmation of a search from beginning to end: rank candidates, then train the winner on further repeats.

The default configuration is trained on the same further repeats. Pruned trials are finished at the same time if an
audit of pruning is requested.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

import optuna
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial
from rich.console import Console

from study.configuration import StudyConfig
from study.confirmation.candidates import Candidate, Ranked, default_candidate, find_candidates, rank, rounds, trainings
from study.confirmation.pruning_audit import Audit, Chosen, audit, choose_pruned, to_finish
from study.confirmation.trainings import (
    Confirmed,
    Extent,
    LeftOut,
    Wanted,
    confirming,
    enqueue,
    left,
    left_out,
    ranking,
    trained,
    under_way,
    withdraw_all_but,
)
from study.errors import StudyError
from study.formatting import plural
from study.storage.attributes import CONFIRMS, EXTENT, REPEAT, SUFFIX, TRIALS
from study.storage.retrying import RetryingStorage, retry
from study.storage.snapshots import snapshot
from study.storage.studies import checkpoints_of, joined_study, load_configuration, make_queue, open_confirmation
from study.storage.study_lock import only_one, study_lock
from study.trials.repeats import prepare_repeat
from study.trials.texts import compute_features, shares_features
from study.workers.deployment import Deployment
from study.workers.devices import find_study_device
from study.workers.supervision import Team

BUSY = "Another report on this study is running. Start the same command again when it has ended."


@dataclass(frozen=True)
class Confirmation:
    """A search, the study that confirms it, and the results."""

    search: Study  # a snapshot from when the report began, since a search may continue meanwhile
    study: Study
    storage: RetryingStorage
    configuration: StudyConfig
    ranking: tuple[Ranked, ...]  # the winner first
    winner: Confirmed
    default: Confirmed | None  # None: it is the winner, or it failed
    left_out: tuple[LeftOut, ...]
    extent: Extent
    audit: Audit | None  # None: not requested
    checkpoints: Path  # the folder of the weights
    device: torch.device

    @property
    def compared(self) -> list[Confirmed]:
        """The winner and, if it is another one, the default configuration."""
        return [self.winner, *([self.default] if self.default else [])]


@contextmanager
def confirmed_search(
    url: str,
    name: str | None,
    *,
    top: int | None = None,
    seeds: int | None = None,
    audits: int | None = None,
    workers: int | None,
    console: Console,
) -> Iterator[Confirmation]:
    """Run the missing trainings, with progress. Raises `UserError`; `Interrupted`, after which it can continue.

    For each of `top`, `seeds` and `audits` (see `Extent`), None means the value of the last report, or the default.
    """
    with joined_study(url, name) as (growing, storage), only_one(storage, f"{growing.study_name}/report", BUSY):
        search, configuration = snapshot(growing), load_configuration(growing)
        extent = _extent(search, storage, {"top": top, "seeds": seeds, "audit": audits}, console)
        candidates = find_candidates(search, configuration, top=extent.top)
        default = default_candidate(search, configuration)
        chosen = _choose_pruned(search, configuration, extent.audit, console)
        with _open_crew(search, storage, configuration, url=url, workers=workers, console=console) as crew:
            crew.plan.append(_plan(candidates, default, extent, chosen))
            along = [*confirming(default, repeats=extent.seeds), *to_finish(chosen)]
            ranked, winner, failed = _rank_and_confirm(crew, candidates, along, repeats=extent.seeds)
        reference = None if winner.candidate.is_default else _reference(crew, default, repeats=extent.seeds)
        if not winner.candidate.is_default:
            failed = [candidate for candidate in failed if candidate != default]
            failed += [default] if reference is None else []
        crew.study.set_user_attr(EXTENT, asdict(extent))
        yield Confirmation(
            search,
            crew.study,
            storage,
            configuration,
            ranked,
            winner,
            reference,
            left_out=tuple(left_out(crew.study, candidate) for candidate in failed),
            extent=extent,
            audit=audit(search, crew.study, chosen, configuration.search_space, top=extent.top)
            if extent.audit
            else None,
            checkpoints=crew.checkpoints,
            device=crew.device,
        )


@dataclass(frozen=True)
class _Crew:
    """The study of the confirmation, and how its trainings are run."""

    storage: RetryingStorage
    deployment: Deployment
    team: Team
    checkpoints: Path
    device: torch.device
    asked_workers: int | None
    since: int  # the number of the first trial that this report may make
    plan: list[str] = field(default_factory=list)  # printed before the first training

    @property
    def study(self) -> Study:
        return self.deployment.queue.study

    @cached_property
    def workers(self) -> int:
        return self.asked_workers or self.deployment.default_workers(self.device)

    def train(self, step: str, wanted: Sequence[Wanted], *, along: Sequence[Wanted] = ()) -> list[FrozenTrial | None]:
        """The trial of each wanted training, None for one that failed twice; missing ones are run.

        If any is missing, `step` is printed. The trainings of `along` keep workers busy that would otherwise wait for
        the end of the step; it may end before they do.
        """
        lines = [*self.plan, step]
        while self._left(wanted):
            for line in lines:
                self.deployment.console.print(line)
            lines = ["Trying once more what has failed."]
            self.plan.clear()
            todo = self._left([*wanted, *along])
            self._compute_features(todo)
            with study_lock(self.storage, self.study.study_name):
                withdraw_all_but(self.deployment.queue, todo)
            total = self._enqueue(wanted)
            if self.team or min(self.workers, len(todo)) > 1:
                self._run_team(wanted, along)
            else:
                replace(self.deployment, trials=total).run_here(self.device)
        return trained(self.study, wanted, checkpoints=self.checkpoints)

    def _run_team(self, wanted: Sequence[Wanted], along: Sequence[Wanted]) -> None:
        """Until no wanted training is under way."""
        if not self.team:
            self.deployment.console.print(f"Workers: {self.workers} on {self.device.type}.")
        with self.deployment.display() as display:
            while any(one in wanted for one in under_way(self.study)):
                self._enqueue(along, room=self.workers)
                self.team.grow(min(self.workers, len(under_way(self.study))))
                self.team.watch()
                display.update()

    def _left(self, asked: Sequence[Wanted]) -> list[Wanted]:
        return left(self.study, asked, checkpoints=self.checkpoints, since=self.since)

    def _enqueue(self, asked: Sequence[Wanted], *, room: int | None = None) -> int:
        def enqueue_left() -> int:
            with study_lock(self.storage, self.study.study_name):
                total = enqueue(self.deployment.queue, self._left(asked), room=room)
                self.study.set_user_attr(TRIALS, total)
                return total

        return retry(self.storage, enqueue_left)

    def _compute_features(self, todo: Sequence[Wanted]) -> None:
        """Compute the features of a frozen encoder, so that workers find them in the cache."""
        configuration, console = self.deployment.configuration, self.deployment.console
        if shares_features(configuration):
            for repeat in sorted({purpose[REPEAT] for _, purpose in todo if REPEAT in purpose}):
                prepared = prepare_repeat(configuration, repeat)
                compute_features(configuration, prepared, console, device=self.device)


@contextmanager
def _open_crew(
    search: Study,
    storage: RetryingStorage,
    configuration: StudyConfig,
    *,
    url: str,
    workers: int | None,
    console: Console,
) -> Iterator[_Crew]:
    """The crew, whose workers are stopped when the context is left."""

    def open_alone() -> Study:
        with study_lock(storage, search.study_name):
            return open_confirmation(search, storage, configuration)

    study = retry(storage, open_alone)
    own = load_configuration(study)
    queue = make_queue(study, storage, own)
    queue.recover(count_crashes=False)
    device = find_study_device(configuration.device)
    checkpoints, since = checkpoints_of(study, configuration), len(study.get_trials(deepcopy=False))
    deployment = Deployment(queue, own, None, url, None, float("inf"), console)
    with deployment.local_team() as team:
        yield _Crew(storage, deployment, team, checkpoints, device, workers, since)


def _rank_and_confirm(
    crew: _Crew, candidates: list[Candidate], along: list[Wanted], *, repeats: int
) -> tuple[tuple[Ranked, ...], Confirmed, list[Candidate]]:
    """The ranking, the first candidate of it that trained on all further repeats, and the candidates that failed.

    `along`: trainings that do not depend on the ranking. Raises `StudyError` if all candidates failed.
    """

    def train_round(left: list[Candidate], repeat: int) -> list[FrozenTrial | None]:
        step = f"Round {repeat + 1}: {len(left)} configurations on a fresh repeat."
        return crew.train(step, ranking(left, repeat), along=along)

    ranked, failed = rank(candidates, train_round)
    for place, candidate in enumerate(entry.candidate for entry in ranked):
        which = "the default configuration" if candidate.is_default else "the winner"
        wanted = confirming(candidate, repeats=repeats)
        trials = crew.train(f"Confirming {which} on {plural(repeats, 'further repeat')}.", [*wanted, *along])
        if winner := _confirmed(candidate, trials[: len(wanted)]):
            return tuple(ranked[place:]), winner, failed
        failed.append(candidate)
    raise StudyError(
        f"No configuration of study '{crew.study.user_attrs[CONFIRMS]}' could be trained on all repeats; the last one "
        f"failed with: {left_out(crew.study, failed[-1]).reason}. Fix the cause, then start the same command again."
    )


def _plan(candidates: Sequence[Candidate], default: Candidate, extent: Extent, chosen: Chosen) -> str:
    count = len(candidates)
    most = trainings(count) + extent.seeds * (2 if any(not candidate.is_default for candidate in candidates) else 1)
    audits = (
        f" Besides, {plural(len(to_finish(chosen)), 'pruned trial')} will be finished." if to_finish(chosen) else ""
    )
    ranked = f"The best {count} configurations are ranked in {plural(rounds(count), 'round')}; then the winner"
    if count == 1:
        ranked = "The best configuration"
    also = "" if candidates == [default] else " and the default configuration"
    trained_on = f"{'is' if not also else 'are'} trained on {plural(extent.seeds, 'further repeat')}"
    return f"{ranked}{also} {trained_on} (fresh seeds and splits): up to {plural(most, 'training run')}.{audits}"


def _reference(crew: _Crew, default: Candidate, *, repeats: int) -> Confirmed | None:
    """The default configuration on the winner's further repeats, which were trained along; None if one failed."""
    wanted = confirming(default, repeats=repeats)
    return _confirmed(default, trained(crew.study, wanted, checkpoints=crew.checkpoints))


def _confirmed(candidate: Candidate, trials: Sequence[FrozenTrial | None]) -> Confirmed | None:
    """The candidate with its trainings, or None if one of them failed."""
    there = tuple(trial for trial in trials if trial is not None)
    return Confirmed(candidate, there) if len(there) == len(trials) else None


def _choose_pruned(search: Study, configuration: StudyConfig, audits: int, console: Console) -> Chosen:
    chosen = choose_pruned(search, configuration.search_space, trials=audits, seed=configuration.seed)
    if len(pruned := to_finish(chosen)) < audits:
        few = f"only {plural(len(pruned), 'trial')} pruned, all to be finished" if pruned else "no trial was pruned"
        console.print(f"Note: --audit {audits}: {few}.")
    return chosen


def _extent(search: Study, storage: RetryingStorage, asked: dict[str, int | None], console: Console) -> Extent:
    """The requested extent; the rest as in the last report if that was more, so that no report shrinks."""
    name, stored = search.study_name + SUFFIX, {}
    if name in optuna.get_all_study_names(storage):
        stored = optuna.load_study(study_name=name, storage=storage).user_attrs.get(EXTENT, {})
    last = Extent(**{option: max(number, stored.get(option, 0)) for option, number in asdict(Extent()).items()})
    kept = {option: number for option, number in last.non_defaults().items() if asked[option] is None}
    if kept:
        console.print(f"As in the last report: {' '.join(f'--{option} {number}' for option, number in kept.items())}.")
    return replace(last, **{option: number for option, number in asked.items() if number is not None})
