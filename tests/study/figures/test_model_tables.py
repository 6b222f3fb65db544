"""Trained models side by side, as tables: of a training on the toy corpus, and of predictions made here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data.source import Split, find_source
from models.registry import make_learner
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.figures.notebook import class_frame, score_frame
from study.model_settings import choose_settings


@pytest.fixture
def prepared(toy_csv: Path, tmp_path: Path) -> PreparedTexts:
    source, _ = find_source(str(toy_csv))
    return prepare_for_search(Split(source), cache_dir=tmp_path)


def predicting(classes: np.ndarray) -> TrainingResult:
    best = EpochResult(0, 0.0, 0.0, 0.0, 0.0, 0.0, torch.from_numpy(classes.copy()))
    return TrainingResult((best,), best, {})


def test_a_model_has_the_scores_of_its_best_epoch_and_the_time_of_all_epochs(
    prepared: PreparedTexts, tmp_path: Path
) -> None:
    settings = choose_settings("cnn", {"epochs": 3, "max_tokens": 20, "patience": 3})
    learner = make_learner(settings, prepared, tmp_path, torch.device("cpu"))
    result = learner.fit()
    scores = score_frame({"cnn": result}, {"cnn": learner}).loc["cnn"]
    assert scores["macro-F1"] == result.best.macro_f1
    assert scores["accuracy"] == result.best.accuracy
    assert scores["training in seconds"] == sum(epoch.seconds for epoch in result.curve)
    assert scores["weights"] == sum(tensor.numel() for tensor in result.best_weights.values())


def test_each_class_has_an_f1_for_each_model(prepared: PreparedTexts) -> None:
    labels = prepared.validation.labels
    frame = class_frame({"right": predicting(labels), "one class": predicting(np.zeros_like(labels))}, prepared)
    assert list(frame.index) == ["lawyer", "painter", "surgeon"]
    assert list(frame["texts"]) == np.bincount(labels).tolist()
    assert list(frame["right"]) == [1, 1, 1]
    share = frame["texts"].iloc[0] / len(labels)
    assert list(frame["one class"]) == pytest.approx([2 * share / (1 + share), 0, 0])


def test_the_largest_class_is_first_and_one_without_a_text_has_no_f1(prepared: PreparedTexts) -> None:
    rows = np.flatnonzero(prepared.validation.labels != 0)[1:]
    less = replace(prepared, validation=prepared.validation.take(rows))
    frame = class_frame({"right": predicting(less.validation.labels)}, less)
    assert frame.index[-1] == "lawyer"
    assert frame["texts"].is_monotonic_decreasing
    assert frame["texts"].iloc[-1] == 0
    assert pd.isna(frame["right"].iloc[-1])
