"""Formats names and numbers for users."""

from typing import Any

from optuna.trial import TrialState

from study.configuration import StudyConfig
from study.search_space import describe

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}

METRIC_TITLES = {"macro_f1": "macro-F1", "accuracy": "accuracy"}


def format_parameters(parameters: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )


def format_seconds(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def describe_search(configuration: StudyConfig) -> str:
    """The search in a sentence: the metric and the ranges."""
    ranges = ", ".join(f"{name} {range_}" for name, range_ in describe(configuration.search_space).items())
    return f"Search: highest validation {METRIC_TITLES[configuration.metric]} over {ranges}."


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def metric_title(configuration: StudyConfig) -> str:
    return f"validation {METRIC_TITLES[configuration.metric]}"


def axis_title(configuration: StudyConfig) -> str:
    return capital(metric_title(configuration))


def parameter_title(name: str) -> str:
    return capital(parameter_words(name))


def parameter_words(name: str) -> str:
    return name.replace("_", " ")


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
