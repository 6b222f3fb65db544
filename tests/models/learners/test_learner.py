"""Every kind of model is trained, restored, used for prediction and exported through the same few calls."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.source import Split, find_source
from data.texts import load_search_texts
from models.bert import BERTConfig
from models.export import load_model, save_model
from models.learners.learner import Learner, Settings
from models.linear import LinearConfig
from models.lstm import VECTOR_SCALE, LSTMConfig
from models.registry import MODELS, find_learner, make_learner
from models.training.calibration import best_temperature
from models.training.config import TrainingConfig
from models.training.optimizer import ScheduledAdamW
from preprocessing.batches import TextLimits
from preprocessing.prepared import prepare_for_search
from preprocessing.pretrained import PretrainedEncoder
from preprocessing.word_pieces import read_word_pieces
from preprocessing.word_vectors import find_vectors

LIMITS = TextLimits(max_tokens=20, min_frequency=1)
SETTINGS = {
    **{name: replace(find_learner(name).defaults[""], limits=LIMITS) for name in MODELS if name != "bert"},
    "linear of pairs": Settings(LinearConfig("logistic_regression", max_ngram=2), TrainingConfig(epochs=1), LIMITS),
    "frozen": Settings(BERTConfig("frozen"), TrainingConfig(epochs=6, learning_rate=2e-2), LIMITS),
    "full": Settings(BERTConfig("full"), TrainingConfig(epochs=3, learning_rate=5e-3), LIMITS),
    "gradual": Settings(BERTConfig("gradual"), TrainingConfig(epochs=3, learning_rate=5e-3), LIMITS),
    "lora": Settings(BERTConfig("lora"), TrainingConfig(epochs=8, learning_rate=2e-2), LIMITS),
}
every_kind = pytest.mark.parametrize("kind", SETTINGS)


def learner_of(settings: Settings, csv: Path, encoder: PretrainedEncoder, *, whole: bool = False) -> Learner:
    pieces = None
    if isinstance(settings.model, BERTConfig):
        settings = replace(settings, model=replace(settings.model, pretrained=str(encoder.folder)))
        pieces = read_word_pieces(encoder, max_tokens=settings.limits.max_tokens)
    cache_dir = csv.parent / "cache"
    split = Split(find_source(str(csv))[0], whole=whole)
    prepared = prepare_for_search(split, cache_dir=cache_dir, pieces=pieces)
    return make_learner(settings, prepared, cache_dir, torch.device("cpu"))


@every_kind
def test_a_restored_or_exported_model_predicts_what_was_learned(
    kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    learner = learner_of(SETTINGS[kind], toy_csv, tiny_encoder)
    result = learner.fit()
    assert result.best.accuracy > 0.4  # of three classes, so it has learned something
    validation = learner.prepared.validation
    classes = learner.logits(result.best_weights, validation).argmax(dim=1).numpy()
    assert (classes == validation.labels).mean() == pytest.approx(result.best.accuracy)

    classifier = learner.restore(result.best_weights, {"from": kind})
    texts = load_search_texts(
        Split(find_source(str(toy_csv))[0]), cache_dir=learner.cache_dir
    ).validation.texts.to_pylist()
    restored = classifier.predictions(texts)
    assert restored.labels.tolist() == [learner.prepared.classes[number] for number in classes]
    save_model(toy_csv.parent / "model", classifier)
    loaded = load_model(toy_csv.parent / "model")
    assert loaded.about == {"from": kind}
    assert loaded.predictions(texts).probabilities.tobytes() == restored.probabilities.tobytes()
    assert loaded.predictions(["", "\x00 😀", "x" * 1000]).probabilities.sum(axis=1) == pytest.approx([1, 1, 1])


@every_kind
def test_the_same_seed_gives_the_same_model(kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder) -> None:
    learner = learner_of(SETTINGS[kind], toy_csv, tiny_encoder)
    first, again = learner.fit(), learner.fit()
    assert [epoch.validation_loss for epoch in first.curve] == [epoch.validation_loss for epoch in again.curve]
    assert all(torch.equal(first.best_weights[name], again.best_weights[name]) for name in first.best_weights)


@every_kind
def test_a_refit_has_all_epochs_of_all_texts(kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder) -> None:
    settings = SETTINGS[kind]
    settings = replace(settings, training=replace(settings.training, patience=1))
    usual, whole = (learner_of(settings, toy_csv, tiny_encoder, whole=whole) for whole in (False, True))
    assert len(whole.training_texts) == len(usual.prepared.training) + len(usual.prepared.validation)
    result = whole.fit()
    assert len(result.curve) == settings.training.epochs
    assert result.best is result.curve[-1]
    assert result.best.accuracy > 0.4


def test_a_refit_of_a_linear_model_is_calibrated_by_texts_that_another_fit_has_not_seen(
    toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    temperatures = []
    for whole in (False, True):
        learner = learner_of(SETTINGS["linear"], toy_csv, tiny_encoder, whole=whole)
        validation = learner.prepared.validation
        logits = learner.logits(learner.fit().best_weights, validation)
        temperatures.append(best_temperature(logits, torch.from_numpy(validation.labels.astype(int))))
    assert temperatures[0] == pytest.approx(1, abs=0.01)
    assert temperatures[1] < 0.97  # those it has seen deserve more confidence than it shows


def test_a_process_loads_the_same_features_only_once(
    toy_csv: Path, tiny_encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS["frozen"]
    found = learner_of(settings, toy_csv, tiny_encoder).find_features()
    monkeypatch.delattr("models.bert_learner.cached_features")
    another_rate = replace(settings, training=replace(settings.training, learning_rate=0.1))
    assert learner_of(another_rate, toy_csv, tiny_encoder).find_features() is found
    fewer = replace(settings, limits=replace(settings.limits, max_training_texts=30))
    with pytest.raises(NameError):
        learner_of(fewer, toy_csv, tiny_encoder).find_features()


@every_kind
def test_a_part_of_the_training_texts_gives_a_different_model(
    kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    settings = SETTINGS[kind]
    part = replace(settings, limits=replace(settings.limits, max_training_texts=30))
    learned = [learner_of(one, toy_csv, tiny_encoder).fit() for one in (settings, part)]
    assert learned[0].best.validation_loss != learned[1].best.validation_loss


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"batch_tokens": 1_350}, 9), ({"batch_tokens": 5_400}, 3), ({"batch_tokens": None, "batch_size": 48}, 3)],
)
@pytest.mark.parametrize("kind", ["lstm", "cnn"])
def test_a_batch_of_a_word_network_is_counted_in_tokens(
    kind: str, changes: dict[str, Any], steps: int, toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    settings = SETTINGS[kind]
    settings = replace(settings, training=replace(settings.training, epochs=1, **changes))
    assert steps_of(settings, toy_csv, tiny_encoder) == steps


def steps_of(settings: Settings, csv: Path, encoder: PretrainedEncoder) -> int:
    learner, taken = learner_of(settings, csv, encoder), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScheduledAdamW, "advance", lambda _self: taken.append(1))
        learner.fit()
    return len(taken)


@pytest.mark.parametrize("kind", ["lstm", "cnn", "frozen", "full"])
def test_an_epoch_reads_no_more_texts_than_its_part_of_the_budget(
    kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    settings = SETTINGS[kind]
    training = replace(settings.training, epochs=2, batch_tokens=None, batch_size=10, budget_texts=80)
    assert steps_of(replace(settings, training=training), toy_csv, tiny_encoder) == 2 * 4


def test_the_batches_of_a_part_of_the_texts_leave_it_enough_steps(
    toy_csv: Path, tiny_encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocessing.batches.LARGEST_SMALL_BATCH", 1)
    monkeypatch.setattr("preprocessing.batches.STEPS_PER_EPOCH", 10)
    settings = SETTINGS["lstm"]
    training = replace(settings.training, epochs=1, budget_texts=40)
    assert steps_of(replace(settings, training=training), toy_csv, tiny_encoder) == 10


@pytest.mark.parametrize("tune", [True, False])
def test_a_model_that_was_trained_with_vectors_is_restored_with_them(
    tune: bool, toy_csv: Path, tiny_encoder: PretrainedEncoder
) -> None:
    file = toy_csv.parent / "vectors.txt"
    numbers = np.random.default_rng(0).normal(size=(3, 5))
    words = zip(("hospital", "court", "the"), numbers, strict=True)
    file.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in words))
    vectors = find_vectors(str(file))
    model = LSTMConfig(vectors.size, 12, tune_vectors=tune)
    settings = replace(SETTINGS["lstm"], model=model, vectors=vectors)
    learner = learner_of(settings, toy_csv, tiny_encoder)
    result = learner.fit()
    classifier = learner.restore(result.best_weights, {})
    row = learner.prepared.vocabulary.words.index("hospital").as_py()
    started = numbers[0] * VECTOR_SCALE / np.sqrt((numbers**2).mean())
    changed = np.abs(classifier.members[0].model.state_dict()["embedding.weight"][row].numpy() - started).max()
    assert bool(changed > 1e-3) is tune
    validation = learner.prepared.validation
    classes = learner.logits(result.best_weights, validation).argmax(dim=1).numpy()
    assert (classes == validation.labels).mean() == pytest.approx(result.best.accuracy)


def test_a_process_looks_up_the_same_vectors_once(
    toy_csv: Path, tiny_encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toy_csv.parent / "vectors.txt"
    file.write_text("hospital 1 2\ncourt 2 3\n")
    settings = replace(SETTINGS["lstm"], model=LSTMConfig(2, 12), vectors=find_vectors(str(file)))
    learner = learner_of(settings, toy_csv, tiny_encoder)
    first = learner.fit()
    monkeypatch.delattr("models.learners.word_learner.prepare_vectors")
    assert learner.fit().best.validation_loss == first.best.validation_loss
    with pytest.raises(NameError):
        learner_of(settings, toy_csv, tiny_encoder).fit()  # a new learner cannot know that the texts are the same


@every_kind
def test_all_weights_are_counted_including_those_of_a_frozen_encoder(
    kind: str, toy_csv: Path, tiny_encoder: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = learner_of(SETTINGS[kind], toy_csv, tiny_encoder)
    weights = learner.fit().best_weights
    expected = sum(tensor.numel() for tensor in learner.network(weights).state_dict().values())
    monkeypatch.delattr("models.bert_learner.load_encoder")  # counting the weights must not load the encoder
    assert learner.count_weights(weights) == expected > 0


def test_onednn_keeps_few_compiled_shapes_so_that_a_worker_does_not_grow() -> None:
    """It reads the variable when it computes for the first time; a user's own value is kept."""
    program = "import os, models; print(os.environ['ONEDNN_PRIMITIVE_CACHE_CAPACITY'])"
    for own, expected in (({}, "64"), ({"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "8"}, "8")):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ONEDNN")} | own
        printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
        assert printed.stdout.strip() == expected
