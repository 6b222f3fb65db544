"""The command lines that reproduce a search and its report, and what they need.

They name no storage: in the same database, the search would continue, not start again. So they hold no password.
"""

import os
import shlex
from collections.abc import Collection
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial

from data.source import DataSource
from models.registry import DEFAULT_MODEL
from study.adaptation import RULES, changes_of
from study.configuration import StudyConfig
from study.formatting import plural
from study.model_settings import default_name, options_of, unsettable_fields
from study.sampling import PRUNING_RULE, may_prune
from study.storage.attributes import BESIDE_OTHERS, FINGERPRINT, WORKER
from study.storage.fingerprint import ENVIRONMENT, PRECISION, PRUNING
from study.storage.queries import finished_trials

DEVICE = f"{ENVIRONMENT}device"
NO_VERSIONS = (DEVICE, PRECISION, PRUNING)
# The defaults of the options of `study.run` that do not depend on the model; a test compares them with its signature.
DEFAULTS = {field.name: field.default for kind in (DataSource, StudyConfig) for field in fields(kind)} | {
    "model": DEFAULT_MODEL
}


@dataclass(frozen=True)
class Reproduction:
    search: str  # a command line, as is `report`
    report: str
    about: str  # in sentences
    versions: dict[str, str]  # of Python and the relevant packages, when the search started


def reproduction(
    study: Study, configuration: StudyConfig, *, rules: Collection[str] | None, **report_options: Any
) -> Reproduction:
    """How to reproduce the study.

    `rules`: those of `study.adaptation` that apply to its texts; None: that is not known, as the texts are gone.
    `report_options`: the options of `study.report` that are not the default.
    """
    source = configuration.source
    place = "In a folder without a study.db"
    if source.path is not None:
        first, *others = names_of(source)
        more = f" and {plural(len(others), 'other file')} of the command" if others else ""
        place = f"In a folder with {first} (SHA-256 {source.sha256[:12]}...){more}, and without a study.db"
    about = f"{place}, on the same kind of machine and with the same versions, this gives the same trials, bit for bit."
    if waiting := len(study.get_trials(deepcopy=False)) - len(finished_trials(study)):
        about = (
            f"{place}, this repeats the search, but not with the same trials: {plural(waiting, 'trial')} of this study "
            "had not finished when this was written."
        )
    elif study.user_attrs[FINGERPRINT][DEVICE] != "cpu":
        about = f"{place}, this repeats the search, but not bit for bit: only a CPU promises that."
    elif by_hand := [trial.number for trial in finished_trials(study) if _is_by_hand(trial)]:
        about = (
            f"{place}, this repeats the search, but not with the same trials: trial "
            f"{', '.join(map(str, by_hand))} of this study was added or queued by hand."
        )
    elif _has_run_in_parallel(study):
        about = (
            f"{place}, this repeats the search, but not with the same trials: several workers ran this study together, "
            "so what the sampler and the pruner knew depended on which trial ended first."
        )
    differing = _changed_settings(configuration, rules) | _foreign_pruning(study, configuration)
    if foreign := differing | _other_precision(study, configuration):
        changes = ", ".join(f"{name} was {value} and is {usual} now" for name, (value, usual) in foreign.items())
        about = f"This gives a different study, with other settings ({changes})."
    environment = {
        key.removeprefix(ENVIRONMENT): value
        for key, value in study.user_attrs[FINGERPRINT].items()
        if key.startswith(ENVIRONMENT) and key not in NO_VERSIONS
    }
    return Reproduction(
        search_command(study, configuration), _command("study.report", report_options), about, environment
    )


def _changed_settings(configuration: StudyConfig, rules: Collection[str] | None) -> dict[str, tuple[Any, Any]]:
    """The values and current defaults of what no option sets, where they are known to differ."""
    differing = unsettable_fields(configuration.base, rules or ())
    unknown = changes_of(RULES) if rules is None else {}
    return {field: both for field, both in differing.items() if field not in unknown}


def search_command(study: Study, configuration: StudyConfig) -> str:
    """`study.run` with one worker, the only way to get the same trials, and all options that are not the default."""
    source = configuration.source
    names = names_of(source)
    options = {
        "workers": 1,
        "data": names[: len(source.paths)] or source.name,
        **_columns(source),
        "separator": source.separator,
        "encoding": source.encoding,
        "header": source.header,
        "split_column": source.split_column,
        "group_column": source.group_column,
        "test_data": names[-1] if source.test_path else None,
        "split_seed": configuration.split_seed,
        "space": configuration.space,
        "sampler": configuration.sampler,
        "pruner": configuration.pruner,
        **options_of(configuration.base),
        "seed": configuration.seed,
        "device": configuration.device,
    }
    if study.study_name != default_name(source.name, configuration.base):
        options["name"] = study.study_name
    differing = {option: value for option, value in options.items() if value != DEFAULTS.get(option)}
    return _command("study.run", differing, "--trials", str(max(len(finished_trials(study)), 1)))


def names_of(source: DataSource) -> list[str]:
    """The files of a source, that of the test last, by their names, or within a folder where two have the same name."""
    paths = [*source.paths, *source.test_paths]
    if len({path.name for path in paths}) == len(paths):
        return [path.name for path in paths]
    folder = os.path.commonpath([path.parent for path in paths])
    return [str(path.relative_to(folder)) for path in paths]


def _columns(source: DataSource) -> dict[str, str]:
    """The options for columns; none for a folder, whose subfolders are the labels."""
    if any(path.is_dir() for path in source.paths):
        return {}
    return {"label_column": source.label_column, "text_column": source.text_column}


def _foreign_pruning(study: Study, configuration: StudyConfig) -> dict[str, tuple[Any, Any]]:
    """The pruning rule that the study started with, and the current one, if they differ."""
    began_with = study.user_attrs[FINGERPRINT].get(PRUNING, 1)
    if may_prune(configuration) and began_with != PRUNING_RULE:
        return {PRUNING.removeprefix(ENVIRONMENT): (began_with, PRUNING_RULE)}
    return {}


def _other_precision(study: Study, configuration: StudyConfig) -> dict[str, tuple[Any, Any]]:
    """The precision that the study started with, and its present one, if they differ."""
    began_with, now = study.user_attrs[FINGERPRINT].get(PRECISION), configuration.base.training.precision
    return {} if began_with in (None, now) else {"precision": (began_with, now)}


def _command(module: str, options: dict[str, Any], *words: str) -> str:
    line = ["python", "-m", module, *words]
    for name, value in options.items():
        option = name.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            line += [f"--{'no-' * (not one)}{option}"] if isinstance(one, bool) else [f"--{option}", str(one)]
    return shlex.join(line)


def _is_by_hand(trial: FrozenTrial) -> bool:
    """Whether a trial was added or queued by hand; the default configuration, trial 0, is queued by every study."""
    return not trial.user_attrs.get(WORKER) or ("fixed_params" in trial.system_attrs and trial.number > 0)


def _has_run_in_parallel(study: Study) -> bool:
    """Whether trials overlapped; the times of interrupted trials do not show it, but an attribute does."""
    if any(BESIDE_OTHERS in trial.user_attrs for trial in finished_trials(study)):
        return True
    times = sorted(
        (trial.datetime_start, trial.datetime_complete)
        for trial in finished_trials(study)
        if trial.datetime_start and trial.datetime_complete
    )
    return any(start < end for (_, end), (start, _) in pairwise(times))
