"""Training by rows gives what AdamW gives on the whole table, but for rounding."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.cnn import CNNClassifier, CNNConfig
from models.lstm import LSTMClassifier, LSTMConfig
from models.networks.network import Network
from models.networks.row_embedding import BETA2, EPSILON, MissedSteps, RowEmbedding
from models.training.config import TrainingConfig
from models.training.optimizer import Schedule, ScheduledAdamW, one_cycle
from models.training.trainer import TrainingResult, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts
from preprocessing.vocabulary import PAD_ID

WORDS, SIZE = 40, 3


def embedding(kind: type[nn.Embedding], seed: int = 0) -> nn.Embedding:
    torch.manual_seed(seed)
    return kind(WORDS, SIZE, padding_idx=PAD_ID)


def optimizer_of(
    table: nn.Embedding, schedule: Schedule, weight_decay: float, steps: int, rate: float = 0.05
) -> ScheduledAdamW:
    return ScheduledAdamW(
        [{"params": [], "lr": 1.0}, {"params": [table.weight], "lr": rate, "weight_decay": weight_decay}],
        weight_decay=0.0,  # the group has its own
        schedule=schedule,
        steps=steps,
        embeddings=[table] if isinstance(table, RowEmbedding) else [],
    )


def batches(steps: int, seed: int = 0) -> Iterator[Tensor]:
    """Few words each, so that most words are missing for a long time."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield torch.randint(0, WORDS, (2, 2), generator=generator)


def take_step(table: nn.Embedding, optimizer: ScheduledAdamW, token_ids: Tensor, scale: float = 1.0) -> Tensor:
    """A step towards rows of ones; returns the features."""
    optimizer.zero_grad()
    features: Tensor = table(token_ids)
    (scale * (features - 1).square().sum()).backward()
    optimizer.step()
    optimizer.advance()
    return features.detach()


@settings(max_examples=40)
@given(
    schedule=st.sampled_from(["one_cycle", "linear"]),
    weight_decay=st.floats(0, 1),
    steps=st.integers(1, 80),
    seed=st.integers(0, 9),
    scale=st.sampled_from([1.0, 1e-3]),
)
def test_every_feature_and_the_final_table_are_those_of_the_whole_tables_training(
    schedule: Schedule, weight_decay: float, steps: int, seed: int, scale: float
) -> None:
    whole, by_rows = embedding(nn.Embedding), embedding(RowEmbedding)
    optimizers = [optimizer_of(table, schedule, weight_decay, steps) for table in (whole, by_rows)]
    assert optimizers[1].tables
    for token_ids in batches(steps, seed):
        expected = take_step(whole, optimizers[0], token_ids, scale)
        features = take_step(by_rows, optimizers[1], token_ids, scale)
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=5e-5)
    optimizers[1].settle()
    torch.testing.assert_close(by_rows.weight, whole.weight, rtol=1e-4, atol=5e-5)
    assert not by_rows.weight[PAD_ID].any()


@pytest.mark.parametrize("scale", [1e-7, 1e-9, 1e-12, 1e-18, 1e-25, 1e-30])
def test_tiny_gradients_move_a_row_about_as_far_as_in_the_whole_table(scale: float) -> None:
    """There the square underflows before the momentum, and `EPSILON` decides."""
    start, whole, by_rows = embedding(nn.Embedding), embedding(nn.Embedding), embedding(RowEmbedding)
    optimizers = [optimizer_of(table, "one_cycle", 0.01, 200) for table in (whole, by_rows)]
    for token_ids in batches(200):
        for table, optimizer in zip((whole, by_rows), optimizers, strict=True):
            take_step(table, optimizer, token_ids, scale)
    optimizers[1].settle()
    difference, way = (by_rows.weight - whole.weight).norm(), (whole.weight - start.weight).norm()
    assert difference < 0.02 * way


@pytest.mark.parametrize(("since", "now"), [(0, 60_000), (1, 2), (30_000, 30_040), (17_000, 60_000), (59_990, 60_000)])
def test_a_row_catches_up_with_sixty_thousand_steps(since: int, now: int) -> None:
    steps, weight_decay = 60_000, 1.0
    rates = [one_cycle(0.03, step, steps) for step in range(steps)]
    row, momentum, square = 1.0, 0.3, 0.05
    for number, (rate, beta1) in enumerate(rates[since:now], since + 1):  # AdamW with a gradient of zero
        momentum, square = momentum * beta1, square * BETA2
        row *= 1 - rate * weight_decay
        row -= rate * momentum / (1 - beta1**number) / (math.sqrt(square / (1 - BETA2**number)) + EPSILON)
    tensors = [torch.tensor([[value]]) for value in (1.0, 0.3, 0.05)]
    missed = MissedSteps.of(rates, weight_decay)
    assert missed is not None
    missed.catch_up(*tensors, torch.tensor([since]), now)
    assert [tensor.item() for tensor in tensors] == pytest.approx([row, momentum, square], rel=1e-5, abs=1e-30)


