"""The search space, and the settings made from its parameters."""

import hashlib
import json
from dataclasses import replace
from typing import get_args

import pytest

from data.source import DataSource
from models.learners.learner import Settings
from models.linear import LinearConfig
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.choices import SpaceName
from study.configuration import RULES, StudyConfig
from study.model_settings import DEFAULTS
from study.search_space import apply_parameters, default_parameters, describe, search_space

NAMES: tuple[SpaceName, ...] = get_args(SpaceName)
BASE = Settings(LSTMConfig(), TrainingConfig(), TextLimits())


def test_by_default_hidden_size_and_learning_rate_are_searched() -> None:
    space = search_space("default", BASE)
    assert {name: (range_.low, range_.high, range_.log) for name, range_ in space.items()} == {  # type: ignore[attr-defined]
        "hidden_size": (16, 256, True),
        "learning_rate": (1e-4, 3e-2, True),
    }


RANGES = {  # a digest of the ranges of each variant
    "lstm": "34a4eaa9fb4d6b2a",
    "cnn": "b2d546c749cbc892",
    "linear": "b51d51f968bc0ee7",
    "bert-frozen": "84ff3027e4195141",
    "bert-full": "3ae44cffd546ac33",
    "bert-gradual": "9592e8b3803fc9a9",
    "bert-lora": "1e8f34654a31823c",
}


def ranges_digest(base: Settings) -> str:
    ranges = {name: describe(search_space(name, base)) for name in NAMES}
    return hashlib.sha256(json.dumps(ranges, sort_keys=True).encode()).hexdigest()[:16]


def test_the_ranges_of_every_variant_are_known() -> None:
    assert RANGES.keys() == DEFAULTS.keys()


@pytest.mark.parametrize("variant", RANGES)
def test_ranges_change_only_with_the_version_of_the_rules(variant: str) -> None:
    """Other commands must assume the ranges that the stored trials of a study were drawn from."""
    assert (RULES, ranges_digest(DEFAULTS[variant])) == (2, RANGES[variant]), (
        "raise RULES in study/configuration.py, then put the new digest here"
    )


@pytest.mark.parametrize(("variant", "digest"), [("lstm", "e14fb294d913b4c9"), ("cnn", "78094e4b1fa903eb")])
def test_studies_whose_batches_are_counted_in_texts_keep_their_ranges(variant: str, digest: str) -> None:
    base = DEFAULTS[variant]
    assert ranges_digest(replace(base, training=replace(base.training, batch_tokens=None))) == digest


def test_studies_whose_classes_have_no_weights_keep_their_ranges() -> None:
    assert ranges_digest(replace(DEFAULTS["linear"], model=LinearConfig())) == "b5cf88bcc4f9428d"


@pytest.mark.parametrize("variant", DEFAULTS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("limits", [TextLimits(), TextLimits(20, 500, 1), TextLimits(1_000, 90_000, 1)])
def test_the_default_configuration_lies_in_the_space(variant: str, name: str, limits: TextLimits) -> None:
    base = replace(DEFAULTS[variant], limits=limits)
    space = search_space(name, base)  # type: ignore[arg-type]
    defaults = default_parameters(space, base)
    assert all(range_._contains(range_.to_internal_repr(defaults[key])) for key, range_ in space.items())
    assert apply_parameters(base, defaults) == base


def test_parameters_change_the_fields_of_the_same_name() -> None:
    settings = apply_parameters(BASE, {"hidden_size": 17, "learning_rate": 0.02, "max_tokens": 60})
    assert settings.model.hidden_size == 17
    assert settings.training.learning_rate == 0.02
    assert settings.limits.max_tokens == 60
    assert BASE.model.hidden_size == 64


@pytest.mark.parametrize("variant", DEFAULTS)
def test_a_configuration_survives_being_stored(variant: str) -> None:
    source, base = DataSource("toy", "00", "/toy.csv"), DEFAULTS[variant]
    configuration = StudyConfig(source, "/cache", base, space="wide", seed=3)
    assert StudyConfig.from_dict(json.loads(json.dumps(configuration.to_dict()))) == configuration
