"""The contract of all networks: shape, padding, gradients, learning, and the same scores for the same seed."""

import json
from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from models.bert import BERTClassifier, BERTConfig, Strategy
from models.cnn import CNNClassifier, CNNConfig
from models.linear import ClassifierName, LinearClassifier, LinearConfig, fit_linear
from models.lstm import LSTMClassifier, LSTMConfig
from models.training.config import TrainingConfig
from models.training.trained_weights import trained_weights
from models.training.trainer import TrainingResult, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts

WORDS, CLASSES = 50, 3
MakeNetwork = Callable[[], nn.Module]


def lstm(**changes: object) -> MakeNetwork:
    config = LSTMConfig(**{"embedding_size": 12, "hidden_size": 10, "embedding_dropout": 0.2, **changes})  # type: ignore[arg-type]
    return lambda: LSTMClassifier(config, vocabulary_size=WORDS, classes=CLASSES)


def cnn(**changes: object) -> MakeNetwork:
    config = CNNConfig(**{"embedding_size": 12, "filters": 10, **changes})  # type: ignore[arg-type]
    return lambda: CNNClassifier(config, vocabulary_size=WORDS, classes=CLASSES)


def bert(strategy: Strategy) -> MakeNetwork:
    """A BERT with random weights, scaled so that texts differ, and with adapters that are no longer zero."""
    encoder_config = transformers.BertConfig(
        vocab_size=WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.1,
    )

    def make() -> nn.Module:
        encoder = transformers.BertModel(encoder_config, add_pooling_layer=False)
        network = BERTClassifier(BERTConfig(strategy, dropout=0.0), encoder, classes=CLASSES)
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.1)
        return network

    return make


NETWORKS = {
    "lstm": lstm(),
    "lstm mean": lstm(pooling="mean"),
    "lstm last": lstm(pooling="last"),
    "lstm one direction": lstm(bidirectional=False),
    "lstm two layers": lstm(layers=2),
    "lstm two layers, one direction, last": lstm(layers=2, bidirectional=False, pooling="last"),
    "lstm with a bag of words": lstm(bag_of_words=True),
    "lstm in windows, with a bag of words": lstm(window=3, bag_of_words=True),
    "lstm in windows, two layers, mean": lstm(window=4, layers=2, pooling="mean"),
    "cnn": cnn(),
    "cnn one width": cnn(widths=(2,)),
    "cnn wider than most texts": cnn(widths=(1, 9)),
    "cnn with a bag of words": cnn(bag_of_words=True),
    "bert frozen": bert("frozen"),
    "bert full": bert("full"),
    "bert gradual": bert("gradual"),
    "bert lora": bert("lora"),
}
FITTED = {  # not trained by gradients
    "linear": lambda: fit_toy("svm")[0],
    "linear logistic regression": lambda: fit_toy("logistic_regression")[0],
}
every_network = pytest.mark.parametrize("make_network", NETWORKS.values(), ids=NETWORKS.keys())
every_classifier = pytest.mark.parametrize(
    "make_network", [*NETWORKS.values(), *FITTED.values()], ids=[*NETWORKS, *FITTED]
)


