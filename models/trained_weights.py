"""The weights of a network that are kept, in checkpoints and afterwards: those that training changes.

Its others are frozen for good; they come from where they were pretrained whenever the network is built.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class FineTuned(Protocol):
    """A network that decides how its parts are trained, and when; the others train all that requires a gradient."""

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """For AdamW: all parameters that are ever trained, each group with its own `lr` at the schedule's peak."""
        ...

    def before_epoch(self, epoch: int) -> None:
        """Let those parameters require a gradient that are trained in this epoch, counted from 0."""
        ...


def parameter_groups(model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
    """Groups of parameters as `FineTuned` describes them, for any network."""
    if isinstance(model, FineTuned):
        return model.parameter_groups(learning_rate)
    return [{"params": [parameter for parameter in model.parameters() if parameter.requires_grad], "lr": learning_rate}]


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The network's own tensors by name: of a fine-tuned one the parameters that are ever trained, and buffers."""
    if not isinstance(model, FineTuned):
        return model.state_dict()
    trained = {id(parameter) for group in parameter_groups(model, 1.0) for parameter in group["params"]}
    frozen = {name for name, parameter in model.named_parameters() if id(parameter) not in trained}
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def load_trained(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy trained weights into a network built as the one they come from. Raises `ValueError` for any others."""
    own = trained_weights(model)
    if missing := [name for name in own if name not in weights]:
        raise ValueError(f"The weights lack {missing[0]} ({len(missing)} of {len(own)} are missing).")
    if foreign := [name for name in weights if name not in own]:
        raise ValueError(f"The weights are another network's: this one has no {foreign[0]} that is trained.")
    for name, tensor in own.items():
        if tensor.shape != weights[name].shape:
            raise ValueError(f"The weights are another network's: {name} has shape {tuple(weights[name].shape)}.")
    model.load_state_dict(weights, strict=False)
