"""A study in its storage: created with all that describes it, or opened again when it is the same one."""

import warnings

import optuna
import torch
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.study import Study

from models.training import find_device
from study.configuration import StudyConfiguration
from study.errors import StudyError
from study.fingerprint import check_same_study, fingerprint
from study.sampling import make_pruner, make_sampler
from study.search_space import default_parameters

CONFIGURATION, FINGERPRINT = "configuration", "fingerprint"  # keys of study attributes


def open_study(
    storage: RDBStorage, name: str, configuration: StudyConfiguration, *, device: torch.device
) -> tuple[Study, list[str]]:
    """Create the study, its first trial being the default configuration, or go on with it; and warnings about that.

    Raises `StudyError` when a study of that name is another one.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", ExperimentalWarning)
    if not 1 <= len(name) <= 255:
        raise StudyError(f"A study's name must have 1 to 255 characters, this one has {len(name)}. Use --name.")
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        sampler=make_sampler(configuration.sampler, seed=configuration.seed),
        pruner=make_pruner(configuration.pruner, warm_up_epochs=configuration.base.training.first_annealing_epoch),
        load_if_exists=True,
    )
    asked = fingerprint(configuration, device=device.type)
    stored = study.user_attrs.get(FINGERPRINT)
    trials = study.get_trials(deepcopy=False)
    if stored is None and trials:
        raise StudyError(f"Study '{name}' was not made by study.run; name another with --name.")
    notes = [] if stored is None else check_same_study(stored, asked, name=name)
    if stored is None:
        study.set_metric_names([configuration.metric])
        study.set_user_attr(CONFIGURATION, configuration.to_dict())
        study.set_user_attr(FINGERPRINT, asked)
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
