"""Which model a study is about: the settings that each begins with, and the options that mean something to it."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from models.cnn import CNNConfig
from models.learning import Settings
from models.lstm import LSTMConfig
from models.training import TrainingConfig
from preprocessing.batches import TextLimits
from study.errors import StudyError

DEFAULTS: dict[str, Settings] = {
    "lstm": Settings(LSTMConfig(), TrainingConfig(), TextLimits()),
    "cnn": Settings(CNNConfig(), TrainingConfig(learning_rate=2e-3), TextLimits()),
}
COMMON = {"metric", "seed", "max_training_texts"}
WORDS = {"max_tokens", "vocabulary_size", "min_frequency"}
TRAINER = {"epochs", "patience"}
MEANINGFUL: dict[str, set[str]] = {"lstm": COMMON | WORDS | TRAINER, "cnn": COMMON | WORDS | TRAINER}


def choose_settings(model: str, options: Mapping[str, Any]) -> Settings:
    """The model's defaults, changed by the options that are not None.

    Raises `StudyError` for an option that means nothing to the model: it would silently do nothing.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if useless := sorted(given.keys() - MEANINGFUL[model]):
        option = f"--{useless[0].replace('_', '-')}"
        raise StudyError(f"{option} means nothing to --model {model}; leave it away.")
    settings = DEFAULTS[model]
    parts = {
        part.name: replace(
            getattr(settings, part.name),
            **{field.name: given[field.name] for field in fields(getattr(settings, part.name)) if field.name in given},
        )
        for part in fields(settings)
    }
    return Settings(**parts)
