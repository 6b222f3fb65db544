"""The weights that are kept are those that training changes; only a network built in the same way can load them."""

from typing import Any

import pytest
import torch
from torch import nn

from models.training.trained_weights import load_trained, parameter_groups, trained_weights


class Layers(nn.Sequential):
    """A fine-tuned network, which says itself what is trained."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        return [{"params": [one for one in self.parameters() if one.requires_grad], "lr": learning_rate}]

    def before_epoch(self, epoch: int) -> None: ...


def network(classes: int = 2) -> nn.Module:
    """A frozen layer, one with running statistics, and a trained one."""
    layers = Layers(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, classes))
    layers[0].requires_grad_(False)
    return layers


KEPT = ["1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked", "2.weight", "2.bias"]


def test_permanently_frozen_weights_are_left_out_and_buffers_are_kept() -> None:
    assert list(trained_weights(network())) == KEPT
    assert len(parameter_groups(network(), 0.1)[0]["params"]) == 4


def test_all_weights_are_kept_if_the_network_is_not_fine_tuned() -> None:
    """Its frozen parameters may have been drawn at random, like those of words without a vector."""
    layers = nn.Sequential(*network())
    assert list(trained_weights(layers)) == ["0.weight", "0.bias", *KEPT]


def test_trained_weights_can_be_loaded_into_another_network_of_the_same_kind() -> None:
    one, other = network(), network()
    frozen = other[0].weight.clone()  # type: ignore[index]
    load_trained(other, trained_weights(one))
    assert all(torch.equal(trained_weights(other)[name], tensor) for name, tensor in trained_weights(one).items())
    assert torch.equal(other[0].weight, frozen)  # type: ignore[index]


def test_a_missing_or_foreign_name_or_another_shape_is_an_error() -> None:
    weights = trained_weights(network())
    with pytest.raises(ValueError, match=r"lack 2\.bias \(1 of 7 are missing\)"):
        load_trained(network(), {name: weights[name] for name in KEPT[:-1]})
    with pytest.raises(ValueError, match=r"this one has no 0\.bias that is trained"):
        load_trained(network(), {**weights, "0.bias": torch.zeros(4)})
    with pytest.raises(ValueError, match=r"2\.weight has shape \(3, 4\)"):
        load_trained(network(), trained_weights(network(classes=3)))
