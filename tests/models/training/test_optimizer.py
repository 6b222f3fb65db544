"""The optimizer takes PyTorch's steps, bit for bit."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from models.training.optimizer import WARM_UP_SHARES, Schedule, ScheduledAdamW

SHAPES = [(7, 3), (5,), (2, 2, 2)]


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def groups(rate: float) -> list[dict[str, Any]]:
    first, *others = parameters()
    return [{"params": [first], "lr": rate}, {"params": others, "lr": rate / 3, "weight_decay": 0.0}]


def pytorch(rate: float, weight_decay: float, schedule: Schedule, steps: int) -> tuple[torch.optim.AdamW, LRScheduler]:
    optimizer = torch.optim.AdamW(groups(rate), lr=rate, weight_decay=weight_decay, fused=True)
    if schedule == "one_cycle":
        peaks = [group["lr"] for group in optimizer.param_groups]
        return optimizer, OneCycleLR(optimizer, peaks, total_steps=steps, pct_start=WARM_UP_SHARES[schedule])
    rising = max(1, round(steps * WARM_UP_SHARES[schedule]))
    return optimizer, LambdaLR(optimizer, lambda step: min((step + 1) / rising, (steps - step) / (steps - rising + 1)))


def set_gradients(optimizer: Any, step: int, *, idle: int | None) -> None:
    """The same ones for the same step; the parameter at the place `idle` gets none at every third step."""
    generator = torch.Generator().manual_seed(step)
    everything = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for place, parameter in enumerate(everything):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if place == idle and step % 3 == 0 else gradient


@settings(max_examples=30)
@given(
    rate=st.floats(1e-5, 1.0),
    weight_decay=st.floats(0, 1),
    schedule=st.sampled_from(["one_cycle", "linear"]),
    steps=st.integers(1, 20),
    idle=st.sampled_from([None, 0, 2]),
)
def test_every_step_is_pytorchs_bit_for_bit(
    rate: float, weight_decay: float, schedule: Schedule, steps: int, idle: int | None
) -> None:
    theirs, scheduler = pytorch(rate, weight_decay, schedule, steps)
    ours = ScheduledAdamW(groups(rate), weight_decay=weight_decay, schedule=schedule, steps=steps)
    for step in range(steps):
        for optimizer in (theirs, ours):
            set_gradients(optimizer, step, idle=idle)
            optimizer.step()
        scheduler.step()
        ours.advance()
        for group, other in zip(theirs.param_groups, ours.param_groups, strict=True):
            for expected, parameter in zip(group["params"], other["params"], strict=True):
                assert torch.equal(expected, parameter)


@pytest.mark.parametrize("schedule", ["one_cycle", "linear"])
def test_it_continues_from_its_state(schedule: Schedule) -> None:
    def make() -> ScheduledAdamW:
        return ScheduledAdamW(groups(0.1), weight_decay=0.01, schedule=schedule, steps=6)

    def steps(optimizer: ScheduledAdamW, first: int, last: int) -> None:
        for step in range(first, last):
            set_gradients(optimizer, step, idle=2)
            optimizer.step()
            optimizer.advance()

    whole, first, second = make(), make(), make()
    steps(whole, 0, 6)
    steps(first, 0, 4)
    for parameter, other in zip(second.parameters, first.parameters, strict=True):
        parameter.data.copy_(other)
    second.load_state_dict(first.state_dict())
    steps(second, 4, 6)
    assert all(map(torch.equal, whole.parameters, second.parameters))


def test_a_step_that_the_scaler_of_gradients_skips_moves_the_schedule_only() -> None:
    theirs, scheduler = pytorch(0.1, 0.01, "one_cycle", 8)
    ours = ScheduledAdamW(groups(0.1), weight_decay=0.01, schedule="one_cycle", steps=8)
    scalers = [torch.amp.GradScaler("cpu", init_scale=4.0) for _ in range(2)]
    for step in range(8):
        for optimizer, scaler in zip((theirs, ours), scalers, strict=True):
            scaler.scale(torch.ones(1))
            set_gradients(optimizer, step, idle=None)
            optimizer.param_groups[0]["params"][0].grad[0] = math.inf if step in (1, 5) else 2.0
            scaler.unscale_(optimizer)  # type: ignore[arg-type]
            scaler.step(optimizer)  # type: ignore[arg-type]
            scaler.update()
        scheduler.step()
        ours.advance()
    expected = [parameter for group in theirs.param_groups for parameter in group["params"]]
    assert all(map(torch.equal, expected, ours.parameters))
    assert scalers[1].get_scale() == 1.0  # halved twice


def test_gradients_are_cleared() -> None:
    optimizer = ScheduledAdamW(groups(0.1), weight_decay=0.0, schedule="linear", steps=2)
    set_gradients(optimizer, 1, idle=None)
    optimizer.zero_grad()
    assert [parameter.grad for parameter in optimizer.parameters] == [None] * 3