def random_batch(lengths: list[int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    token_ids = torch.randint(1, WORDS, (len(lengths), max(lengths)), generator=generator, dtype=torch.int32)
    for row, length in enumerate(lengths):
        token_ids[row, length:] = 0
    return token_ids, torch.tensor(lengths)


@every_classifier
def test_logits_have_a_row_per_text_and_a_column_per_class(make_network: MakeNetwork) -> None:
    assert make_network()(*random_batch([5, 1, 9])).shape == (3, CLASSES)


@every_classifier
def test_padding_never_changes_a_score(make_network: MakeNetwork) -> None:
    torch.manual_seed(0)
    network = make_network().eval()
    token_ids, lengths = random_batch([7, 1, 4, 12])
    with torch.inference_mode():
        together = network(token_ids, lengths)
        wider = network(nn.functional.pad(token_ids, (0, 30)), lengths)
        alone = torch.cat([network(token_ids[i : i + 1, :n], lengths[i : i + 1]) for i, n in enumerate(lengths)])
    torch.testing.assert_close(wider, together, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone, together, rtol=1e-5, atol=1e-6)


@every_network
def test_every_parameter_that_is_trained_gets_a_gradient_and_no_other(make_network: MakeNetwork) -> None:
    network = make_network()
    network(*random_batch([7, 3, 4, 12])).square().sum().backward()
    with_gradient = {
        name for name, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }
    assert with_gradient == trained_weights(network).keys()


@pytest.mark.parametrize("name", [*NETWORKS, *FITTED])
def test_the_order_of_words_matters(name: str) -> None:
    torch.manual_seed(0)
    network = {**NETWORKS, **FITTED}[name]().eval()
    token_ids, lengths = random_batch([9])
    assert not torch.allclose(network(token_ids, lengths), network(token_ids.flip(1), lengths), atol=1e-4)


def toy_texts(count: int, seed: int) -> EncodedTexts:
    """Texts whose class is given by one word at a random place among words without meaning."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(3, 15, count)
    labels = generator.integers(0, CLASSES, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    token_ids = generator.integers(10, WORDS, offsets[-1])
    token_ids[offsets[:-1] + generator.integers(0, lengths)] = 2 + labels
    return EncodedTexts(token_ids.astype(np.int32), offsets, labels.astype(np.int32))


def learn(
    make_network: MakeNetwork, epochs: int, learning_rate: float = 2e-2
) -> tuple[list[float], dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    training = TrainingBatches(toy_texts(600, seed=0), 32, 20, WORDS, seed=3)
    validation = EvaluationBatches(toy_texts(100, seed=1), 20, WORDS)
    config = TrainingConfig(epochs=epochs, learning_rate=learning_rate)
    result = train(make_network(), training, validation, config, device=torch.device("cpu"))
    return [epoch.accuracy for epoch in result.curve], result.best_weights


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_a_toy_corpus(name: str) -> None:
    # A head alone, on features of random weights, learns less and needs a higher learning rate.
    learning_rate, expected = (5e-2, 0.75) if name == "bert frozen" else (2e-2, 0.9)
    assert max(learn(NETWORKS[name], epochs=14, learning_rate=learning_rate)[0]) > expected


@every_network
def test_the_same_seed_gives_the_same_scores(make_network: MakeNetwork) -> None:
    (first_scores, first_weights), (scores, weights) = (learn(make_network, epochs=2) for _ in range(2))
    assert first_scores == scores
    assert all(torch.equal(first_weights[name], weights[name]) for name in weights)


@pytest.mark.parametrize(("embedding_size", "hidden_size"), [(12, 9), (11, 10), (11, 9), (9, 9)])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_odd_sizes_of_an_lstm_are_made_even_for_half_precision_with_the_same_result(
    embedding_size: int, hidden_size: int, bidirectional: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    sizes = {"embedding_size": embedding_size, "hidden_size": hidden_size, "layers": 2, "bidirectional": bidirectional}
    network = lstm(**sizes, pooling="mean", dropout=0.0, embedding_dropout=0.0, word_dropout=0.0)()

    def logits_and_gradients() -> list[torch.Tensor | None]:
        network.zero_grad()
        logits = network(*random_batch([7, 3, 4, 12]))
        logits.square().sum().backward()
        return [logits.detach(), *(parameter.grad for parameter in network.parameters())]

    expected, run, used = logits_and_gradients(), torch.lstm, []

    def watched(features: torch.Tensor, start: object, weights: list[torch.Tensor], *rest: object) -> object:
        used.extend([features.shape[2], weights[0].shape[1], weights[1].shape[1]])
        return run(features, start, weights, *rest)

    monkeypatch.setattr(torch, "lstm", watched)
    monkeypatch.setattr("models.lstm.is_autocast_enabled", lambda _device: True)  # the numbers are still float32
    torch.testing.assert_close(logits_and_gradients(), expected, rtol=1e-4, atol=1e-6)
    assert used
    assert all(size % 2 == 0 for size in used)


def test_a_cnn_configuration_survives_json() -> None:
    config = CNNConfig(widths=(2, 3))
    assert CNNConfig(**json.loads(json.dumps(asdict(config)))) == config


def fit_toy(classifier: ClassifierName) -> tuple[LinearClassifier, TrainingResult]:
    config, texts = LinearConfig(classifier, max_ngram=2), (toy_texts(600, seed=0), toy_texts(100, seed=1))
    return fit_linear(config, *texts, vocabulary_size=WORDS, max_tokens=20, classes=CLASSES, seed=3)


@pytest.mark.parametrize("classifier", ["svm", "logistic_regression"])
def test_a_linear_classifier_learns_the_toy_corpus_too_and_gives_the_same_weights_each_time(
    classifier: ClassifierName,
) -> None:
    (_, first), (_, again) = fit_toy(classifier), fit_toy(classifier)
    assert first.best.accuracy > 0.9
    assert all(torch.equal(first.best_weights[name], again.best_weights[name]) for name in first.best_weights)


@pytest.mark.parametrize("kind", [lstm, cnn])
def test_word_dropout_makes_words_unknown_while_it_trains(kind: Callable[..., MakeNetwork]) -> None:
    torch.manual_seed(0)
    network = kind(word_dropout=1 - 1e-9, dropout=0.0, embedding_dropout=0.0)().train()
    token_ids, lengths = random_batch([7, 1, 4, 12])
    unknown = token_ids.clamp(max=1)
    torch.testing.assert_close(network(token_ids, lengths), network(unknown, lengths))
    assert not torch.equal(network.eval()(token_ids, lengths), network(unknown, lengths))


@pytest.mark.parametrize(
    ("config", "wrong", "message"),
    [
        (LSTMConfig, {"hidden_size": 0}, "`hidden_size >= 1` must hold, got 0"),
        (LSTMConfig, {"dropout": 1.0}, "`0 <= dropout < 1` must hold, got 1.0"),
        (LSTMConfig, {"pooling": "sum"}, "`pooling` must be max, mean or last, got 'sum'"),
        (CNNConfig, {"filters": 0}, "`filters >= 1` must hold, got 0"),
        (CNNConfig, {"embedding_dropout": 1.0}, "`0 <= embedding_dropout < 1` must hold, got 1.0"),
        (LSTMConfig, {"word_dropout": -0.1}, "`0 <= word_dropout < 1` must hold, got -0.1"),
        (CNNConfig, {"widths": ()}, r"`widths` must be one or more whole numbers from 1 on, got \(\)"),
        (CNNConfig, {"widths": [3, 0]}, r"`widths` must be one or more whole numbers from 1 on, got \(3, 0\)"),
    ],
)
def test_impossible_configurations_are_refused(
    config: Callable[..., object], wrong: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config(**wrong)
