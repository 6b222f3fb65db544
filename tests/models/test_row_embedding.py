"""Training by rows gives what AdamW gives on the whole table, but for rounding."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.optimizer import Schedule, ScheduledAdamW
from models.row_embedding import RowEmbedding
from preprocessing.vocabulary import PAD_ID

WORDS, SIZE = 40, 3


def embedding(kind: type[nn.Embedding], seed: int = 0) -> nn.Embedding:
    torch.manual_seed(seed)
    return kind(WORDS, SIZE, padding_idx=PAD_ID)


def optimizer_of(table: nn.Embedding, schedule: Schedule, weight_decay: float, steps: int) -> ScheduledAdamW:
    return ScheduledAdamW(
        [{"params": [table.weight], "lr": 0.05}],
        weight_decay=weight_decay,
        schedule=schedule,
        steps=steps,
        embeddings=[table] if isinstance(table, RowEmbedding) else [],
    )


def batches(steps: int, seed: int = 0) -> Iterator[Tensor]:
    """Few words each, so that most words are missing for a long time."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield torch.randint(0, WORDS, (2, 2), generator=generator)


def take_step(table: nn.Embedding, optimizer: ScheduledAdamW, token_ids: Tensor) -> Tensor:
    """A step towards rows of ones; returns the features."""
    optimizer.zero_grad()
    features: Tensor = table(token_ids)
    (features - 1).square().sum().backward()
    optimizer.step()
    return features.detach()


@settings(max_examples=40)
@given(
    schedule=st.sampled_from(["one_cycle", "linear"]),
    weight_decay=st.floats(0, 1),
    steps=st.integers(1, 80),
    seed=st.integers(0, 9),
)
def test_every_feature_and_the_final_table_are_those_of_the_whole_tables_training(
    schedule: Schedule, weight_decay: float, steps: int, seed: int
) -> None:
    whole, by_rows = embedding(nn.Embedding), embedding(RowEmbedding)
    optimizers = [optimizer_of(table, schedule, weight_decay, steps) for table in (whole, by_rows)]
    for token_ids in batches(steps, seed):
        expected, features = map(take_step, (whole, by_rows), optimizers, (token_ids, token_ids))
        torch.testing.assert_close(features, expected, rtol=1e-4, atol=2e-5)
    optimizers[1].settle()
    torch.testing.assert_close(by_rows.weight, whole.weight, rtol=1e-4, atol=2e-5)
    assert not by_rows.weight[PAD_ID].any()


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
