"""The confirmation of a search from beginning to end: rank candidates, then train the winner on further repeats.

The default configuration is trained on the same further repeats. Pruned trials are finished at the same time if an
audit of pruning is requested.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial
from rich.console import Console

from models.registry import find_learner
from study.configuration import FIRST_REFIT, StudyConfig
from study.confirmation.candidates import Candidate, Ranked, default_candidate, find_candidates, rank, rounds, trainings
from study.confirmation.crew import Crew, open_crew
from study.confirmation.pruning_audit import Audit, Chosen, audit, choose_pruned, to_finish
from study.confirmation.trainings import (
    Confirmed,
    Extent,
    LeftOut,
    Wanted,
    confirming,
    left_out,
    ranking,
    refitting,
    trained,
)
from study.errors import StudyError
from study.formatting import plural
from study.storage.attributes import CONFIRMS, EXTENT, SUFFIX
from study.storage.fingerprint import check_preparation
from study.storage.retrying import RetryingStorage
from study.storage.snapshots import snapshot
from study.storage.studies import joined_study, load_configuration
from study.storage.study_lock import only_one
from study.trials.repeats import FIRST_CONFIRMING

REFIT = "refit"  # its key among the options of the last report
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
    refit: bool  # whether the winner was to be refitted
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
    refit: bool | None = None,
    single: bool = False,
    workers: int | None,
    console: Console,
) -> Iterator[Confirmation]:
    """Run the missing trainings, with progress. Raises `UserError`; `Interrupted`, after which it can continue.

    For each of `top`, `seeds` and `audits` (see `Extent`), None means the value of the last report, or the default.
    `refit`: whether the winner is trained on all texts but the test's, too; None: as in the last report, or as suits
    the model. With `single`, it is not, whatever the next report will do.
    """
    with joined_study(url, name) as (growing, storage), only_one(storage, f"{growing.study_name}/report", BUSY):
        search, configuration = snapshot(growing), load_configuration(growing, storage)
        check_preparation(search)
        last = _last_extent(search, storage)
        extent = _extent(last, {"top": top, "seeds": seeds, "audit": audits}, console)
        wants_refit = _wants_refit(refit, last, configuration, console=None if single else console)
        refits = 0 if single or not wants_refit else _count_refits(configuration, seeds=extent.seeds)
        candidates = find_candidates(search, configuration, top=extent.top)
        default = default_candidate(search, configuration)
        chosen = _choose_pruned(search, configuration, extent.audit, console)
        repeats = [*range(rounds(len(candidates))), *range(FIRST_CONFIRMING, FIRST_CONFIRMING + extent.seeds)]
        repeats += [FIRST_REFIT] if refits else []
        with open_crew(
            search, storage, configuration, url=url, repeats=repeats, workers=workers, console=console
        ) as crew:
            crew.plan.append(_plan(candidates, default, extent, chosen, refits=refits))
            along = [*confirming(default, repeats=extent.seeds), *to_finish(chosen)]
            ranked, winner, failed = _rank_and_confirm(crew, candidates, along, repeats=extent.seeds, refits=refits)
        reference = None
        if not winner.candidate.is_default:
            reference = _reference(crew, default, repeats=extent.seeds)
            failed = [*(each for each in failed if each != default), *([] if reference else [default])]
        crew.study.set_user_attr(EXTENT, {**asdict(extent), REFIT: wants_refit})
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
            refit=refits > 0,
            checkpoints=crew.checkpoints,
            device=crew.device,
        )


def _rank_and_confirm(
    crew: Crew, candidates: list[Candidate], along: list[Wanted], *, repeats: int, refits: int
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
        wanted = [*confirming(candidate, repeats=repeats), *refitting(candidate, repeats=refits)]
        trials = crew.train(f"Confirming {which} on {plural(repeats, 'further repeat')}.", [*wanted, *along])
        if winner := _confirmed(candidate, trials[:repeats]):
            refitted = tuple(trial for trial in trials[repeats : len(wanted)] if trial is not None)
            missing = len(refitted) < refits
            reason = left_out(crew.study, candidate, least=FIRST_REFIT).reason if missing else ""
            return tuple(ranked[place:]), replace(winner, refits=refitted, refit_failure=reason), failed
        failed.append(candidate)
    raise StudyError(
        f"No configuration of study '{crew.study.user_attrs[CONFIRMS]}' could be trained on all repeats; the last one "
        f"failed with: {left_out(crew.study, failed[-1]).reason}. Fix the cause, then start the same command again."
    )


def _plan(candidates: Sequence[Candidate], default: Candidate, extent: Extent, chosen: Chosen, *, refits: int) -> str:
    count, confirmed = len(candidates), 2 if any(not candidate.is_default for candidate in candidates) else 1
    most = trainings(count) + extent.seeds * confirmed + refits
    audits = (
        f" Besides, {plural(len(to_finish(chosen)), 'pruned trial')} will be finished." if to_finish(chosen) else ""
    )
    ranked = f"The best {count} configurations are ranked in {plural(rounds(count), 'round')}; then the winner"
    if count == 1:
        ranked = "The best configuration"
    also = "" if candidates == [default] else " and the default configuration"
    trained_on = f"{'is' if not also else 'are'} trained on {plural(extent.seeds, 'further repeat')}"
    exported = ", and the winner on all texts but the test's, to be exported" if refits else ""
    return (
        f"{ranked}{also} {trained_on} (fresh seeds and splits){exported}: up to {plural(most, 'training run')}.{audits}"
    )


def _reference(crew: Crew, default: Candidate, *, repeats: int) -> Confirmed | None:
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


def _last_extent(search: Study, storage: RetryingStorage) -> dict[str, int]:
    """The options of the last report; empty if there was none. Earlier versions had no refits."""
    name = search.study_name + SUFFIX
    if name not in optuna.get_all_study_names(storage):
        return {}
    stored = optuna.load_study(study_name=name, storage=storage).user_attrs.get(EXTENT)
    return {} if stored is None else {REFIT: False, **stored}


def refits_by_default(configuration: StudyConfig) -> bool:
    """Whether a refit helps the model and costs little (`benchmarks/method/refit.py`), and there are texts for it."""
    return not find_learner(configuration.model).seeds_matter and configuration.base.limits.max_training_texts is None


def _wants_refit(
    asked: bool | None, last: dict[str, int], configuration: StudyConfig, *, console: Console | None
) -> bool:
    """Whether the winner is refitted: as asked for, as in the last report, or by default.

    What the last report decides against the default is printed. Raises `StudyError` where refits would have no more
    texts than others.
    """
    if asked and configuration.base.limits.max_training_texts is not None:
        raise StudyError(
            "--refit trains on all texts but the test's, but --max-training-texts on a part: leave --refit out."
        )
    if asked is not None:
        return asked
    usual = refits_by_default(configuration)
    wants = bool(last[REFIT]) if last else usual
    if console and wants != usual:
        console.print(f"As in the last report: --{'refit' if wants else 'no-refit'}.")
    return wants


def _count_refits(configuration: StudyConfig, *, seeds: int) -> int:
    return seeds if find_learner(configuration.model).seeds_matter else 1


def _extent(stored: dict[str, int], asked: dict[str, int | None], console: Console) -> Extent:
    """The requested extent; the rest as in the last report if that was more, so that no report shrinks."""
    last = Extent(**{option: max(number, stored.get(option, 0)) for option, number in asdict(Extent()).items()})
    kept = {option: number for option, number in last.non_defaults().items() if asked[option] is None}
    if kept:
        console.print(f"As in the last report: {' '.join(f'--{option} {number}' for option, number in kept.items())}.")
    return replace(last, **{option: number for option, number in asked.items() if number is not None})
