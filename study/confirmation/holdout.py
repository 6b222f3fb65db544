"""The one place that opens the test split: once for the systems that a report compares, and every opening is counted.

What was predicted is stored with the confirmation, so that a report that is drawn again opens nothing. It belongs to
the weights that predicted it: other weights, as of a training repeated on another machine, are another opening.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import optuna
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial
from sklearn.metrics import log_loss

from models.baselines import Fit, fit_baselines
from models.calibration import best_temperature
from models.learner import Learner
from preprocessing.batches import limited_training_texts
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import prepare_for_search, prepare_test
from study.configuration import StudyConfig
from study.confirmation.trainings import Confirmed
from study.errors import StudyError
from study.storage.attributes import OPENINGS, REPEAT, RESULTS
from study.storage.connection import RetryingStorage, retry
from study.storage.lock import study_lock
from study.trials.repeats import confirmed_learner, digest_of_weights, load_weights
from study.trials.texts import word_pieces_of

CONFIDENCE_STEPS = 10_000  # probabilities are stored as multiples of their inverse

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Probabilities:
    """What the trainings of a system say of their own labels on the test texts, calibrated on validation texts."""

    temperatures: tuple[float, ...]  # by which the logits of each training are divided
    log_losses: tuple[float, ...]  # the mean negative log-likelihood of each training
    confidences: npt.NDArray[np.float64]  # (repeats, texts), the probability of the label that is predicted


@dataclass(frozen=True)
class System:
    """A classifier as it was tested: one row of predictions per repeat, shape (repeats, texts)."""

    name: str
    title: str
    parameters: dict[str, Any]  # of a baseline lists, a value per repeat: it is tuned on each
    validation: tuple[float, ...]  # the score on each repeat's own validation texts
    predictions: Numbers
    weights: int = 0  # numbers that the model of the first repeat consists of
    probabilities: Probabilities | None = None  # None: of a baseline


@dataclass(frozen=True)
class HoldoutResults:
    labels: Numbers  # of the test texts
    classes: tuple[str, ...]
    systems: tuple[System, ...]  # the winner, the default configuration where that is another one, the baselines


@dataclass(frozen=True)
class Opening:
    """An opening of a test split: when, by which study, how many trials its search had finished by then."""

    test_split: str
    study: str
    moment: str  # ISO 8601, UTC
    search_trials: int
    compared: str = ""  # for what: one that was interrupted before anything was seen goes on, and is no second one


def load_results(confirmation: Study, compared: Sequence[Confirmed], *, checkpoints: Path) -> HoldoutResults | None:
    """What these systems, with the weights that are there, predicted when the test split was opened, or None."""
    stored = confirmation.user_attrs.get(_results_of(compared, checkpoints))
    if stored is None:
        return None
    systems = tuple(_system_from(one) for one in stored["systems"])
    return HoldoutResults(_unpack(stored["labels"])[0], tuple(stored["classes"]), systems)


def open_test_split(
    confirmation: Study,
    storage: RetryingStorage,
    configuration: StudyConfig,
    compared: Sequence[Confirmed],
    *,
    search_trials: int,
    device: torch.device,
    checkpoints: Path,
    on_event: Callable[[str], None],
) -> HoldoutResults:
    """Let the confirmed configurations and the baselines predict the test texts, and store that.

    Each of them once per repeat, fitted on that repeat's training texts. `compared`: the winner, then others. Raises
    `StudyError` where the repeats do not number their classes alike.
    """
    stamp = Opening(
        test_split=split_hash(configuration),
        study=confirmation.study_name,
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=_results_of(compared, checkpoints),
    )
    retry(storage, lambda: _count(confirmation, storage, stamp))
    sides = _Sides(configuration, device)
    systems = []
    for number, one in enumerate(compared):
        title = "the default configuration" if one.candidate.is_default else "the winner"
        systems.append(_predict(sides, one, "winner" if number == 0 else "default", title, checkpoints))
    repeats = [int(trial.user_attrs[REPEAT]) for trial in compared[0].trials]
    systems += _predict_baselines(configuration, repeats, on_event=on_event)
    results = HoldoutResults(sides.labels, sides.classes, tuple(systems))
    _store(confirmation, results, stamp.compared)
    return results


def openings(storage: RetryingStorage, configuration: StudyConfig) -> list[Opening]:
    """Every opening of this test split by any study of the database, the first one first."""
    split = split_hash(configuration)
    found = []
    for study in optuna.get_all_study_summaries(storage, include_best_trial=False):
        found += [Opening(**stamp) for stamp in study.user_attrs.get(OPENINGS, []) if stamp["test_split"] == split]
    return sorted(found, key=lambda opening: opening.moment)


def split_hash(configuration: StudyConfig) -> str:
    """A digest of which test texts: in a standard corpus, they do not depend on the seed of the split."""
    source = configuration.source
    seed = configuration.split_seed if source.path is not None else None
    facts = [source.sha256, source.label_column, source.text_column, seed]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _count(confirmation: Study, storage: RetryingStorage, opening: Opening) -> None:
    """Record an opening, unless one for the same was interrupted before anything was seen."""
    with study_lock(storage, confirmation.study_name):
        stamps = confirmation.user_attrs.get(OPENINGS, [])
        if not any(stamp.get("compared") == opening.compared for stamp in stamps):
            confirmation.set_user_attr(OPENINGS, [*stamps, vars(opening)])


class _Sides:
    """The test texts as each repeat encodes them: the same texts, whose classes must have the same numbers."""

    def __init__(self, configuration: StudyConfig, device: torch.device) -> None:
        self._configuration, self._device = configuration, device
        self.classes: tuple[str, ...] = ()
        self.labels: Numbers = np.empty(0, np.int64)

    def open(self, trial: FrozenTrial) -> tuple[Learner, EncodedTexts]:
        """What has learned in a training, and the test texts for it. Raises `StudyError`."""
        learner = confirmed_learner(self._configuration, trial, self._device)
        texts = _prepare_test(self._configuration, int(trial.user_attrs[REPEAT]))
        labels, classes = texts.labels.astype(np.int64), learner.prepared.classes
        if self.classes and (classes != self.classes or not np.array_equal(labels, self.labels)):
            raise StudyError(
                "The classes of prepared texts do not have the same numbers in all repeats, as an earlier version has "
                "prepared them. Remove those, and what was trained on them, with `python -m study.cache --clear "
                "--checkpoints`; then start the same command again."
            )
        self.classes, self.labels = classes, labels
        return learner, texts


def _prepare_test(configuration: StudyConfig, repeat: int) -> EncodedTexts:
    """The test texts as the study's model reads them."""
    source, seed, cache_dir = configuration.source, configuration.split_seed, Path(configuration.cache_dir)
    pieces = word_pieces_of(configuration)
    return prepare_test(source, split_seed=seed, cache_dir=cache_dir, repeat=repeat, pieces=pieces)


