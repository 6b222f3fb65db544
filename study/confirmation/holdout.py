"""Opens the test split once for the systems that a report compares; every opening is recorded.

The predictions are stored with the confirmation, so that writing the report again opens nothing. They belong to the
weights that made them: other weights, as of a training repeated on another machine, need another opening.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from optuna.study import Study

from study.configuration import StudyConfig
from study.confirmation.opened_split import OpenedSplit, Predicted, predict_training, predicted_with
from study.confirmation.openings import Opening, record, split_hash
from study.confirmation.predictions import ENSEMBLE, HoldoutResults, Probabilities, System
from study.confirmation.tested_baselines import over_repeats, parameters_of, predict_baselines, refitted_baseline
from study.confirmation.trainings import Confirmed
from study.storage.attributes import REFIT_RESULTS, REPEAT, RESULTS
from study.storage.retrying import RetryingStorage, retry
from study.trials.repeats import confirmed_learner, digest_of_weights, load_weights


def load_results(confirmation: Study, compared: Sequence[Confirmed], *, checkpoints: Path) -> HoldoutResults | None:
    """The stored test predictions of these systems, and of the winner's refits, with their present weights, or None."""
    results, winner = _load_validated(confirmation, compared, checkpoints), compared[0]
    if results is None or not winner.refits:
        return results
    refitted = confirmation.user_attrs.get(refits_of(winner, checkpoints))
    return None if refitted is None else results.with_refits(*map(System.from_dict, refitted))


def _load_validated(confirmation: Study, compared: Sequence[Confirmed], checkpoints: Path) -> HoldoutResults | None:
    stored = confirmation.user_attrs.get(results_of(compared, checkpoints))
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

    Each predicts once per repeat, fitted on that repeat's training texts; then the average of the winner's refits, and
    a baseline on the same texts. What is stored already is not predicted again. `compared`: the winner, then the
    default configuration if it is another one. Raises `StudyError` if the classes have different numbers in different
    repeats.
    """
    winner = compared[0]
    stamp = Opening(
        test_split=split_hash(configuration),
        study=confirmation.study_name,
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=f"{results_of(compared, checkpoints)}{refits_of(winner, checkpoints) if winner.refits else ''}",
    )
    retry(storage, lambda: record(confirmation, storage, stamp))
    sides = OpenedSplit(configuration, device)
    results = _load_validated(confirmation, compared, checkpoints)
    if results is None:
        results = _predict_validated(confirmation, sides, compared, checkpoints, on_event)
        confirmation.set_user_attr(results_of(compared, checkpoints), results.to_dict())
    if winner.refits and refits_of(winner, checkpoints) not in confirmation.user_attrs:
        on_event("Refits, and a baseline on the same texts.")
        refitted = _average_refits(sides, winner, results, checkpoints), refitted_baseline(sides, results.best_baseline)
        confirmation.set_user_attr(refits_of(winner, checkpoints), [system.to_dict() for system in refitted])
    stored = load_results(confirmation, compared, checkpoints=checkpoints)
    assert stored is not None
    return stored


def _predict_validated(
    confirmation: Study,
    sides: OpenedSplit,
    compared: Sequence[Confirmed],
    checkpoints: Path,
    on_event: Callable[[str], None],
) -> HoldoutResults:
    """What the trainings on repeats predict, the average of the winner's, and the baselines."""
    predicted: list[list[Predicted]] = []
    baselines: list[list[System]] = []
    total: npt.NDArray[np.float64] | float = 0.0  # of the winner's probabilities
    for trials in zip(*(confirmed.trials for confirmed in compared), strict=True):  # those of one repeat
        winner, probabilities = predict_training(sides, trials[0], checkpoints)
        total = total + probabilities
        predicted.append([winner, *(predict_training(sides, trial, checkpoints)[0] for trial in trials[1:])])
        repeat, number = int(trials[0].user_attrs[REPEAT]), len(predicted)
        tell = partial(on_event, f"Baselines on repeat {number} of {len(compared[0].trials)}.")
        chosen = parameters_of(baselines[0]) if baselines else None
        baselines.append(predict_baselines(confirmation, sides, repeat, tell, chosen))
    names = ["winner", "default"][: len(compared)]
    systems = []
    for name, confirmed, trainings in zip(names, compared, zip(*predicted, strict=True), strict=True):
        first = confirmed.trials[0]
        learner = confirmed_learner(sides.configuration, first, torch.device("cpu"))
        weights = learner.count_weights(load_weights(checkpoints, first))
        systems.append(_trained_system(name, confirmed, trainings, weights))
        if name == "winner" and len(trainings) > 1:
            title = f"the average of {systems[0].title}'s {len(trainings)} training runs"
            systems.append(_average(systems[0], title, np.asarray(total) / len(trainings), len(trainings), sides))
    systems += map(over_repeats, zip(*baselines, strict=True))
    return HoldoutResults(sides.labels, sides.classes, tuple(systems))


def _average_refits(sides: OpenedSplit, winner: Confirmed, results: HoldoutResults, checkpoints: Path) -> System:
    """What the refits of the winner predict together, with the mean temperature of its validated trainings."""
    validated = results.systems[0]
    assert validated.probabilities is not None
    shares = [
        predict_training(
            sides, refit, checkpoints, temperature=winner.temperature_of(refit, validated.probabilities.temperatures)
        )[1]
        for refit in winner.refits
    ]
    title = f"the average of {len(shares)} refits of {validated.title}," if len(shares) > 1 else validated.title
    return _average(validated, f"{title} on all texts but the test's", np.mean(shares, axis=0), len(shares), sides)


def _average(winner: System, title: str, mean: npt.NDArray[np.float64], trainings: int, sides: OpenedSplit) -> System:
    """Trainings of the winner as one system, by the mean of their calibrated probabilities.

    It has no score on validation texts, since those of one training were trained on by another.
    """
    predicted = predicted_with(mean, sides.labels, temperature=1.0)
    return replace(
        winner,
        name=ENSEMBLE,
        title=title,
        validation=(),
        predictions=predicted.predictions[None],
        weights=winner.weights * trainings,
        probabilities=Probabilities((1.0,), (predicted.log_loss,), predicted.confidences[None]),
    )


def _trained_system(name: str, confirmed: Confirmed, trainings: Sequence[Predicted], weights: int) -> System:
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


def results_of(compared: Sequence[Confirmed], checkpoints: Path) -> str:
    """The attribute's name, a digest of parameters, repeats and weights: the same if trained again bit for bit."""
    facts = [
        [
            sorted(map(list, confirmed.candidate.parameters.items())),
            [[trial.user_attrs[REPEAT], digest_of_weights(checkpoints, trial)] for trial in confirmed.trials],
        ]
        for confirmed in compared
    ]
    return f"{RESULTS} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"


def refits_of(winner: Confirmed, checkpoints: Path) -> str:
    """The same for what the winner's refits predict."""
    digests = [digest_of_weights(checkpoints, trial) for trial in winner.refits]
    facts = json.dumps([results_of([winner], checkpoints), digests])
    return f"{REFIT_RESULTS} {hashlib.sha256(facts.encode()).hexdigest()[:16]}"
