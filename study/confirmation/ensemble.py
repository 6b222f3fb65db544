"""An ensemble across the confirmed studies of the same texts: weighted by validation predictions, then tested.

On each repeat, all studies have trained on the same training texts. Their weights are chosen by what single trainings
say about the validation texts of their repeat, and then hold for the averages of all trainings, or of refits. A network
has chosen its best epoch by these texts, too, which is a small advantage over a model without epochs.
"""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import torch
from optuna.trial import FrozenTrial

from models.learners.classifier import TextClassifier, average
from preprocessing.prepared import PreparedTexts
from study.configuration import StudyConfig
from study.confirmation.bootstrap import PairedComparison, paired_bootstrap
from study.confirmation.confirm import Confirmation
from study.confirmation.holdout import load_results, refits_of, results_of
from study.confirmation.leaderboard import basis
from study.confirmation.opened_split import OpenedSplit, predict_training, predicted_with
from study.confirmation.openings import Opening, record, split_hash
from study.confirmation.predictions import ENSEMBLE, HoldoutResults, Probabilities, System
from study.confirmation.selection import choose_weights, score
from study.errors import StudyError
from study.storage.attributes import ENSEMBLE_RESULTS, REPEAT
from study.storage.queries import finished_trials
from study.storage.retrying import retry
from study.trials.repeats import confirmed_learner, load_weights, prepare_repeat

TIMED_TEXTS = 500
SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Part:
    """A confirmed study in an ensemble: the average of its winner's trainings, and what it brings."""

    confirmation: Confirmation
    classifier: TextClassifier
    weight: float  # of its probabilities
    validation: float  # the mean score over the repeats of its single trainings
    without: float | None  # that of the ensemble without it; None if it has no weight, or is alone
    seconds: float  # for 1,000 texts, on the CPU of this machine
    bytes: int  # of its weights

    @property
    def study(self) -> str:
        return self.confirmation.search.study_name


@dataclass(frozen=True)
class Ensemble:
    parts: tuple[Part, ...]  # the largest weight first
    validation: float  # the mean score over the repeats, by which the weights were chosen
    results: HoldoutResults  # on the test texts
    against_best: PairedComparison | None  # with the average of the part that is best on validation; None: it is that

    @property
    def chosen(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.weight > 0)

    @property
    def best(self) -> Part:
        """The part that is best on validation alone."""
        return max(self.parts, key=lambda part: part.validation)

    @property
    def system(self) -> System:
        return self.results.systems[0]