def _predict(sides: _Sides, one: Confirmed, name: str, title: str, checkpoints: Path) -> System:
    """The predictions of a confirmed configuration, one row for each of its trainings."""
    predictions, temperatures, log_losses, confidences = [], [], [], []
    size = 0  # of the first model
    for trial in one.trials:
        learner, texts = sides.open(trial)
        weights, validation = load_weights(checkpoints, trial), learner.prepared.validation
        known = torch.from_numpy(validation.labels.astype(np.int64))
        temperatures.append(best_temperature(learner.logits(weights, validation), known))
        probabilities = (learner.logits(weights, texts).double() / temperatures[-1]).softmax(dim=1).numpy()
        predictions.append(probabilities.argmax(axis=1))
        confidences.append(np.rint(probabilities.max(axis=1) * CONFIDENCE_STEPS) / CONFIDENCE_STEPS)
        log_losses.append(float(log_loss(sides.labels, probabilities, labels=np.arange(len(sides.classes)))))
        size = size or learner.count_weights(weights)
    return System(
        name,
        title,
        one.candidate.parameters,
        tuple(one.values),
        np.stack(predictions),
        size,
        Probabilities(tuple(temperatures), tuple(log_losses), np.stack(confidences)),
    )


def _predict_baselines(
    configuration: StudyConfig, repeats: list[int], *, on_event: Callable[[str], None]
) -> list[System]:
    """Fitted on the training texts of each repeat as the networks are, in words, all of them and none cut off."""
    fitted = []
    for number, repeat in enumerate(repeats, start=1):

        def on_fit(fit: Fit, number: int = number) -> None:
            if fit.number == 1:
                on_event(f"Baselines on repeat {number} of {len(repeats)}: {fit.fits} fits.")

        source, seed, cache_dir = configuration.source, configuration.split_seed, Path(configuration.cache_dir)
        prepared = prepare_for_search(source, split_seed=seed, cache_dir=cache_dir, repeat=repeat)
        baselines = fit_baselines(
            limited_training_texts(prepared.training, configuration.base.limits),
            prepared.validation,
            vocabulary_size=len(prepared.word_counts),
            classes=len(prepared.classes),
            metric=configuration.base.training.metric,
            on_fit=on_fit,
        )
        texts = prepare_test(source, split_seed=seed, cache_dir=cache_dir, repeat=repeat)
        fitted.append([(baseline, baseline.predict(texts)) for baseline in baselines])
    systems = []
    for kind in zip(*fitted, strict=True):
        baselines, predictions = zip(*kind, strict=True)
        names, title = baselines[0].parameters, baselines[0].title
        parameters = {name: [one.parameters[name] for one in baselines] for name in names}
        scores = tuple(one.validation_score for one in baselines)
        systems.append(System(baselines[0].name, title, parameters, scores, np.stack(predictions)))
    return systems


