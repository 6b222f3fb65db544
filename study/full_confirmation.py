"""The confirmation of a search from beginning to end: choose candidates, train them on fresh draws, rank them.

With it, pruned trials are finished where an audit of pruning is asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console

from study.audit import Audit, audit, choose_pruned
from study.configuration import StudyConfiguration
from study.confirmation import (
    DRAW,
    EXTENT,
    SUFFIX,
    Confirmed,
    Extent,
    LeftOut,
    confirmed,
    enqueue,
    find_candidates,
    left_out,
    prepare_draw,
)
from study.deployment import Deployment
from study.devices import find_study_device
from study.display import plural
from study.errors import StudyError
from study.exclusion import exclusive
from study.preparation import compute_features
from study.storage import PatientStorage, patiently
from study.stored_study import TRIALS, checkpoints_of, joined_study, load_configuration, make_queue, open_confirmation
from study.trial_queue import WITHDRAWN, finished_trials


@dataclass(frozen=True)
class Confirmation:
    """A search, the study that confirms it, and its candidates by their mean score on fresh draws, the best first."""

    search: Study
    study: Study
    storage: PatientStorage
    configuration: StudyConfiguration
    ranking: tuple[Confirmed, ...]
    left_out: tuple[LeftOut, ...]
    extent: Extent
    audit: Audit | None  # None: not asked for
    checkpoints: Path  # the folder of its weights
    device: torch.device


@contextmanager
def confirmed_search(
    url: str,
    name: str | None,
    *,
    top: int | None = None,
    draws: int | None = None,
    audits: int | None = None,
    workers: int | None,
    console: Console,
) -> Iterator[Confirmation]:
    """Train what is not trained yet, with progress. Raises `UserError`; `Interrupted`, after which it can go on.

    Each of `top`, `draws` and `audits` (see `Extent`) that is None is as it was the last time, or the default.
    """
    with joined_study(url, name) as (search, storage):
        configuration = load_configuration(search)
        device = find_study_device(configuration.device)
        extent = _extent(search, storage, {"top": top, "seeds": draws, "audit": audits}, console)
        candidates = find_candidates(search, configuration, top=extent.top)
        pruned = choose_pruned(search, trials=extent.audit)
        if len(pruned) < extent.audit:
            few = f"only {plural(len(pruned), 'trial')} pruned, all to be finished" if pruned else "no trial was pruned"
            console.print(f"Note: --audit {extent.audit}: {few}.")

        def open_alone() -> Study:
            with exclusive(storage, search.study_name):
                return open_confirmation(search, storage, configuration)

        def ask() -> int:
            with exclusive(storage, confirmation.study_name):
                return enqueue(queue, candidates, pruned, draws=extent.seeds, checkpoints=weights)

        confirmation = patiently(storage, open_alone)
        own, weights = load_configuration(confirmation), checkpoints_of(confirmation, configuration)
        queue = make_queue(confirmation, storage, own)
        queue.recover(blame=False)
        total = patiently(storage, ask)
        confirmation.set_user_attr(TRIALS, total)
        if len(finished_trials(confirmation)) < total:
            seeds = f"{extent.seeds} fresh seeds and splits each" if extent.seeds > 1 else "a fresh seed and split"
            console.print(f"Confirming {plural(len(candidates), 'configuration')} on {seeds}.")
            if pruned:
                console.print(f"Finishing {plural(len(pruned), 'pruned trial')} on the search's own seed and split.")
            _compute_features(confirmation, own, console, device=device)
            withdrawn = _count_withdrawn(confirmation)
            Deployment(queue, own, None, url, total, float("inf"), console).run(workers, None, device)
            if _count_withdrawn(confirmation) > withdrawn:
                raise StudyError(
                    "Another report on this study has been started meanwhile, which asks for less, and has taken "
                    "trainings of this one out of the queue. Start the same command again when it has ended."
                )
        ranking = confirmed(confirmation, candidates, draws=extent.seeds)
        ranked = [one.candidate for one in ranking]
        failed = left_out(confirmation, [candidate for candidate in candidates if candidate not in ranked])
        if not ranking:
            raise StudyError(
                f"No configuration of study '{search.study_name}' could be trained on all fresh seeds; the last one "
                f"failed with: {failed[-1].reason}. Mend the cause, then start the same command again."
            )
        confirmation.set_user_attr(EXTENT, asdict(extent))
        yield Confirmation(
            search,
            confirmation,
            storage,
            configuration,
            tuple(ranking),
            left_out=tuple(failed),
            extent=extent,
            audit=audit(search, confirmation, pruned, top=extent.top) if extent.audit else None,
            checkpoints=weights,
            device=device,
        )


def _extent(search: Study, storage: PatientStorage, asked: dict[str, int | None], console: Console) -> Extent:
    """What is asked for; the rest as in the last confirmation if that was more than usual, lest a report shrinks."""
    name, stored = search.study_name + SUFFIX, {}
    if name in optuna.get_all_study_names(storage):
        stored = optuna.load_study(study_name=name, storage=storage).user_attrs.get(EXTENT, {})
    last = Extent(**{option: max(number, stored.get(option, 0)) for option, number in asdict(Extent()).items()})
    kept = {option: number for option, number in last.unusual().items() if asked[option] is None}
    if kept:
        console.print(f"As in the last report: {' '.join(f'--{option} {number}' for option, number in kept.items())}.")
    return replace(last, **{option: number for option, number in asked.items() if number is not None})


def _count_withdrawn(confirmation: Study) -> int:
    return sum(WITHDRAWN in trial.user_attrs for trial in finished_trials(confirmation))


def _compute_features(
    confirmation: Study, configuration: StudyConfiguration, console: Console, *, device: torch.device
) -> None:
    """Those that a frozen encoder gives for the draws to come, with progress, so that the workers find them."""
    if configuration.base.reads_features:
        waiting = confirmation.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for draw in sorted({trial.user_attrs[DRAW] for trial in waiting if DRAW in trial.user_attrs}):
            compute_features(configuration, prepare_draw(configuration, draw), console, device=device)
