"""Creates a study with its configuration, or opens it again if it is the same one."""

import hashlib
import secrets
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState

from models.learners.learner import Settings
from study.adaptation import PARTS, values_of
from study.configuration import StudyConfig
from study.errors import StudyError, safe_url
from study.model_settings import FIELDS
from study.sampling import make_pruner, make_sampler
from study.search_space import default_parameters
from study.storage.attributes import CONFIGURATION, CONFIRMED_IDENTITY, CONFIRMS, FINGERPRINT, IDENTITY, SUFFIX, TRIALS
from study.storage.connection import opened_storage
from study.storage.dashboard import note_search
from study.storage.fingerprint import check_same_study, fingerprint
from study.storage.moved import moved_with
from study.storage.queries import FINISHED
from study.storage.retrying import RetryingStorage, retry
from study.storage.study_lock import study_lock
from study.storage.trial_queue import TrialQueue
from study.storage.urls import sqlite_file


@contextmanager
def opened_study(
    url: str,
    name: str,
    configuration: StudyConfig,
    *,
    device: torch.device,
    trials: int,
    chosen: Collection[str] = (),
) -> Iterator[tuple[TrialQueue, StudyConfig, list[str]]]:
    """The study, created or continued, as a queue of trials; its configuration; what the user should know about it.

    `chosen`: the fields of the settings that follow the texts and the device; a study that is continued keeps its own,
    and all those that no option sets. Any number of processes may open it at a time. Raises `StudyError`, also
    when the database fails on the way.
    """
    with opened_storage(url, name) as storage:

        def open_alone() -> tuple[Study, StudyConfig, list[str]]:
            with study_lock(storage, name):
                return open_study(storage, name, configuration, device=device, trials=trials, chosen=chosen)

        study, configuration, notes = retry(storage, open_alone)
        _sweep(study, checkpoints_of(study, configuration))
        queue = make_queue(study, storage, configuration)
        queue.recover(count_crashes=False)
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        if interrupted := [str(trial.number) for trial in waiting if trial.params]:
            notes.append(f"interrupted before, and continued now: trial {', '.join(interrupted)}.")
        if unseen := [str(trial.number) for trial in queue.out_of_sight()]:
            notes.append(
                f"trial {', '.join(unseen)} may still have a worker, but its lock is missing, as when the database was "
                "copied or the hidden folder beside it deleted; the trial continues once that worker has sent no "
                f"heartbeat for {storage.grace_period} seconds."
            )
        if strange := [str(trial.number) for trial in queue.of_others()]:
            notes.append(
                f"trial {', '.join(strange)} was started by another program and is left to it: it does not count "
                "before it has ended (`study.tell` in a notebook)."
            )
        yield queue, configuration, notes


@contextmanager
def joined_study(url: str, name: str | None) -> Iterator[tuple[Study, RetryingStorage]]:
    """A study that `study.run` has started; without a name the only one there is.

    Raises `StudyError`, also when the database fails on the way.
    """
    with opened_storage(url, name, patient=True, create=False) as storage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if name is None:
            names = [name for name in optuna.get_all_study_names(storage) if not name.endswith(SUFFIX)]
            if len(names) != 1:
                there = ", ".join(names) or "none"
                raise StudyError(f"Say with --name which study of {safe_url(url)} is meant (there are: {there}).")
            name = names[0]
        yield optuna.load_study(study_name=name, storage=storage), storage


@dataclass(frozen=True)
class Progress:
    """How far a study has come."""

    name: str
    complete: int  # trials
    finished: int  # trials, complete, pruned or failed
    budget: int  # trials that were asked for


def started_studies(url: str) -> list[Progress]:
    """The studies of `study.run`, in the order in which they were started.

    Raises `StudyError` where there is none, also when the database fails on the way.
    """
    with opened_storage(url, None, patient=True, create=False) as storage:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        studies = []
        for name in optuna.get_all_study_names(storage):
            study = optuna.load_study(study_name=name, storage=storage)
            if CONFIGURATION in study.user_attrs and not name.endswith(SUFFIX):
                counts = storage.count_trials(study._study_id)
                finished = sum(count for (state, _), count in counts.items() if state in FINISHED)
                studies.append(Progress(name, counts[TrialState.COMPLETE, True], finished, load_budget(study)))
        if not studies:
            raise StudyError(f"There is no study of study.run in {safe_url(url)}; start one with study.run.")
        return studies


def open_confirmation(study: Study, storage: RetryingStorage, configuration: StudyConfig) -> Study:
    """The study that confirms this one, in the same database; to be called by one process at a time.

    Raises `StudyError` if it confirms an earlier study of this name, which was deleted without it.
    """
    confirmation = optuna.create_study(
        storage=storage, study_name=study.study_name + SUFFIX, direction="maximize", load_if_exists=True
    )
    identity = study.user_attrs[IDENTITY]
    if confirmation.user_attrs.get(CONFIRMED_IDENTITY, identity) != identity:
        raise StudyError(
            f"'{confirmation.study_name}' confirms an earlier study of the name '{study.study_name}', which is gone. "
            "Delete it, too, or search under another --name; its openings of the test split stay counted."
        )
    confirmation.set_user_attr(CONFIRMS, study.study_name)
    confirmation.set_user_attr(CONFIRMED_IDENTITY, identity)
    confirmation.set_user_attr(CONFIGURATION, replace(configuration, pruner="none").to_dict())
    if IDENTITY not in confirmation.user_attrs:
        confirmation.set_user_attr(IDENTITY, secrets.token_hex(8))
    return confirmation


