"""Dropout that is faster than torch's must be as right."""

import pytest
import torch

from models.dropout import FastDropout


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_features_are_zeroed_with_the_probability_and_the_mean_is_kept(probability: float) -> None:
    torch.manual_seed(0)
    dropped = FastDropout(probability)(torch.ones(1000, 1001))
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.003)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    zeros_by_place = (dropped.flatten()[: 8 * 125_000].view(-1, 8) == 0).float().mean(dim=0)
    assert zeros_by_place.sub(probability).abs().max() < 0.01  # no byte of a random number is special


def test_what_is_zeroed_gets_no_gradient_and_the_rest_its_scale() -> None:
    features = torch.ones(64, 64, requires_grad=True)
    dropped = FastDropout(0.5)(features)
    dropped.sum().backward()
    assert torch.equal(features.grad, dropped.detach())


def test_in_evaluation_and_at_zero_it_does_nothing() -> None:
    features = torch.randn(7, 5)
    assert FastDropout(0.5).eval()(features) is features
    assert FastDropout(0.0)(features) is features


def test_the_global_seed_decides() -> None:
    drop = FastDropout(0.5)
    torch.manual_seed(1)
    first = drop(torch.ones(9, 9))
    torch.manual_seed(1)
    assert torch.equal(drop(torch.ones(9, 9)), first)
