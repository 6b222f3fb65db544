"""The baselines of a report: fitted on the training texts of each repeat, like the networks, and tested with them."""

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from optuna.study import Study

from models.baselines import fit_baselines
from preprocessing.batches import limited_training_texts
from preprocessing.prepared import RULES as PREPROCESSING_RULES
from study.configuration import FIRST_REFIT
from study.confirmation.opened_split import OpenedSplit
from study.confirmation.openings import split_hash
from study.confirmation.predictions import REFITTED_BASELINE, System
from study.storage.attributes import BASELINES

BASELINE_RULES = 2  # version of how baselines are tuned and fitted; those of others are fitted again


def predict_baselines(
    confirmation: Study,
    sides: OpenedSplit,
    repeat: int,
    tell: Callable[[], None],
    chosen: dict[str, dict[str, float]] | None,
) -> list[System]:
    """The baselines, fitted on the training texts of a repeat like the networks, with all words of whole texts.

    Their parameters are those `chosen` on the first repeat, as the networks have the same ones on all. They are stored,
    since they do not depend on the winner; `tell` is called if they are not there yet.
    """
    base = sides.configuration.base
    rules = [PREPROCESSING_RULES, BASELINE_RULES]
    facts = [split_hash(sides.configuration), repeat, *rules, base.limits.max_training_texts]
    name = f"{BASELINES} {hashlib.sha256(json.dumps([*facts, base.training.metric]).encode()).hexdigest()[:16]}"
    if name in confirmation.user_attrs:
        return [System.from_dict(stored) for stored in confirmation.user_attrs[name]]
    tell()
    prepared, texts = sides.open_in_words(repeat)
    baselines = fit_baselines(
        limited_training_texts(prepared.training, base.limits),
        prepared.validation,
        vocabulary_size=len(prepared.word_counts),
        classes=len(prepared.classes),
        metric=base.training.metric,
        chosen=chosen,
    )
    systems = [
        System(
            baseline.name,
            baseline.title,
            {name: [value] for name, value in baseline.parameters.items()},
            (baseline.validation_score,),
            baseline.predict(texts)[None],
        )
        for baseline in baselines
    ]
    confirmation.set_user_attr(name, [system.to_dict() for system in systems])
    return systems


def refitted_baseline(sides: OpenedSplit, best: System) -> System:
    """A baseline with the parameters that were chosen on validation, fitted on all texts but the test's."""
    prepared, texts = sides.open_in_words(FIRST_REFIT)
    (baseline,) = fit_baselines(
        prepared.training,
        prepared.validation,
        vocabulary_size=len(prepared.word_counts),
        classes=len(prepared.classes),
        metric=sides.configuration.base.training.metric,
        chosen=parameters_of([best]),
    )
    title = f"{best.title}, on all texts but the test's"
    return System(REFITTED_BASELINE, title, best.parameters, (), baseline.predict(texts)[None])


def parameters_of(baselines: Sequence[System]) -> dict[str, dict[str, float]]:
    """The parameters of each baseline that was fitted on one repeat."""
    return {system.name: {name: values[0] for name, values in system.parameters.items()} for system in baselines}


def over_repeats(systems: Sequence[System]) -> System:
    """A baseline that was fitted on each repeat, as one system."""
    first = systems[0]
    parameters = {name: [system.parameters[name][0] for system in systems] for name in first.parameters}
    scores = tuple(system.validation[0] for system in systems)
    return System(first.name, first.title, parameters, scores, np.concatenate([each.predictions for each in systems]))
