"""The facts that identify a study: stored with it, and compared when it continues.

Paths, the number of trials and the timeout do not belong to them. Package versions, the device and the pruning rule do,
but a difference there only warns: the study continues, though not bit for bit.
"""

import json
import platform
from dataclasses import asdict, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from optuna.study import Study

from data.source import DataSource
from models.registry import find_learner
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from preprocessing.prepared import RULES as PREPROCESSING_RULES
from preprocessing.pretrained import bert_extra
from study.adaptation import PARTS
from study.choices import stored_pruner
from study.configuration import RULES, StudyConfig
from study.errors import StudyError
from study.model_settings import FIELDS
from study.sampling import PRUNING_RULE, may_prune
from study.search_space import describe
from study.storage.attributes import FINGERPRINT

Fingerprint = dict[str, Any]
VERSIONED_PACKAGES = ("torch", "optuna", "numpy", "scikit-learn", "pyarrow")
ENVIRONMENT = "environment."  # prefix of the keys that only warn
PRUNING = f"{ENVIRONMENT}pruning rule"  # only in studies that prune
PRECISION = f"{ENVIRONMENT}precision"
# Of a data source, what is only stored if it is given.
GIVEN = ("separator", "encoding", "header", "split_column", "group_column", "test_sha256")
SOURCE_DEFAULTS = {name: getattr(DataSource("", ""), name) for name in GIVEN}


def fingerprint(configuration: StudyConfig, *, device: str) -> Fingerprint:
    """The facts as a flat dictionary, so that a difference can be named."""
    facts: Fingerprint = {
        "data": configuration.source.sha256,
        "label_column": configuration.source.label_column,
        "text_column": configuration.source.text_column,
        "split_seed": configuration.split_seed,
        "preprocessing": PREPROCESSING_RULES,
        "rules": RULES,
        "model": configuration.model,
        "space": configuration.space,
        "sampler": configuration.sampler,
        "pruner": configuration.pruner,
        "seed": configuration.seed,
    }
    facts |= {
        name: value
        for name, usual in SOURCE_DEFAULTS.items()
        if (value := getattr(configuration.source, name)) != usual
    }
    base = configuration.base
    for part in PARTS:
        facts |= {f"{part}.{name}": value for name, value in asdict(getattr(base, part)).items()}
    facts[PRECISION] = facts.pop("training.precision")
    if base.vectors:
        facts["vectors"] = base.vectors.sha256
    if base.pretrained is not None:
        facts["model.pretrained"] = base.find_encoder(Path(configuration.cache_dir)).identity
    with bert_extra():
        packages = find_learner(configuration.model).packages(base)
        facts |= {f"{ENVIRONMENT}{package}": version(package) for package in packages}
    facts |= {f"space.{name}": range_ for name, range_ in describe(configuration.search_space).items()}
    facts |= {f"{ENVIRONMENT}{package}": version(package) for package in VERSIONED_PACKAGES}
    if may_prune(configuration):
        facts[PRUNING] = PRUNING_RULE
    facts |= {f"{ENVIRONMENT}python": platform.python_version(), f"{ENVIRONMENT}device": device}
    return json.loads(json.dumps(facts))  # type: ignore[no-any-return]  # as it comes back from the storage


def decisive_facts(stored: Fingerprint) -> Fingerprint:
    """The facts whose difference makes another study, without those that only warn."""
    return {key: value for key, value in stored.items() if not key.startswith(ENVIRONMENT)}


def check_preparation(study: Study) -> None:
    """Raises `StudyError` if texts are no longer prepared as when the study began: its trials would mix both."""
    rules = study.user_attrs.get(FINGERPRINT, {}).get("preprocessing", PREPROCESSING_RULES)
    if rules != PREPROCESSING_RULES:
        raise StudyError(
            f"Study '{study.study_name}' was started by another version of this project, with preprocessing {rules}, "
            f"now it is {PREPROCESSING_RULES}. Search again under another --name, or continue and report with that "
            "version; study.report --no-retrain reports on the search alone."
        )


def check_same_study(stored: Fingerprint, asked: Fingerprint, *, name: str) -> list[str]:
    """Warnings about another environment. Raises `StudyError`, naming the first difference, for another study.

    A field that is missing from the stored fingerprint was added later: the study had its default.
    """
    asked = SOURCE_DEFAULTS | asked
    stored = _field_defaults(asked) | stored | {"pruner": stored_pruner(stored["pruner"])}
    differences = [key for key in asked | stored if stored.get(key) != asked.get(key)]
    decisive = [key for key in differences if not key.startswith(ENVIRONMENT)]
    for key in sorted(decisive, key=_is_of_a_version):  # facts set by options first: others may follow from them
        started = f"Study '{name}' was started"
        now = "now it is not given" if asked.get(key) is None else f"now it is {_short(asked.get(key))}"
        facts = f"{_describe(key)} {_short(stored.get(key))}, {now}."
        if stored.get(key) is None and not _is_of_a_version(key):
            raise StudyError(f"{started} without {_option(key)}, {now}. Leave it out, or name another with --name.")
        if _is_of_a_version(key):
            way_out = "Continue with that version, or name another study with --name."
            raise StudyError(f"{started} by another version of this project, with {facts} {way_out}")
        raise StudyError(f"{started} with {facts} Repeat its first run's options, or name another with --name.")
    return [
        f"{key.removeprefix(ENVIRONMENT)} was {stored.get(key)} when the study began and is {asked.get(key)} now; "
        "it continues, but not bit for bit."
        for key in differences
    ]


def _field_defaults(asked: Fingerprint) -> Fingerprint:
    kinds = {"model": find_learner(asked["model"]).config_type, "training": TrainingConfig, "limits": TextLimits}
    defaults = {f"{part}.{field.name}": field.default for part, kind in kinds.items() for field in fields(kind)}
    if PRUNING in asked:
        defaults[PRUNING] = 1
    defaults[PRECISION] = defaults.pop("training.precision")
    return json.loads(json.dumps({"rules": 1, **SOURCE_DEFAULTS, **defaults}))  # type: ignore[no-any-return]


def _is_of_a_version(key: str) -> bool:
    """Whether no option decides the fact."""
    part, _, field = key.rpartition(".")
    return key in ("preprocessing", "rules") or part == "space" or (part in PARTS and field not in FIELDS.values())


def _describe(key: str) -> str:
    """The option that sets a fact, or the fact's name where there is none."""
    if key in ("data", "test_sha256"):
        return f"other {'data' if key == 'data' else 'test data'}, of SHA-256"
    part, _, field = key.rpartition(".")
    if part == "space":
        return f"the range of {field}"
    if _is_of_a_version(key):
        return key.replace(".", " ")
    return _option(key)


def _option(key: str) -> str:
    field = "test_data" if key == "test_sha256" else key.rpartition(".")[2]
    option = next((option for option, name in FIELDS.items() if name == field), field)
    return f"--{option.replace('_', '-')}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12]
