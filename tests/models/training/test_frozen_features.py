"""Features of a frozen encoder: the output of its forward pass, computed once for all splits of the same texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.source import Split, find_source
from models.bert import BERTClassifier, BERTConfig, FeatureHead
from models.networks.encoders import load_encoder
from models.training.config import TrainingConfig
from models.training.frozen_features import (
    Encode,
    FeatureEvaluationBatches,
    FeatureTrainingBatches,
    TextFeatures,
    cached_features,
)
from models.training.trainer import predict, train
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts, prepare_for_search
from preprocessing.pretrained import PretrainedEncoder
from preprocessing.word_pieces import read_word_pieces

CPU = torch.device("cpu")


class Loader:
    """Loads the encoder and counts how often."""

    def __init__(self, encoder: PretrainedEncoder) -> None:
        self.encoder, self.calls = encoder, 0

    def __call__(self) -> Encode:
        self.calls += 1
        return BERTClassifier(BERTConfig(), load_encoder(self.encoder.folder), classes=2).eval().pooled


@pytest.fixture
def load(tiny_encoder: PretrainedEncoder) -> Loader:
    return Loader(tiny_encoder)


def prepare(csv: Path, encoder: PretrainedEncoder, repeat: int | None = None) -> PreparedTexts:
    pieces = read_word_pieces(encoder, max_tokens=16)
    return prepare_for_search(
        Split(find_source(str(csv))[0], repeat=repeat), cache_dir=csv.parent / "cache", pieces=pieces
    )


def features(csv: Path, load: Loader, sides: list[EncodedTexts], **options: Any) -> list[TextFeatures]:
    identity = options.pop("identity", load.encoder.identity)
    return cached_features(sides, load, encoder=identity, cache_dir=csv.parent / "cache", device=CPU, **options)


def alone(load: Loader, texts: EncodedTexts) -> np.ndarray:
    """The features of each text by itself."""
    encode = load()
    rows = []
    with torch.inference_mode():
        for start, stop in zip(texts.offsets, texts.offsets[1:], strict=False):
            ids = torch.from_numpy(texts.token_ids[start:stop].copy())[None]
            rows.append(encode(ids, torch.tensor([stop - start])).numpy()[0])
    return np.stack(rows)


def test_the_features_are_the_output_of_the_encoder_for_each_text(toy_csv: Path, load: Loader) -> None:
    prepared = prepare(toy_csv, load.encoder)
    sides = [prepared.training, prepared.validation]
    for found, texts in zip(features(toy_csv, load, sides), sides, strict=True):
        np.testing.assert_allclose(found.bank[found.rows], alone(load, texts), rtol=1e-4, atol=1e-5)
        assert np.array_equal(found.labels, texts.labels)
        assert isinstance(found.bank, np.memmap)
        assert found.bank.dtype == np.float32


def test_the_features_are_computed_once_for_all_repeats(toy_csv: Path, load: Loader) -> None:
    events: list[str] = []
    for repeat in (None, None, 0, 1):
        prepared = prepare(toy_csv, load.encoder, repeat)
        sides = [prepared.training, prepared.validation]
        training, _ = features(toy_csv, load, sides, on_event=events.append)
        expected = alone(Loader(load.encoder), prepared.training)
        np.testing.assert_allclose(training.bank[training.rows], expected, rtol=1e-4, atol=1e-5)
    assert load.calls == 1
    assert events == ["Computing the features of 162 texts."]


def test_a_different_encoder_or_different_texts_get_their_own_features(toy_csv: Path, load: Loader) -> None:
    prepared = prepare(toy_csv, load.encoder)
    features(toy_csv, load, [prepared.training])
    features(toy_csv, load, [prepared.validation])
    features(toy_csv, load, [prepared.training], identity="another encoder")
    assert load.calls == 3


def test_equal_texts_share_a_row(tmp_path: Path, load: Loader) -> None:
    texts = EncodedTexts(np.array([2, 9, 3, 2, 9, 3, 2, 8, 3], np.int32), np.array([0, 3, 6, 9]), np.zeros(3, np.int32))
    (found,) = features(tmp_path / "any", load, [texts])
    assert len(found.bank) == 2
    assert found.rows[0] == found.rows[1] != found.rows[2]


def test_progress_is_reported_up_to_the_end(toy_csv: Path, load: Loader) -> None:
    prepared = prepare(toy_csv, load.encoder)
    told: list[tuple[int, int]] = []
    features(toy_csv, load, [prepared.training, prepared.validation], on_progress=lambda *counts: told.append(counts))
    assert told == sorted(told)
    assert told[0] == (8, 162)
    assert told[-1] == (162, 162)


def test_a_head_trained_on_features_learns_and_predicts_in_the_order_of_the_texts(toy_csv: Path, load: Loader) -> None:
    prepared = prepare(toy_csv, load.encoder)
    training, validation = features(toy_csv, load, [prepared.training, prepared.validation])
    config = TrainingConfig(epochs=30, learning_rate=0.1, patience=30)

    def train_head() -> Any:
        torch.manual_seed(0)
        head = FeatureHead(BERTConfig(dropout=0.0), features=16, classes=3)
        batches = FeatureTrainingBatches(training, config.batch_size, seed=0)
        return head, train(head, batches, FeatureEvaluationBatches(validation), config, device=CPU)

    (head, result), (_, again) = train_head(), train_head()
    predictions, _ = predict(head, FeatureEvaluationBatches(training), device=CPU)
    assert (predictions == training.labels).mean() > 0.6  # the features are random; chance is a third
    assert [epoch.training_loss for epoch in result.curve] == [epoch.training_loss for epoch in again.curve]
    assert all(torch.equal(tensor, again.best_weights[name]) for name, tensor in result.best_weights.items())


def test_every_text_comes_once_per_epoch_and_the_order_changes(toy_csv: Path, load: Loader) -> None:
    (training,) = features(toy_csv, load, [prepare(toy_csv, load.encoder).training])
    batches = FeatureTrainingBatches(training, 50, seed=0)
    first, second, again = ([batch.rows for batch in batches.epoch(number)] for number in (0, 1, 0))
    assert len(first) == len(batches) == 3
    assert sorted(np.concatenate(first)) == list(range(144))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    assert np.array_equal(np.concatenate(first), np.concatenate(again))
