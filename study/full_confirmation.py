"""The confirmation of a search from beginning to end: choose candidates, train them on fresh draws, rank them.

With it, pruned trials are finished where an audit of pruning is asked for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna.study import Study
from optuna.trial import TrialState
from rich.console import Console

from study.audit import Audit, audit, choose_pruned
from study.configuration import StudyConfiguration
from study.confirmation import DRAW, Candidate, Confirmed, confirmed, enqueue, find_candidates, prepare_draw
from study.deployment import Deployment
from study.devices import find_study_device
from study.display import plural
from study.errors import StudyError
from study.exclusion import exclusive
from study.preparation import compute_features
from study.storage import PatientStorage, patiently
from study.stored_study import TRIALS, checkpoints_of, joined_study, load_configuration, make_queue, open_confirmation
from study.trial_queue import finished_trials


@dataclass(frozen=True)
class Confirmation:
    """A search, the study that confirms it, and its candidates by their mean score on fresh draws, the best first."""

    search: Study
    study: Study
    storage: PatientStorage
    configuration: StudyConfiguration
    ranking: tuple[Confirmed, ...]
    left_out: tuple[Candidate, ...]  # those whose training has failed on a draw
    top: int  # configurations of the search that were asked for
    draws: int
    audit: Audit | None  # None: not asked for
    checkpoints: Path  # the folder of its weights
    device: torch.device


@contextmanager
def confirmed_search(
    url: str, name: str | None, *, top: int, draws: int, audits: int = 0, workers: int | None, console: Console
) -> Iterator[Confirmation]:
    """Train what is not trained yet, with progress. Raises `UserError`; `Interrupted`, after which it can go on.

    `audits`: how many pruned trials to finish, or all if there are fewer.
    """
    with joined_study(url, name) as (search, storage):
        configuration = load_configuration(search)
        device = find_study_device(configuration.device)
        candidates = find_candidates(search, configuration, top=top)
        pruned = choose_pruned(search, trials=audits)
        if len(pruned) < audits:
            few = f"only {plural(len(pruned), 'trial')} pruned, all to be finished" if pruned else "no trial was pruned"
            console.print(f"Note: --audit {audits}: {few}.")

        def prepare() -> tuple[Study, int]:
            with exclusive(storage, search.study_name):
                confirmation = open_confirmation(search, storage, configuration)
                weights = checkpoints_of(confirmation, configuration)
                total = enqueue(confirmation, candidates, pruned, draws=draws, checkpoints=weights)
                confirmation.set_user_attr(TRIALS, total)
                return confirmation, total

        confirmation, total = patiently(storage, prepare)
        own = load_configuration(confirmation)
        queue = make_queue(confirmation, storage, own)
        queue.recover(blame=False)
        if len(finished_trials(confirmation)) < total:
            seeds = f"{draws} fresh seeds and splits each" if draws > 1 else "a fresh seed and split"
            console.print(f"Confirming {plural(len(candidates), 'configuration')} on {seeds}.")
            if pruned:
                console.print(f"Finishing {plural(len(pruned), 'pruned trial')} on the search's own seed and split.")
            _compute_features(confirmation, own, console, device=device)
            Deployment(queue, own, None, url, total, float("inf"), console).run(workers, None, device)
        ranking = confirmed(confirmation, candidates, draws=draws)
        if not ranking:
            raise StudyError(f"No candidate of study '{search.study_name}' could be trained on all fresh seeds.")
        ranked = [one.candidate for one in ranking]
        yield Confirmation(
            search,
            confirmation,
            storage,
            configuration,
            tuple(ranking),
            left_out=tuple(candidate for candidate in candidates if candidate not in ranked),
            top=top,
            draws=draws,
            audit=audit(search, confirmation, pruned, top=top) if audits else None,
            checkpoints=checkpoints_of(confirmation, own),
            device=device,
        )


def _compute_features(
    confirmation: Study, configuration: StudyConfiguration, console: Console, *, device: torch.device
) -> None:
    """Those that a frozen encoder gives for the draws to come, with progress, so that the workers find them."""
    if configuration.base.reads_features:
        waiting = confirmation.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        for draw in sorted({trial.user_attrs[DRAW] for trial in waiting if DRAW in trial.user_attrs}):
            compute_features(configuration, prepare_draw(configuration, draw), console, device=device)
