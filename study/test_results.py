"""The one place that opens the test split: once for the systems that a report compares, and every opening is counted.

What was predicted is stored with the confirmation, so that a report that is drawn again opens nothing.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import torch
from optuna.study import Study

from models.baselines import Fit, fit_baselines
from preprocessing.batches import limited_training_texts
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import prepare_for_search, prepare_test
from study.configuration import StudyConfiguration
from study.confirmation import DRAW, Confirmed, confirmed_learner
from study.exclusion import exclusive
from study.kept_weights import load_weights
from study.preparation import word_pieces_of
from study.storage import PatientStorage, patiently

OPENINGS = "openings"  # the study attribute: when the test split was opened, for what
RESULTS = "test_results"  # the study attribute, followed by what was compared: what was predicted

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class System:
    """A classifier as it was tested: one row of predictions per draw, shape (draws, texts)."""

    name: str
    title: str
    parameters: dict[str, Any]  # of a baseline lists, a value per draw: each draw is tuned on its own
    validation: tuple[float, ...]  # the score on each draw's own validation texts
    predictions: Numbers
    weights: int = 0  # numbers that the model of the first draw consists of


@dataclass(frozen=True)
class TestResults:
    __test__ = False  # pytest: not a test

    labels: Numbers  # of the test texts
    classes: tuple[str, ...]
    systems: tuple[System, ...]  # the winner, the default configuration where that is another one, the baselines


@dataclass(frozen=True)
class Opening:
    """That a test split was opened: when, by which study, how many trials its search had finished by then."""

    test_split: str
    study: str
    moment: str  # ISO 8601, UTC
    search_trials: int
    compared: str = ""  # for what: one that was interrupted before anything was seen goes on, and is no second one


def load_results(confirmation: Study, compared: Sequence[Confirmed]) -> TestResults | None:
    """What was predicted for these systems when the test split was opened, or None."""
    stored = confirmation.user_attrs.get(_results_of(compared))
    if stored is None:
        return None
    systems = tuple(
        System(**{**one, "validation": tuple(one["validation"]), "predictions": _unpack(one["predictions"])})
        for one in stored["systems"]
    )
    return TestResults(_unpack(stored["labels"])[0], tuple(stored["classes"]), systems)


def open_test_split(
    confirmation: Study,
    storage: PatientStorage,
    configuration: StudyConfiguration,
    compared: Sequence[Confirmed],
    *,
    search_trials: int,
    device: torch.device,
    checkpoints: Path,
    on_event: Callable[[str], None],
) -> TestResults:
    """Let the confirmed configurations and the baselines predict the test texts, and store that.

    Each of them once per draw, fitted on that draw's training texts. `compared`: the winner, then others.
    """
    stamp = Opening(
        test_split=split_hash(configuration),
        study=confirmation.study_name,
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=_results_of(compared),
    )
    patiently(storage, lambda: _count(confirmation, storage, stamp))
    systems: list[System] = []
    labels: Numbers | None = None
    classes: tuple[str, ...] = ()
    for number, one in enumerate(compared):
        rows = []
        for trial in one.trials:
            learner = confirmed_learner(configuration, trial, device)
            texts = _prepare_test(configuration, int(trial.user_attrs[DRAW]))
            rows.append(learner.classify(load_weights(checkpoints, trial), texts))
            labels, classes = texts.labels.astype(np.int64), learner.prepared.classes
        first = confirmed_learner(configuration, one.trials[0], device)
        weights = first.count_weights(load_weights(checkpoints, one.trials[0]))
        name = "winner" if number == 0 else "default"
        title = "the default configuration" if one.candidate.is_default else "the winner"
        scores = tuple(float(trial.value or 0.0) for trial in one.trials)
        systems.append(System(name, title, one.candidate.parameters, scores, np.stack(rows), weights))
    assert labels is not None
    draws = [int(trial.user_attrs[DRAW]) for trial in compared[0].trials]
    systems += _predict_baselines(configuration, draws, on_event=on_event)
    results = TestResults(labels, classes, tuple(systems))
    _store(confirmation, results, compared)
    return results


def openings(storage: PatientStorage, configuration: StudyConfiguration) -> list[Opening]:
    """Every opening of this test split by any study of the database, the first one first."""
    split = split_hash(configuration)
    found = []
    for study in optuna.get_all_study_summaries(storage, include_best_trial=False):
        found += [Opening(**stamp) for stamp in study.user_attrs.get(OPENINGS, []) if stamp["test_split"] == split]
    return sorted(found, key=lambda opening: opening.moment)


def split_hash(configuration: StudyConfiguration) -> str:
    """Which test texts: those of a standard corpus do not depend on the seed of the split."""
    source = configuration.source
    seed = configuration.split_seed if source.path is not None else None
    facts = [source.sha256, source.label_column, source.text_column, seed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _count(confirmation: Study, storage: PatientStorage, opening: Opening) -> None:
    """Unless one for the same was interrupted before anything was seen."""
    with exclusive(storage, confirmation.study_name):
        stamps = confirmation.user_attrs.get(OPENINGS, [])
        if not any(stamp.get("compared") == opening.compared for stamp in stamps):
            confirmation.set_user_attr(OPENINGS, [*stamps, vars(opening)])


def _prepare_test(configuration: StudyConfiguration, draw: int) -> EncodedTexts:
    """The test texts as the study's model reads them."""
    source, seed, cache_dir = configuration.source, configuration.split_seed, Path(configuration.cache_dir)
    pieces = word_pieces_of(configuration)
    return prepare_test(source, split_seed=seed, cache_dir=cache_dir, draw=draw, pieces=pieces)


