"""One model of each kind, trained once and asked for the classes of the validation texts, in tables side by side."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.learning import Learner
from models.scores import Classes, accuracy, macro_f1
from models.statistics import per_class_scores
from models.training import TrainingResult


@dataclass(frozen=True)
class TrainedModel:
    learner: Learner
    result: TrainingResult
    predictions: Classes  # (N,) class numbers of the validation texts

    @property
    def labels(self) -> Classes:
        """Their true classes (N,)."""
        return self.learner.prepared.validation.labels

    @property
    def classes(self) -> tuple[str, ...]:
        return self.learner.prepared.classes


def train_model(learner: Learner) -> TrainedModel:
    """Train, and classify the validation texts with the weights of the best epoch."""
    result = learner.learn()
    return TrainedModel(learner, result, learner.classify(result.best_weights, learner.prepared.validation))


def score_frame(models: Mapping[str, TrainedModel]) -> pd.DataFrame:
    """Validation scores and costs, a row per model."""
    rows = {
        name: {
            "accuracy": accuracy(model.labels, model.predictions),
            "macro-F1": macro_f1(model.labels, model.predictions),
            "training in seconds": sum(epoch.seconds for epoch in model.result.curve),
            "weights": model.learner.count_weights(model.result.best_weights),
        }
        for name, model in models.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def class_frame(models: Mapping[str, TrainedModel]) -> pd.DataFrame:
    """F1 of each class by each model, and how many validation texts the class has; the largest class first.

    It is not a number for a class without a text.
    """
    columns: dict[str, list[float]] = {}
    for name, model in models.items():
        scores = per_class_scores(model.labels, model.predictions[None], classes=len(model.classes))
        columns["texts"] = [one.support for one in scores]
        columns[name] = [one.f1 if one.support else np.nan for one in scores]
    index = next(iter(models.values())).classes
    return pd.DataFrame(columns, index=list(index)).sort_values("texts", ascending=False, kind="stable")
