"""Trained models side by side: the toy corpus, and predictions made here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data.source import find_source
from models.learning import Learner
from preprocessing.prepared import prepare_for_search
from study.model_choice import choose_settings
from study.trained_models import TrainedModel, class_frame, score_frame, train_model


@pytest.fixture
def trained(toy_csv: Path, tmp_path: Path) -> TrainedModel:
    source, _ = find_source(str(toy_csv))
    prepared = prepare_for_search(source, split_seed=0, cache_dir=tmp_path)
    settings = choose_settings("cnn", {"epochs": 3, "max_tokens": 20, "patience": 3})
    return train_model(Learner(settings, prepared, tmp_path, torch.device("cpu")))


def test_predictions_are_those_of_the_best_epoch(trained: TrainedModel) -> None:
    scores = score_frame({"cnn": trained}).loc["cnn"]
    assert (scores["accuracy"], scores["macro-F1"]) == (trained.result.best.accuracy, trained.result.best.macro_f1)
    assert scores["training in seconds"] == sum(epoch.seconds for epoch in trained.result.curve)
    assert scores["weights"] == sum(tensor.numel() for tensor in trained.result.best_weights.values())


def test_each_class_has_its_f1_by_each_model(trained: TrainedModel) -> None:
    right, wrong = (replace(trained, predictions=numbers) for numbers in (trained.labels, np.zeros_like(trained.labels)))
    frame = class_frame({"right": right, "wrong": wrong})
    assert list(frame.index) == ["lawyer", "painter", "surgeon"]
    assert list(frame["texts"]) == np.bincount(trained.labels).tolist()
    assert list(frame["right"]) == [1, 1, 1]
    share = frame["texts"].iloc[0] / len(trained.labels)
    assert list(frame["wrong"]) == pytest.approx([2 * share / (1 + share), 0, 0])


def test_a_class_without_a_validation_text_has_no_f1(trained: TrainedModel) -> None:
    texts = trained.learner.prepared.validation
    rows = np.flatnonzero(texts.labels != 1)
    prepared = replace(trained.learner.prepared, validation=texts.take(rows))
    less = replace(trained, learner=replace(trained.learner, prepared=prepared), predictions=trained.predictions[rows])
    frame = class_frame({"cnn": less})
    assert frame.index[-1] == "painter"
    assert frame["texts"].iloc[-1] == 0
    assert pd.isna(frame["cnn"].iloc[-1])
