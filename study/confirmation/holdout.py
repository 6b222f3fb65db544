"""The only place that opens the test split: once for the systems that a report compares; every opening is recorded.

The predictions are stored with the confirmation, so that writing the report again opens nothing. They belong to the
weights that made them: other weights, as of a training repeated on another machine, need another opening.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial
from sklearn.metrics import log_loss

from models.baselines import fit_baselines
from models.learners.learner import Learner
from preprocessing.batches import limited_training_texts
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import RULES as PREPROCESSING_RULES
from preprocessing.prepared import PreparedTexts, prepare_test
from study.configuration import StudyConfig
from study.confirmation.openings import Opening, record, split_hash
from study.confirmation.predictions import CONFIDENCE_STEPS, ENSEMBLE, HoldoutResults, Numbers, Probabilities, System
from study.confirmation.trainings import Confirmed
from study.errors import StudyError
from study.storage.attributes import BASELINES, ENSEMBLE_RESULTS, REPEAT, RESULTS
from study.storage.retrying import RetryingStorage, retry
from study.trials.repeats import confirmed_learner, digest_of_weights, load_weights, prepare_repeat, temperature_of
from study.trials.texts import word_pieces_of

BASELINE_RULES = 2  # version of how baselines are tuned and fitted; those of others are fitted again


def load_results(confirmation: Study, compared: Sequence[Confirmed], *, checkpoints: Path) -> HoldoutResults | None:
    """The stored test predictions of these systems with their present weights, or None."""
    stored = confirmation.user_attrs.get(_results_of(compared, checkpoints))
    results = None if stored is None else HoldoutResults.from_dict(stored)
    if results and len(compared[0].trials) > 1 and results.ensemble is None:  # as an earlier version has stored them
        return None
    return results


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
    """Predict the test texts with the confirmed configurations and the baselines, and store the predictions.

    Each predicts once per repeat, fitted on that repeat's training texts. `compared`: the winner, then the default
    configuration if it is another one. Raises `StudyError` if the classes have different numbers in different repeats.
    """
    stamp = Opening(
        test_split=split_hash(configuration),
        study=confirmation.study_name,
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=_results_of(compared, checkpoints),
    )
    retry(storage, lambda: record(confirmation, storage, stamp))
    sides = _Sides(configuration, device)
    predicted: list[list[_Predicted]] = []
    baselines: list[list[System]] = []
    for trials in zip(*(confirmed.trials for confirmed in compared), strict=True):  # those of one repeat
        predicted.append([_predict(sides, trial, checkpoints) for trial in trials])
        repeat, number = int(trials[0].user_attrs[REPEAT]), len(predicted)
        tell = partial(on_event, f"Baselines on repeat {number} of {len(compared[0].trials)}.")
        chosen = _parameters_of(baselines[0]) if baselines else None
        baselines.append(_predict_baselines(confirmation, sides, repeat, tell, chosen))
    names = ["winner", "default"][: len(compared)]
    systems = []
    for name, confirmed, trainings in zip(names, compared, zip(*predicted, strict=True), strict=True):
        first = confirmed.trials[0]
        weights = confirmed_learner(configuration, first, device).count_weights(load_weights(checkpoints, first))
        systems.append(_trained_system(name, confirmed, trainings, weights))
        if name == "winner" and len(trainings) > 1:
            systems.append(_ensemble(systems[0], sides.labels, trainings))
    systems += map(_over_repeats, zip(*baselines, strict=True))
    results = HoldoutResults(sides.labels, sides.classes, tuple(systems))
    confirmation.set_user_attr(stamp.compared, results.to_dict())
    return results


@dataclass(frozen=True)
class Voter:
    """A confirmed study as a part of an ensemble."""

    study: str
    configuration: StudyConfig
    confirmed: Confirmed
    checkpoints: Path
    weight: float  # of its probabilities, the mean over its trainings


def open_for_ensemble(
    confirmation: Study, storage: RetryingStorage, voters: Sequence[Voter], *, search_trials: int, device: torch.device
) -> tuple[Numbers, System]:
    """The labels of the test texts, and the predictions of an ensemble across studies of the same texts.

    They are stored with the `confirmation` of one of the studies. The weights must have been chosen on validation
    texts. Raises `StudyError` if the classes have different numbers in different studies.
    """
    digests = sorted(f"{voter.weight:.6f} {_results_of([voter.confirmed], voter.checkpoints)}" for voter in voters)
    name = f"{ENSEMBLE_RESULTS} {hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]}"
    if name in confirmation.user_attrs:
        results = HoldoutResults.from_dict(confirmation.user_attrs[name])
        return results.labels, results.systems[0]
    stamp = Opening(
        test_split=split_hash(voters[0].configuration),
        study=f"the ensemble of {', '.join(voter.study for voter in voters)}",
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=name,
    )
    retry(storage, lambda: record(confirmation, storage, stamp))
    means: list[npt.NDArray[np.float64]] = []
    weights, sides = 0, None
    for voter in voters:
        sides = _Sides(voter.configuration, device, classes_of=sides)
        trials = voter.confirmed.trials
        predicted = [_predict(sides, trial, voter.checkpoints).probabilities for trial in trials]
        means.append(voter.weight * np.mean(predicted, axis=0))
        for trial in trials:
            learner = confirmed_learner(voter.configuration, trial, device)
            weights += learner.count_weights(load_weights(voter.checkpoints, trial))
    assert sides is not None
    ensemble = _predicted(np.sum(means, axis=0), sides.labels, temperature=1.0)
    system = System(
        ENSEMBLE,
        "the ensemble",
        {voter.study: voter.weight for voter in voters},
        (),
        ensemble.predictions[None],
        weights,
        Probabilities((1.0,), (ensemble.log_loss,), ensemble.confidences[None]),
    )
    confirmation.set_user_attr(name, HoldoutResults(sides.labels, sides.classes, (system,)).to_dict())
    return sides.labels, system


class _Sides:
    """The test texts, encoded for each repeat: the same texts, whose classes must have the same numbers."""

    def __init__(self, configuration: StudyConfig, device: torch.device, *, classes_of: "_Sides | None" = None) -> None:
        self.configuration = configuration
        self._device = device
        self._opened: dict[tuple[int, bool], EncodedTexts] = {}
        self.classes: tuple[str, ...] = classes_of.classes if classes_of else ()  # those of another study's, too
        self.labels: Numbers = classes_of.labels if classes_of else np.empty(0, np.int64)

    def open(self, trial: FrozenTrial) -> tuple[Learner, EncodedTexts]:
        """The learner of a training, and the test texts for it. Raises `StudyError`."""
        learner = confirmed_learner(self.configuration, trial, self._device)
        texts = self._test_texts(int(trial.user_attrs[REPEAT]))
        labels, classes = texts.labels.astype(np.int64), learner.prepared.classes
        if self.classes and (classes != self.classes or not np.array_equal(labels, self.labels)):
            raise StudyError(
                "The classes of prepared texts do not have the same numbers in all repeats, as an earlier version has "
                "prepared them. Remove those, and what was trained on them, with `python -m study.cache --clear "
                "--checkpoints`; then start the same command again."
            )
        self.classes, self.labels = classes, labels
        return learner, texts

    def open_in_words(self, repeat: int) -> tuple[PreparedTexts, EncodedTexts]:
        """The texts of a repeat for the baselines, and the test texts for them."""
        prepared = prepare_repeat(self.configuration, repeat, in_words=True)
        return prepared, self._test_texts(repeat, in_words=True)

    def _test_texts(self, repeat: int, *, in_words: bool = False) -> EncodedTexts:
        """The test texts of a repeat, opened once for all systems."""
        configuration = self.configuration
        pieces = None if in_words else word_pieces_of(configuration)
        key = repeat, pieces is None
        if key not in self._opened:
            prepared = prepare_repeat(configuration, repeat, in_words=in_words)
            split, cache_dir = configuration.split(repeat), Path(configuration.cache_dir)
            self._opened[key] = prepare_test(split, prepared, cache_dir=cache_dir, pieces=pieces)
        return self._opened[key]


@dataclass(frozen=True)
class _Predicted:
    """The test predictions of one training."""

    probabilities: npt.NDArray[np.float64]  # (texts, classes)
    temperature: float
    log_loss: float

    @property
    def predictions(self) -> Numbers:
        predictions: Numbers = self.probabilities.argmax(axis=1)
        return predictions

    @property
    def confidences(self) -> npt.NDArray[np.float64]:
        steps: npt.NDArray[np.float64] = np.rint(self.probabilities.max(axis=1) * CONFIDENCE_STEPS)
        return steps / CONFIDENCE_STEPS


def _predict(sides: _Sides, trial: FrozenTrial, checkpoints: Path) -> _Predicted:
    learner, texts = sides.open(trial)
    weights = load_weights(checkpoints, trial)
    temperature = temperature_of(learner, learner.logits(weights, learner.prepared.validation))
    probabilities = (learner.logits(weights, texts).double() / temperature).softmax(dim=1).numpy()
    return _predicted(probabilities, sides.labels, temperature)


def _predicted(probabilities: npt.NDArray[np.float64], labels: Numbers, temperature: float) -> _Predicted:
    loss = log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1]))
    return _Predicted(probabilities, temperature, float(loss))


def _ensemble(winner: System, labels: Numbers, trainings: Sequence[_Predicted]) -> System:
    """The trainings of the winner as one system: the mean of their calibrated probabilities.

    It has no score on validation texts, since those of one training were trained on by another.
    """
    mean = _predicted(np.mean([training.probabilities for training in trainings], axis=0), labels, temperature=1.0)
    return replace(
        winner,
        name=ENSEMBLE,
        title=f"{winner.title}, {len(trainings)} training runs averaged",
        validation=(),
        predictions=mean.predictions[None],
        weights=winner.weights * len(trainings),
        probabilities=Probabilities((1.0,), (mean.log_loss,), mean.confidences[None]),
    )


def _trained_system(name: str, confirmed: Confirmed, trainings: Sequence[_Predicted], weights: int) -> System:
    return System(
        name,
        "the default configuration" if confirmed.candidate.is_default else "the winner",
        confirmed.candidate.parameters,
        tuple(confirmed.values),
        np.stack([training.predictions for training in trainings]),
        weights,
        Probabilities(
            tuple(training.temperature for training in trainings),
            tuple(training.log_loss for training in trainings),
            np.stack([training.confidences for training in trainings]),
        ),
    )


def _predict_baselines(
    confirmation: Study,
    sides: _Sides,
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


def _parameters_of(baselines: Sequence[System]) -> dict[str, dict[str, float]]:
    """The parameters of each baseline that was fitted on one repeat."""
    return {system.name: {name: values[0] for name, values in system.parameters.items()} for system in baselines}


def _over_repeats(systems: Sequence[System]) -> System:
    """A baseline that was fitted on each repeat, as one system."""
    first = systems[0]
    parameters = {name: [system.parameters[name][0] for system in systems] for name in first.parameters}
    scores = tuple(system.validation[0] for system in systems)
    return System(first.name, first.title, parameters, scores, np.concatenate([each.predictions for each in systems]))


def _results_of(compared: Sequence[Confirmed], checkpoints: Path) -> str:
    """The attribute's name, a digest of parameters, repeats and weights: the same if trained again bit for bit."""
    facts = [
        [
            sorted(map(list, confirmed.candidate.parameters.items())),
            [[trial.user_attrs[REPEAT], digest_of_weights(checkpoints, trial)] for trial in confirmed.trials],
        ]
        for confirmed in compared
    ]
    return f"{RESULTS} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"