def _predict_baselines(
    configuration: StudyConfiguration, draws: list[int], *, on_event: Callable[[str], None]
) -> list[System]:
    """Fitted on the training texts of each draw as the networks are, in words, all of them and none cut off."""
    fitted = []
    for draw in draws:

        def on_fit(fit: Fit, draw: int = draw) -> None:
            if fit.number == 1:
                on_event(f"Baselines on draw {draw + 1} of {len(draws)}: {fit.fits} fits.")

        source, seed, cache_dir = configuration.source, configuration.split_seed, Path(configuration.cache_dir)
        prepared = prepare_for_search(source, split_seed=seed, cache_dir=cache_dir, draw=draw)
        baselines = fit_baselines(
            limited_training_texts(prepared.training, configuration.base.limits),
            prepared.validation,
            words=len(prepared.word_counts),
            classes=len(prepared.classes),
            metric=configuration.base.training.metric,
            on_fit=on_fit,
        )
        texts = prepare_test(source, split_seed=seed, cache_dir=cache_dir, draw=draw)
        fitted.append([(baseline, baseline.predict(texts)) for baseline in baselines])
    systems = []
    for kind in zip(*fitted, strict=True):
        baselines, predictions = zip(*kind, strict=True)
        names, title = baselines[0].parameters, baselines[0].title
        parameters = {name: [one.parameters[name] for one in baselines] for name in names}
        scores = tuple(one.validation_score for one in baselines)
        systems.append(System(baselines[0].name, title, parameters, scores, np.stack(predictions)))
    return systems


def _store(confirmation: Study, results: TestResults, compared: Sequence[Confirmed]) -> None:
    systems = [{**vars(system), "predictions": _pack(system.predictions)} for system in results.systems]
    content = {"classes": results.classes, "labels": _pack(results.labels[None]), "systems": systems}
    confirmation.set_user_attr(_results_of(compared), content)


def _results_of(compared: Sequence[Confirmed]) -> str:
    """The attribute's name, from parameters and draws: trained again, they come to the same."""
    facts = [
        [sorted(map(list, one.candidate.parameters.items())), [trial.user_attrs[DRAW] for trial in one.trials]]
        for one in compared
    ]
    return f"{RESULTS} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def _pack(numbers: Numbers) -> dict[str, Any]:
    """Class numbers (rows, texts) as text: a database holds no arrays."""
    packed = base64.b85encode(zlib.compress(numbers.astype("<i4").tobytes(), 9)).decode()
    return {"rows": len(numbers), "numbers": packed}


def _unpack(packed: dict[str, Any]) -> Numbers:
    content = zlib.decompress(base64.b85decode(packed["numbers"]))
    return np.frombuffer(content, "<i4").reshape(packed["rows"], -1).astype(np.int64)
