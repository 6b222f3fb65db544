"""The dropout that is faster than torch's must be just as correct."""

import pytest
import torch

from models.networks.layers import FastDropout, WordDropout
from preprocessing.vocabulary import PAD_ID, UNKNOWN_ID


@pytest.mark.parametrize("probability", [0.1, 0.2, 0.5, 0.9])
def test_features_are_zeroed_with_the_given_probability_and_the_mean_is_kept(probability: float) -> None:
    torch.manual_seed(0)
    dropped = FastDropout(probability)(torch.ones(1000, 1001))
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.003)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    zeros_by_place = (dropped.flatten()[: 8 * 125_000].view(-1, 8) == 0).float().mean(dim=0)
    assert zeros_by_place.sub(probability).abs().max() < 0.01  # all bytes of a random number behave alike


def test_zeroed_features_get_no_gradient_and_the_others_a_scaled_one() -> None:
    features = torch.ones(64, 64, requires_grad=True)
    dropped = FastDropout(0.5)(features)
    dropped.sum().backward()
    assert torch.equal(features.grad, dropped.detach())


def test_dropout_does_nothing_in_evaluation_or_with_probability_zero() -> None:
    features = torch.randn(7, 5)
    assert FastDropout(0.5).eval()(features) is features
    assert FastDropout(0.0)(features) is features


def test_the_global_seed_decides_which_features_are_zeroed() -> None:
    drop = FastDropout(0.5)
    torch.manual_seed(1)
    first = drop(torch.ones(9, 9))
    torch.manual_seed(1)
    assert torch.equal(drop(torch.ones(9, 9)), first)


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_words_become_unknown_with_the_given_probability_and_padding_stays(probability: float) -> None:
    torch.manual_seed(0)
    token_ids = torch.full((400, 500), 7, dtype=torch.int32)
    token_ids[:, 300:] = PAD_ID
    dropped = WordDropout(probability)(token_ids)
    assert dropped.dtype == torch.int32
    assert set(dropped[:, :300].unique().tolist()) == {UNKNOWN_ID, 7}
    assert (dropped[:, :300] == UNKNOWN_ID).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert torch.equal(dropped[:, 300:], token_ids[:, 300:])


def test_words_are_kept_in_evaluation_or_with_probability_zero() -> None:
    token_ids = torch.tensor([[5, 6, 0]])
    assert WordDropout(0.5).eval()(token_ids) is token_ids
    assert WordDropout(0.0)(token_ids) is token_ids
