"""An ensemble across the confirmed studies of the same texts: chosen by validation scores, tested once.

On each repeat, all studies have trained on the same training texts, so that the validation texts of a repeat are new to
all that is averaged there. The weights are chosen on them, and so the validation score of the ensemble is optimistic.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from optuna.trial import FrozenTrial

from study.confirmation.confirm import Confirmation
from study.confirmation.holdout import Voter, open_for_ensemble
from study.confirmation.leaderboard import basis
from study.confirmation.predictions import Numbers, System
from study.confirmation.selection import choose_weights, score
from study.errors import StudyError
from study.storage.attributes import REPEAT
from study.storage.queries import finished_trials
from study.trials.repeats import confirmed_learner, load_weights, temperature_of


@dataclass(frozen=True)
class Part:
    """A confirmed study, and what it brings to an ensemble."""

    voter: Voter
    validation: float  # its own mean score over the repeats
    without: float | None  # that of the ensemble without it; None if it has no weight, or is alone
    seconds: float  # for 1,000 texts, all its trainings, on one core
    bytes: int  # of its weights


@dataclass(frozen=True)
class Ensemble:
    parts: tuple[Part, ...]  # the largest weight first
    validation: float  # the mean score over the repeats, on the texts that chose the weights
    labels: Numbers  # of the test texts
    system: System  # on the test texts

    @property
    def chosen(self) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.voter.weight > 0)


def build_ensemble(confirmations: Sequence[Confirmation]) -> Ensemble:
    """Choose the weights, and test. Raises `StudyError` for fewer than two studies of the same texts and metric."""
    first = confirmations[0] if confirmations else None
    alike = [found for found in confirmations if first and basis(found.configuration) == basis(first.configuration)]
    if first is None or len(alike) < 2:
        raise StudyError(
            "--ensemble needs at least two finished studies of the same texts, split and metric, for example with "
            "--model lstm and --model linear."
        )
    repeats = sorted(set.intersection(*({_repeat(trial) for trial in found.winner.trials} for found in alike)))
    if not repeats:
        raise StudyError("The studies were confirmed on different repeats. Give all of them the same --seeds.")
    metric = first.configuration.base.training.metric
    predicted = [_predict_validation(found, repeats) for found in alike]
    labels = predicted[0].labels
    if any(not all(map(np.array_equal, labels, other.labels)) for other in predicted):
        raise StudyError("The validation texts of the studies differ. Start study.report again with the same --seeds.")
    probabilities = [np.stack(models) for models in zip(*(each.probabilities for each in predicted), strict=True)]
    weights, validation = choose_weights(probabilities, labels, metric)
    parts = []
    for row, (found, each) in enumerate(zip(alike, predicted, strict=True)):
        alone, others = np.eye(len(alike))[row], np.where(np.arange(len(alike)) == row, 0, weights)
        without = score(others / others.sum(), probabilities, labels, metric) if 0 < weights[row] < 1 else None
        voter = Voter(
            found.search.study_name, found.configuration, found.winner, found.checkpoints, weight=float(weights[row])
        )
        parts.append(Part(voter, score(alone, probabilities, labels, metric), without, each.seconds, each.bytes))
    parts.sort(key=lambda part: -part.voter.weight)
    chosen = [part.voter for part in parts if part.voter.weight > 0]
    trials = sum(len(finished_trials(found.search)) for found in alike)
    test = open_for_ensemble(first.study, first.storage, chosen, search_trials=trials, device=first.device)
    return Ensemble(tuple(parts), validation, *test)


@dataclass(frozen=True)
class _Predicted:
    """What a study's trainings say about the validation texts of their repeats, in the order of these."""

    probabilities: list[npt.NDArray[np.float64]]  # (texts, classes)
    labels: list[Numbers]
    seconds: float = 0.0  # for 1,000 texts
    bytes: int = 0


def _predict_validation(found: Confirmation, repeats: Sequence[int]) -> _Predicted:
    predicted = _Predicted([], [])
    torch.set_num_threads(1)
    for trial in sorted(found.winner.trials, key=_repeat):
        if _repeat(trial) not in repeats:
            continue
        learner = confirmed_learner(found.configuration, trial, found.device)
        weights, validation = load_weights(found.checkpoints, trial), learner.prepared.validation
        start = time.perf_counter()
        logits = learner.logits(weights, validation)
        seconds = 1_000 * (time.perf_counter() - start) / len(validation)
        predicted.probabilities.append((logits.double() / temperature_of(learner, logits)).softmax(dim=1).numpy())
        predicted.labels.append(validation.labels.astype(np.int64))
        size = sum(tensor.nbytes for tensor in weights.values())
        predicted = replace(predicted, seconds=predicted.seconds + seconds, bytes=predicted.bytes + size)
    return predicted


def _repeat(trial: FrozenTrial) -> int:
    return int(trial.user_attrs[REPEAT])