@pytest.mark.parametrize(("rate", "weight_decay"), [(2.0, 1.0), (1.0, 1.0), (0.5, 0.5)])
def test_a_weight_decay_that_outruns_momentum_trains_the_whole_table(rate: float, weight_decay: float) -> None:
    table = embedding(RowEmbedding)
    optimizer = optimizer_of(table, "linear", weight_decay, 20, rate)
    assert not optimizer.tables
    assert table.rows is None
    assert MissedSteps.of([(rate, 0.9)], weight_decay) is None


def test_words_that_never_occur_only_decay() -> None:
    table = embedding(RowEmbedding)
    before = table.weight.detach().clone()
    optimizer = optimizer_of(table, "linear", 0.5, 10)
    for _ in range(10):
        take_step(table, optimizer, torch.tensor([[3, 4]]))
    optimizer.settle()
    factors = table.weight[5:] / before[5:]
    low, high = factors.min().item(), factors.max().item()
    assert low == pytest.approx(high, rel=1e-5)
    assert 0.5 < low < 1


def test_only_the_rows_of_the_batch_have_a_gradient() -> None:
    table = embedding(RowEmbedding)
    optimizer = optimizer_of(table, "linear", 0.0, 1)
    table(torch.tensor([[7, 3, 7]])).sum().backward()
    (rows,) = optimizer.with_gradient
    assert rows.grad is not None
    assert rows.grad.tolist() == [[0.0] * 3, [1.0] * 3, [2.0] * 3]  # padding, 3 and 7


def test_it_continues_from_its_state_bit_for_bit() -> None:
    whole, first, second = (embedding(RowEmbedding) for _ in range(3))
    optimizers = [optimizer_of(table, "one_cycle", 0.1, 12) for table in (whole, first, second)]
    for step, token_ids in enumerate(batches(12)):
        if step == 6:  # an epoch has ended
            for optimizer in optimizers[:2]:
                optimizer.settle()
            second.load_state_dict(first.state_dict())
            optimizers[2].load_state_dict(optimizers[1].state_dict())
        take_step(whole, optimizers[0], token_ids)
        take_step(*((first, optimizers[1]) if step < 6 else (second, optimizers[2])), token_ids)
    for optimizer in optimizers:
        optimizer.settle()
    assert torch.equal(whole.weight, second.weight)
    assert not torch.equal(first.weight, second.weight)


def test_it_is_an_ordinary_embedding_in_evaluation() -> None:
    table = embedding(RowEmbedding)
    optimizer_of(table, "linear", 0.0, 1)
    token_ids = torch.tensor([[7, 3]])
    assert torch.equal(table.eval()(token_ids), nn.functional.embedding(token_ids, table.weight))
    assert list(table.state_dict()) == ["weight"]


NETWORKS = {
    "lstm max": (LSTMClassifier, LSTMConfig(12, 10)),
    "lstm mean": (LSTMClassifier, LSTMConfig(12, 10, pooling="mean")),
    "lstm last": (LSTMClassifier, LSTMConfig(12, 10, pooling="last")),
    "cnn": (CNNClassifier, CNNConfig(12, 10)),
}


def random_texts(count: int = 60) -> EncodedTexts:
    generator = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(generator.integers(3, 15, count))])
    token_ids = generator.integers(1, WORDS, offsets[-1])
    return EncodedTexts(token_ids.astype(np.int32), offsets, generator.integers(0, 3, count).astype(np.int32))


def train_on_random_texts(
    kind: type[Network], config: object, gradient_norm: float, *, embedding_type: type[nn.Embedding]
) -> tuple[Network, TrainingResult]:
    torch.manual_seed(1)
    network = kind(config, vocabulary_size=WORDS, classes=3)
    network.embedding.__class__ = embedding_type
    training = TrainingBatches(random_texts(), 4, 50, WORDS, 0)
    validation = EvaluationBatches(random_texts(), 50, WORDS)
    settings = TrainingConfig(3, gradient_norm=gradient_norm, weight_decay=0.1)
    return network, train(network, training, validation, settings, device=torch.device("cpu"))


@pytest.mark.parametrize("gradient_norm", [1.0, 0.01])
@pytest.mark.parametrize(("kind", "config"), NETWORKS.values(), ids=NETWORKS.keys())
def test_a_network_is_trained_as_with_the_whole_table(
    kind: type[Network], config: object, gradient_norm: float
) -> None:
    _, whole = train_on_random_texts(kind, config, gradient_norm, embedding_type=nn.Embedding)
    network, by_rows = train_on_random_texts(kind, config, gradient_norm, embedding_type=RowEmbedding)
    losses = [[result.training_loss for result in each.curve] for each in (whole, by_rows)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, tensor in whole.best_weights.items():
        torch.testing.assert_close(by_rows.best_weights[name], tensor, rtol=1e-2, atol=1e-3)
    assert isinstance(network.embedding, RowEmbedding)
    assert network.embedding.rows is None  # it is an ordinary one again
