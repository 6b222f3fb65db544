"""Trained models side by side, as tables: their validation scores and costs, and their F1 class by class."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from models.learning import Learner
from models.statistics import per_class_scores
from models.training import TrainingResult
from preprocessing.prepared import PreparedTexts


def score_frame(results: Mapping[str, TrainingResult], learners: Mapping[str, Learner]) -> pd.DataFrame:
    """Of each model the scores of its best epoch, the time that training has taken, and the size; a row per model."""
    rows = {
        model: {
            "accuracy": result.best.accuracy,
            "macro-F1": result.best.macro_f1,
            "training in seconds": sum(epoch.seconds for epoch in result.curve),
            "weights": learners[model].count_weights(result.best_weights),
        }
        for model, result in results.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def class_frame(results: Mapping[str, TrainingResult], prepared: PreparedTexts) -> pd.DataFrame:
    """How many validation texts each class has, and its F1 by each model's best epoch; the largest class first.

    A class without a text has no F1, but NaN. `prepared` may be those of any model: they differ in the ids only.
    """
    labels, classes = prepared.validation.labels, prepared.classes
    columns: dict[str, list[float]] = {}
    for model, result in results.items():
        scores = per_class_scores(labels, result.best.predictions.numpy()[None], classes=len(classes))
        columns["texts"] = [one.support for one in scores]
        columns[model] = [one.f1 if one.support else np.nan for one in scores]
    return pd.DataFrame(columns, index=list(classes)).sort_values("texts", ascending=False, kind="stable")