def make_queue(study: Study, storage: RetryingStorage, configuration: StudyConfig) -> TrialQueue:
    """The queue of a study's trials, with the sampler and the pruner that it was started with."""
    study.sampler = make_sampler(configuration.sampler, seed=configuration.seed)
    study.pruner = make_pruner(configuration.pruner, configuration.base.training)
    folder, seconds = Path(configuration.cache_dir) / "workers", configuration.heartbeat_seconds
    return TrialQueue(study, storage, folder, heartbeat_seconds=seconds)


def checkpoints_of(study: Study, configuration: StudyConfig) -> Path:
    """The folder of the study's checkpoints, named after its identity, since its name may be used again."""
    digest = hashlib.sha256(str(study.user_attrs[IDENTITY]).encode()).hexdigest()
    return Path(configuration.cache_dir) / "checkpoints" / digest[:16]


def check_name(name: str) -> None:
    """Raises `StudyError` for a name that cannot be stored."""
    if not 1 <= len(name) <= 255:
        raise StudyError(f"A study's name must have 1 to 255 characters, this one has {len(name)}. Use --name.")
    if name.endswith(SUFFIX):
        raise StudyError(f"Names that end with {SUFFIX} belong to the confirmation of a study. Use another --name.")
    if not name.isprintable():
        raise StudyError(f"A study's name must be printable text, not {name!a}. Use --name.")


def open_study(
    storage: RetryingStorage,
    name: str,
    configuration: StudyConfig,
    *,
    device: torch.device,
    trials: int,
    chosen: Collection[str] = (),
) -> tuple[Study, StudyConfig, list[str]]:
    """Create the study, with the default configuration as first trial, or continue it; see `opened_study`.

    To be called by one process at a time. Raises `StudyError` when a study of that name is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
    stored = study.user_attrs.get(FINGERPRINT)
    wanted = configuration.base
    if stored is not None:
        configuration = replace(configuration, base=_own_settings(study, wanted, chosen))
    asked = fingerprint(configuration, device=device.type)
    started = study.get_trials(deepcopy=False)
    if study.direction != StudyDirection.MAXIMIZE or (stored is None and started):
        raise StudyError(f"Study '{name}' was not made by study.run; name another with --name.")
    notes = [] if stored is None else check_same_study(stored, asked, name=name)
    own, usual = values_of(configuration.base), values_of(wanted)
    if kept := [f"{name} {own[name]} (new studies: {usual[name]})" for name in own if own[name] != usual[name]]:
        notes.append(f"the study keeps the settings that it began with: {', '.join(kept)}.")
    if stored is None:
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            study.set_metric_names([configuration.metric])
        note_search(study, configuration)
        study.set_user_attr(FINGERPRINT, asked)
    if IDENTITY not in study.user_attrs:
        study.set_user_attr(IDENTITY, secrets.token_hex(8))
    study.set_user_attr(TRIALS, trials)
    study.set_user_attr(CONFIGURATION, configuration.to_dict())  # each time: the paths may have changed
    if not started:
        study.enqueue_trial(default_parameters(configuration.search_space, configuration.base))
    return study, configuration, notes


def load_budget(study: Study) -> int:
    """How many trials the last `study.run` asked for. Raises `StudyError` for a study of another program."""
    if TRIALS not in study.user_attrs:
        raise StudyError(f"Study '{study.study_name}' has not been started yet; start study.run first.")
    return int(study.user_attrs[TRIALS])


def load_configuration(study: Study, storage: RetryingStorage | None = None) -> StudyConfig:
    """The study's configuration; with the `storage`, files that are gone are looked for beside its database.

    Raises `StudyError` for a study of another program or version.
    """
    stored = study.user_attrs.get(CONFIGURATION)
    if stored is None:
        raise StudyError(f"Study '{study.study_name}' was not made by study.run.")
    try:
        configuration = StudyConfig.from_dict(stored)
    except (LookupError, TypeError, ValueError) as error:
        raise StudyError(
            f"Study '{study.study_name}' was started by another version of this project ({error}). Use that version, "
            "or name another study with --name."
        ) from error
    database = sqlite_file(storage.engine.url) if storage else None
    return moved_with(database, configuration) if database else configuration


def _own_settings(study: Study, asked: Settings, chosen: Collection[str]) -> Settings:
    """The settings, where the user has not asked for others, as the study was last run.

    These are the `chosen` fields, and those that no option sets. A field that was added later had its class's default.
    """
    if not study.user_attrs.get(CONFIGURATION):  # its creation was interrupted
        return asked
    stored = study.user_attrs[CONFIGURATION]["base"]
    parts = {}
    for part in PARTS:
        own = getattr(asked, part)
        names = [field.name for field in fields(own) if field.name in chosen or field.name not in FIELDS.values()]
        parts[part] = replace(own, **{name: stored[part].get(name, getattr(type(own), name)) for name in names})
    return replace(asked, **parts)


def _sweep(study: Study, checkpoints: Path) -> None:
    """Remove the checkpoints of trials that have ended, for instance on another machine."""
    ended = {trial.number for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()}
    for file in checkpoints.glob("*.pt*"):
        if file.name.lstrip(".").split(".")[0] in map(str, ended):
            file.unlink(missing_ok=True)
