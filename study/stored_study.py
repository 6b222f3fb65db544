"""A study in its storage: created with all that describes it, or opened again when it is the same one."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection

from models.training import find_device
from study.configuration import StudyConfiguration
from study.errors import StudyError
from study.fingerprint import check_same_study, fingerprint
from study.sampling import make_pruner, make_sampler
from study.search_space import default_parameters
from study.storage import (
    STORAGE_ERRORS,
    close_storage,
    open_storage,
    reason_of,
    requeue_interrupted,
    safe_url,
    sole_runner,
)

NO_RECORD = "Record does not exist."  # what Optuna says of a study or trial that is gone
CONFIGURATION, FINGERPRINT = "configuration", "fingerprint"  # keys of study attributes


@contextmanager
def opened_study(
    url: str, name: str, configuration: StudyConfiguration, *, device: torch.device
) -> Iterator[tuple[Study, RDBStorage, list[str]]]:
    """The study, created or gone on with, its storage, and what the user should know about it.

    Only one process at a time can have it. Raises `StudyError`, also when the database fails on the way.
    """
    with sole_runner(url, name) as alone:
        storage = open_storage(url)
        try:
            study, notes = open_study(storage, name, configuration, device=device)
            if interrupted := requeue_interrupted(study, storage) if alone else 0:
                notes.append(f"interrupted trials that are run again: {interrupted}.")
            yield study, storage, notes
        except STORAGE_ERRORS as error:
            reason = reason_of(error)
            raise StudyError(
                f"The storage {safe_url(url)} has failed: {reason}. What has finished is kept; "
                "when the cause is mended, start the same command again."
            ) from error
        except KeyError as error:
            if NO_RECORD not in error.args:
                raise
            raise StudyError(f"Study '{name}' was deleted while it ran.") from error
        finally:
            close_storage(storage)


def check_name(name: str) -> None:
    """Raises `StudyError` for a name that cannot be stored."""
    if not 1 <= len(name) <= 255:
        raise StudyError(f"A study's name must have 1 to 255 characters, this one has {len(name)}. Use --name.")
    if not name.isprintable():
        raise StudyError(f"A study's name must be printable text, not {name!a}. Use --name.")


def open_study(
    storage: RDBStorage, name: str, configuration: StudyConfiguration, *, device: torch.device
) -> tuple[Study, list[str]]:
    """Create the study, its first trial being the default configuration, or go on with it; and warnings about that.

    Raises `StudyError` when a study of that name is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        sampler=make_sampler(configuration.sampler, seed=configuration.seed),
        pruner=make_pruner(configuration.pruner),
        load_if_exists=True,
    )
    asked = fingerprint(configuration, device=device.type)
    stored = study.user_attrs.get(FINGERPRINT)
    trials = study.get_trials(deepcopy=False)
    if study.direction != StudyDirection.MAXIMIZE or (stored is None and trials):
        raise StudyError(f"Study '{name}' was not made by study.run; name another with --name.")
    notes = [] if stored is None else check_same_study(stored, asked, name=name)
    if stored is None:
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            study.set_metric_names([configuration.metric])
        study.set_user_attr(FINGERPRINT, asked)
    study.set_user_attr(CONFIGURATION, configuration.to_dict())  # each time: the paths may have changed
    if not trials:
        study.enqueue_trial(default_parameters(configuration.search_space, configuration.base))
    return study, notes


def load_configuration(study: Study) -> StudyConfiguration:
    """What the study was begun with. Raises `StudyError` for a study that is not ours."""
    stored = study.user_attrs.get(CONFIGURATION)
    if stored is None:
        raise StudyError(f"Study '{study.study_name}' was not made by study.run.")
    return StudyConfiguration.from_dict(stored)


def find_study_device(configuration: StudyConfiguration) -> torch.device:
    try:
        return find_device(configuration.device)
    except ValueError as error:
        raise StudyError(str(error)) from None
