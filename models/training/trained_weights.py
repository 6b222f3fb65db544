"""The weights of a network that training changes, which are kept in checkpoints and results.

All others are frozen, and loaded from the pretrained encoder whenever the network is built.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class FineTuned(Protocol):
    """A network that decides how and when its parts are trained; others train all that requires a gradient."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """The groups for AdamW: all trainable parameters, each group with its `lr` at the schedule's peak."""
        ...

    def before_epoch(self, epoch: int) -> None:
        """Require a gradient for the parameters that are trained in this epoch, counted from 0."""
        ...


def parameter_groups(model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """The groups of parameters of any network, as in `FineTuned`."""
    if isinstance(model, FineTuned):
        return model.parameter_groups(learning_rate)
    return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad], "lr": learning_rate}]


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by name; for a fine-tuned one, the trainable parameters and the buffers."""
    if not isinstance(model, FineTuned):
        return model.state_dict()
    trained = {id(parameter) for group in parameter_groups(model, 1.0) for parameter in group["params"]}
    frozen = {name for name, parameter in model.named_parameters() if id(parameter) not in trained}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def load_trained(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy trained weights into a network of the same kind. Raises `ValueError` for weights that do not fit."""
    own = trained_weights(model)
    if missing := [name for name in own if name not in weights]:
        raise ValueError(f"The weights lack {missing[0]} ({len(missing)} of {len(own)} are missing).")
    if foreign := [name for name in weights if name not in own]:
        raise ValueError(f"The weights are another network's: this one has no {foreign[0]} that is trained.")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise ValueError(f"The weights are another network's: {name} has shape {tuple(weights[name].shape)}.")
    model.load_state_dict(weights, strict=False)
