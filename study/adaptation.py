"""Defaults that follow the texts: a few rules, each with its evidence.

All were found on training texts alone (`benchmarks/method/defaults.py`, docs/benchmarks.md). The defaults of the models
suit texts such as those of R8: 500,000 words in all, 100 in a text.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from models.learners.learner import Settings
from models.registry import find_learner, name_of
from preprocessing.prepared import PreparedTexts

PARTS = ("model", "training", "limits")  # of the settings, with the fields that options set
FEW_WORDS = 200_000  # in all training texts: the rule was better with up to 100,000, and not with 290,000
SHORT_TEXTS = 30  # words in a text, on average: the rule was mostly better with 7 and 20, and worse with 60


@dataclass(frozen=True)
class Rule:
    """The defaults for texts of a kind."""

    applies: Callable[[int, float], bool]  # to the number of words in all, and in a text on average
    detail: str  # of both numbers, as `words` and `mean`
    changes: Mapping[str, Any]  # the values of fields of the settings


RULES = {
    # Where there is little to learn from, nothing is left out; what is longer than a window is read in several.
    "few words": Rule(
        lambda words, _mean: words < FEW_WORDS,
        "{words:,} in training",
        {"min_frequency": 1, "max_tokens": 1_000, "window": 200},
    ),
    # Of seven words, nearly all are needed; the few that are dropped train <unk>.
    "short texts": Rule(
        lambda _words, mean: mean < SHORT_TEXTS,
        "{mean:.1f} words on average",
        {"min_frequency": 1, "word_dropout": 0.1, "embedding_dropout": 0.3, "label_smoothing": 0.0},
    ),
}


def rules_for(settings: Settings, prepared: PreparedTexts) -> dict[str, str]:
    """The names of the rules that apply to the training texts, with a detail that says why."""
    if not may_follow_texts(settings):
        return {}
    lengths = prepared.training.lengths
    words, mean = int(lengths.sum()), float(lengths.mean())
    kinds = {name: rule for name, rule in RULES.items() if rule.applies(words, mean)}
    return {name: rule.detail.format(words=words, mean=mean) for name, rule in kinds.items()}


def may_follow_texts(settings: Settings) -> bool:
    """Whether there are rules for the model: for networks of words that start from scratch.

    With word vectors, nothing was measured.
    """
    return find_learner(name_of(settings.model)).fits_budget and settings.vectors is None


def changes_of(rules: Collection[str]) -> dict[str, Any]:
    """The fields that the rules change, with their values."""
    return {field: value for name in rules for field, value in RULES[name].changes.items()}


def adapted(settings: Settings, rules: Collection[str], *, asked: Collection[str] = ()) -> Settings:
    """The settings with what the rules change, except for the fields that the user asked for."""
    return with_fields(settings, {name: value for name, value in changes_of(rules).items() if name not in asked})


def with_fields(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with other values of these fields, where they have them."""
    parts = {}
    for part in PARTS:
        own = getattr(settings, part)
        parts[part] = replace(own, **{field.name: values[field.name] for field in fields(own) if field.name in values})
    return replace(settings, **parts)


def values_of(settings: Settings) -> dict[str, Any]:
    """The values of all fields of the settings' parts."""
    return {name: value for part in PARTS for name, value in vars(getattr(settings, part)).items()}
