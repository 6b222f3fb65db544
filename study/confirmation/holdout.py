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

from study.configuration import FIRST_REFIT, StudyConfig
from study.confirmation.opened_split import OpenedSplit, Predicted, predict_training, predicted_with
from study.confirmation.openings import Opening, record, split_hash
from study.confirmation.predictions import ENSEMBLE, HoldoutResults, Probabilities, System
from study.confirmation.tested_baselines import best_refitted, over_repeats, parameters_of, predict_baselines
from study.confirmation.trainings import Confirmed
from study.storage.attributes import REPEAT, RESULTS
from study.storage.retrying import RetryingStorage, retry
from study.trials.repeats import confirmed_learner, digest_of_weights, load_weights


def load_results(confirmation: Study, compared: Sequence[Confirmed], *, checkpoints: Path) -> HoldoutResults | None:
    """The stored test predictions of these systems with their present weights, or None."""
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

    Each predicts once per repeat, fitted on that repeat's training texts; refits of the winner are averaged, and a
    baseline is refitted, too. `compared`: the winner, then the default configuration if it is another one. Raises
    `StudyError` if the classes have different numbers in different repeats.
    """
    stamp = Opening(
        test_split=split_hash(configuration),
        study=confirmation.study_name,
        moment=datetime.now(UTC).isoformat(timespec="seconds"),
        search_trials=search_trials,
        compared=results_of(compared, checkpoints),
    )
    retry(storage, lambda: record(confirmation, storage, stamp))
    sides = OpenedSplit(configuration, device)
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
        weights = confirmed_learner(configuration, first, device).count_weights(load_weights(checkpoints, first))
        systems.append(_trained_system(name, confirmed, trainings, weights))
    best = compared[0]
    if best.refits:
        temperature = float(np.mean([training.temperature for training, *_ in predicted]))
        total = sum(predict_training(sides, refit, checkpoints, temperature=temperature)[1] for refit in best.refits)
    if len(best.members) > 1 or best.refits:
        mean = predicted_with(np.asarray(total) / len(best.members), sides.labels, temperature=1.0)
        systems.insert(1, _ensemble(systems[0], mean, best))
    systems += map(over_repeats, zip(*baselines, strict=True))
    if best.refits:
        tell = partial(on_event, "Baselines on all texts but the test's.")
        refitted = predict_baselines(confirmation, sides, FIRST_REFIT, tell, parameters_of(baselines[0]))
        systems.append(best_refitted(systems, refitted))
    results = HoldoutResults(sides.labels, sides.classes, tuple(systems))
    confirmation.set_user_attr(stamp.compared, results.to_dict())
    return results


def _ensemble(winner: System, mean: Predicted, confirmed: Confirmed) -> System:
    """The members of the winner as one system, by the mean of their calibrated probabilities.

    It has no score on validation texts, since those of one training were trained on by another.
    """
    trainings = len(confirmed.members)
    title = f"the average of {winner.title}'s {trainings} training runs" if trainings > 1 else winner.title
    return replace(
        winner,
        name=ENSEMBLE,
        title=f"{title} on all texts but the test's" if confirmed.refits else title,
        validation=(),
        predictions=mean.predictions[None],
        weights=winner.weights * trainings,
        probabilities=Probabilities((1.0,), (mean.log_loss,), mean.confidences[None]),
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
            [
                [trial.user_attrs[REPEAT], digest_of_weights(checkpoints, trial)]
                for trial in (*confirmed.trials, *confirmed.refits)
            ],
        ]
        for confirmed in compared
    ]
    return f"{RESULTS} {hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}"
