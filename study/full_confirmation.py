"""The confirmation of a search from beginning to end: choose candidates, train them on fresh draws, rank them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from optuna.study import Study
from rich.console import Console

from study.configuration import StudyConfiguration
from study.confirmation import Confirmed, confirmed, enqueue, find_candidates
from study.deployment import Deployment
from study.devices import find_study_device
from study.errors import StudyError
from study.exclusion import exclusive
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
    checkpoints: Path  # the folder of its weights
    device: torch.device


@contextmanager
def confirmed_search(
    url: str, name: str | None, *, top: int, draws: int, workers: int | None, console: Console
) -> Iterator[Confirmation]:
    """Train what is not trained yet, with progress. Raises `UserError`; `Interrupted`, after which it can go on."""
    with joined_study(url, name) as (search, storage):
        configuration = load_configuration(search)
        device = find_study_device(configuration.device)
        candidates = find_candidates(search, configuration, top=top)

        def prepare() -> tuple[Study, int]:
            with exclusive(storage, search.study_name):
                confirmation = open_confirmation(search, storage, configuration)
                weights = checkpoints_of(confirmation, configuration)
                total = enqueue(confirmation, candidates, draws=draws, checkpoints=weights)
                confirmation.set_user_attr(TRIALS, total)
                return confirmation, total

        confirmation, total = patiently(storage, prepare)
        own = load_configuration(confirmation)
        queue = make_queue(confirmation, storage, own)
        queue.recover()
        if len(finished_trials(confirmation)) < total:
            console.print(f"Confirming {len(candidates)} configurations on {draws} fresh seeds and splits each.")
            Deployment(queue, own, None, url, total, float("inf"), console).run(workers, None, device)
        ranking = confirmed(confirmation, candidates, draws=draws)
        if not ranking:
            raise StudyError(f"No candidate of study '{search.study_name}' could be trained on all fresh seeds.")
        checkpoints = checkpoints_of(confirmation, own)
        yield Confirmation(search, confirmation, storage, configuration, tuple(ranking), checkpoints, device)
