"""Training with each of the four strategies: what it changes, which weights are kept, and what is exported."""

import copy
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.bert import BERTClassifier, Strategy, merged
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.trained_weights import load_trained, trained_weights
from models.training.trainer import TrainingResult, predict, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts
from preprocessing.pretrained import PretrainedEncoder, find_encoder
from preprocessing.word_pieces import read_word_pieces

CPU, CLASSES, MAX_TOKENS = torch.device("cpu"), 3, 16
NewClassifier = Callable[..., BERTClassifier]
STRATEGIES: tuple[Strategy, ...] = ("frozen", "full", "gradual", "lora")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def texts(encoder: PretrainedEncoder, count: int = 48) -> EncodedTexts:
    words = ["hospital surgery", "court law", "canvas art"]
    column = [f"{words[number % 3]} the {'number ' * (number % 5)}{number}" for number in range(count)]
    pieces = read_word_pieces(encoder, max_tokens=MAX_TOKENS)
    return EncodedTexts(*pieces.encode(pa.array(column, pa.large_string())), (np.arange(count) % 3).astype(np.int32))


def fine_tune(
    model: BERTClassifier, some_texts: EncodedTexts, *, epochs: int = 3, learning_rate: float = 1e-2, **options: Any
) -> TrainingResult:
    torch.manual_seed(1)
    config = TrainingConfig(
        epochs=epochs, learning_rate=learning_rate, batch_size=16, patience=epochs, schedule="linear"
    )
    words = int(some_texts.token_ids.max()) + 1
    training = TrainingBatches(some_texts, config.batch_size, MAX_TOKENS, words, seed=0)
    return train(model, training, EvaluationBatches(some_texts, MAX_TOKENS, words), config, device=CPU, **options)


@every_strategy
def test_training_changes_exactly_the_weights_that_are_kept(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    model = classifier(tiny_encoder, strategy)
    before = copy.deepcopy(model.state_dict())
    fine_tune(model, texts(tiny_encoder), epochs=4)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == trained_weights(model).keys()
    assert find_encoder(str(tiny_encoder.folder), cache_dir=Path()).identity == tiny_encoder.identity


@every_strategy
def test_trained_weights_alone_give_the_same_predictions(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    some_texts = texts(tiny_encoder)
    result = fine_tune(classifier(tiny_encoder, strategy), some_texts)
    model = classifier(tiny_encoder, strategy)
    load_trained(model, result.best_weights)
    words = int(some_texts.token_ids.max()) + 1
    predictions, loss = predict(model, EvaluationBatches(some_texts, MAX_TOKENS, words), device=CPU)
    assert (predictions == some_texts.labels).mean() == result.best.accuracy
    assert loss == pytest.approx(result.best.validation_loss)


@every_strategy
def test_an_interrupted_training_run_gives_the_same_bits(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, tmp_path: Path, classifier: NewClassifier
) -> None:
    def stop_after(epoch: int) -> Any:
        def stop(result: Any) -> None:
            if result.epoch == epoch:
                raise KeyboardInterrupt

        return stop

    some_texts, checkpoint = texts(tiny_encoder), Checkpoint(tmp_path / "1.pt", {})
    whole = classifier(tiny_encoder, strategy, lora_dropout=0.1)
    expected = fine_tune(whole, some_texts, epochs=5)
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            fine_tune(
                classifier(tiny_encoder, strategy, lora_dropout=0.1),
                some_texts,
                epochs=5,
                checkpoint=checkpoint,
                on_epoch_end=stop_after(epoch),
            )
    model = classifier(tiny_encoder, strategy, lora_dropout=0.1)
    result = fine_tune(model, some_texts, epochs=5, checkpoint=checkpoint)
    assert [(one.training_loss, one.accuracy) for one in result.curve] == [
        (one.training_loss, one.accuracy) for one in expected.curve
    ]
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert result.best_weights.keys() == expected.best_weights.keys()
    assert all(torch.equal(tensor, expected.best_weights[name]) for name, tensor in result.best_weights.items())


@every_strategy
def test_the_exported_model_is_a_plain_network_with_the_same_scores(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    some_texts = texts(tiny_encoder)
    model = classifier(tiny_encoder, strategy)
    fine_tune(model, some_texts)
    plain = merged(model.eval())
    described, weights = plain.encoder_description, plain.state_dict()
    assert not any("lora" in name for name in weights)
    assert str(tiny_encoder.folder) not in described
    torch.manual_seed(99)
    exported = BERTClassifier.from_weights(
        plain.config, weights, vocabulary_size=50, classes=CLASSES, encoder=described
    )
    batch = next(iter(EvaluationBatches(some_texts, MAX_TOKENS, int(some_texts.token_ids.max()) + 1)))
    with torch.inference_mode():
        expected = model(batch.token_ids, batch.lengths)
        torch.testing.assert_close(plain(batch.token_ids, batch.lengths), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(exported(batch.token_ids, batch.lengths), expected, rtol=0, atol=1e-5)
    assert any("lora" in name for name in model.state_dict()) == (strategy == "lora")  # the model itself is unchanged


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_arguments: object) -> None:
        pytest.fail("A connection was tried.")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.usefixtures("no_network")
def test_loading_prints_nothing_and_does_not_use_the_network(
    tiny_encoder: PretrainedEncoder, capfd: pytest.CaptureFixture[str], classifier: NewClassifier
) -> None:
    for strategy in STRATEGIES:
        merged(classifier(tiny_encoder, strategy))
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("no_network")
@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "learning_rate"), [("full", 1e-4), ("lora", 1e-3), ("gradual", 1e-3)])
def test_minilm_learns_from_few_texts(
    strategy: Strategy, learning_rate: float, minilm: PretrainedEncoder, classifier: NewClassifier
) -> None:
    result = fine_tune(classifier(minilm, strategy), texts(minilm), learning_rate=learning_rate)
    assert result.best.accuracy > 0.9