def _store(confirmation: Study, results: HoldoutResults, name: str) -> None:
    systems = [_system_to(system) for system in results.systems]
    content = {"classes": results.classes, "labels": _pack(results.labels[None]), "systems": systems}
    confirmation.set_user_attr(name, content)


def _results_of(compared: Sequence[Confirmed], checkpoints: Path) -> str:
    """The attribute's name, from parameters, repeats and weights: trained again to the same bits, it is the same."""
    facts = [
        [
            sorted(map(list, one.candidate.parameters.items())),
            [[trial.user_attrs[REPEAT], digest_of_weights(checkpoints, trial)] for trial in one.trials],
        ]
        for one in compared
    ]
    return f"{RESULTS} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def _system_to(system: System) -> dict[str, Any]:
    """A system as a database holds it."""
    probabilities = None
    if system.probabilities:
        steps = np.rint(system.probabilities.confidences * CONFIDENCE_STEPS).astype(np.int64)
        probabilities = {**asdict(system.probabilities), "confidences": _pack(steps)}
    return {**vars(system), "predictions": _pack(system.predictions), "probabilities": probabilities}


def _system_from(stored: dict[str, Any]) -> System:
    probabilities = stored["probabilities"]
    if probabilities:
        confidences = _unpack(probabilities["confidences"]) / CONFIDENCE_STEPS
        temperatures, log_losses = (tuple(probabilities[name]) for name in ("temperatures", "log_losses"))
        probabilities = Probabilities(temperatures, log_losses, confidences)
    arrays = {"validation": tuple(stored["validation"]), "predictions": _unpack(stored["predictions"])}
    return System(**{**stored, **arrays, "probabilities": probabilities})


def _pack(numbers: Numbers) -> dict[str, Any]:
    """Whole numbers (rows, texts) as text: a database holds no arrays."""
    packed = base64.b85encode(zlib.compress(numbers.astype("<i4").tobytes(), 9)).decode()
    return {"rows": len(numbers), "numbers": packed}


def _unpack(packed: dict[str, Any]) -> Numbers:
    content = zlib.decompress(base64.b85decode(packed["numbers"]))
    return np.frombuffer(content, "<i4").reshape(packed["rows"], -1).astype(np.int64)