def groups(configurations: Mapping[str, StudyConfig]) -> list[list[str]]:
    """The names of studies that can be combined: of the same texts, split and metric, at least two each."""
    found: dict[tuple[object, ...], list[str]] = {}
    for name, configuration in configurations.items():
        found.setdefault(basis(configuration), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def build_ensemble(confirmations: Sequence[Confirmation]) -> Ensemble:
    """Choose the weights of studies that can be combined, and test. Raises `StudyError`."""
    metric = confirmations[0].configuration.base.training.metric
    repeats = set.intersection(*({_repeat(trial) for trial in found.winner.trials} for found in confirmations))
    predicted = [_predict_validation(found, sorted(repeats)) for found in confirmations]
    sides = [prepare_repeat(confirmations[0].configuration, repeat).validation for repeat in sorted(repeats)]
    labels = [side.labels.astype(np.int64) for side in sides]
    if any(len(labels[row]) != len(each[row]) for each in predicted for row in range(len(labels))):
        raise StudyError("The studies were prepared by different versions of this project. Search again with this one.")
    probabilities = [np.stack(models) for models in zip(*predicted, strict=True)]
    weights, validation = choose_weights(probabilities, labels, metric)
    parts = []
    for row, found in enumerate(confirmations):
        alone, others = np.eye(len(weights))[row], np.where(np.arange(len(weights)) == row, 0, weights)
        without = score(others / others.sum(), probabilities, labels, metric) if 0 < weights[row] < 1 else None
        classifier = _averaged(found)
        seconds = _seconds(classifier, prepare_repeat(found.configuration, min(repeats), in_words=True))
        own = score(alone, probabilities, labels, metric)
        parts.append(Part(found, classifier, float(weights[row]), own, without, seconds, _bytes(classifier)))
    parts.sort(key=lambda part: -part.weight)
    results = _test(parts)
    best = max(parts, key=lambda part: part.validation)
    against_best = None
    if (own_system := _own_results(best.confirmation).ensemble) and best.weight < 1:
        systems = results.systems[0].predictions, own_system.predictions
        against_best = paired_bootstrap(results.labels, *systems, metric, seed=SEED)
    return Ensemble(tuple(parts), validation, results, against_best)


def _repeat(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[REPEAT])


def _own_results(found: Confirmation) -> HoldoutResults:
    """What the report on a study has stored."""
    results = load_results(found.study, found.compared, checkpoints=found.checkpoints)
    assert results is not None
    return results


def _members(found: Confirmation) -> list[tuple[FrozenTrial, float]]:
    """The trainings of the winner that are averaged, and their temperatures."""
    temperatures = _temperatures(found)
    return [(trial, found.winner.temperature_of(trial, temperatures)) for trial in found.winner.members]


def _digest(found: Confirmation) -> str:
    """A digest of the weights of the winner's members."""
    if found.winner.refits:
        return refits_of(found.winner, found.checkpoints)
    return results_of([found.winner], found.checkpoints)


def _temperatures(found: Confirmation) -> tuple[float, ...]:
    """The temperatures of the winner's trainings on repeats."""
    probabilities = _own_results(found).systems[0].probabilities
    assert probabilities is not None
    return probabilities.temperatures


def _predict_validation(found: Confirmation, repeats: Sequence[int]) -> list[npt.NDArray[np.float64]]:
    """The probabilities (texts, classes) that the winner's training on each repeat gives to its validation texts."""
    predicted = {}
    for trial, temperature in zip(found.winner.trials, _temperatures(found), strict=True):
        learner = confirmed_learner(found.configuration, trial, found.device)
        logits = learner.logits(load_weights(found.checkpoints, trial), learner.prepared.validation)
        predicted[_repeat(trial)] = (logits.double() / temperature).softmax(dim=1).numpy()
    return [predicted[repeat] for repeat in repeats]


def _averaged(found: Confirmation) -> TextClassifier:
    classifiers = []
    for trial, temperature in _members(found):
        learner = confirmed_learner(found.configuration, trial, torch.device("cpu"))
        classifiers.append(learner.restore(load_weights(found.checkpoints, trial), {}, temperature=temperature))
    return average(classifiers, {})


def _seconds(classifier: TextClassifier, prepared: PreparedTexts) -> float:
    """The seconds for 1,000 texts, measured on validation texts that are put together from their words."""
    texts, words = prepared.validation, prepared.vocabulary.words
    written = [
        " ".join(words.take(np.asarray(texts.token_ids[start:end])).to_pylist())
        for start, end in zip(texts.offsets[:TIMED_TEXTS], texts.offsets[1 : TIMED_TEXTS + 1], strict=False)
    ]
    classifier.predict_proba(written[:10])
    start = time.perf_counter()
    classifier.predict_proba(written)
    return 1_000 * (time.perf_counter() - start) / len(written)


def _bytes(classifier: TextClassifier) -> int:
    """The size of the weights, without those that a network shares with the first one."""
    first = classifier.members[0].model.state_dict()
    size = int(sum(tensor.nbytes for tensor in first.values()))
    for member in classifier.members[1:]:
        for name, tensor in member.model.state_dict().items():
            size += 0 if torch.equal(tensor, first.get(name, tensor[:0])) else tensor.nbytes
    return size


def _test(parts: Sequence[Part]) -> HoldoutResults:
    """Predict the test texts with the parts that have a weight, and store that; of a single one, it is stored already.

    Raises `StudyError` if the classes have different numbers in different studies.
    """
    chosen = [part for part in parts if part.weight > 0]
    own = _own_results(chosen[0].confirmation)
    if len(chosen) == 1:
        return HoldoutResults(own.labels, own.classes, (own.ensemble or own.systems[0],))
    found = [part.confirmation for part in chosen]
    digests = sorted(f"{part.weight:.6f} {_digest(part.confirmation)}" for part in chosen)
    name = f"{ENSEMBLE_RESULTS} {hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]}"
    study, storage = found[0].study, found[0].storage
    if name in study.user_attrs:
        return HoldoutResults.from_dict(study.user_attrs[name])
    stamp = Opening(
        test_split=split_hash(found[0].configuration),
        study=f"the ensemble of {', '.join(part.study for part in chosen)}",
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=sum(len(finished_trials(each.search)) for each in found),
        compared=name,
    )
    retry(storage, lambda: record(study, storage, stamp))
    mean, opened = np.zeros((len(own.labels), len(own.classes))), None
    for part, each in zip(chosen, found, strict=True):
        opened = OpenedSplit(each.configuration, each.device, classes_of=opened)
        for trial, temperature in _members(each):
            _, shares = predict_training(opened, trial, each.checkpoints, temperature=temperature)
            mean += part.weight / len(each.winner.members) * shares
    predicted = predicted_with(mean, own.labels, temperature=1.0)
    probabilities = Probabilities((1.0,), (predicted.log_loss,), predicted.confidences[None])
    weights = {part.study: part.weight for part in chosen}
    system = System(ENSEMBLE, "the ensemble", weights, (), predicted.predictions[None], 0, probabilities)
    results = HoldoutResults(own.labels, own.classes, (system,))
    study.set_user_attr(name, results.to_dict())
    return results
