"""What all networks share: token ids (B, T) and lengths (B,) to logits (B, classes), and how weights become one."""

from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """A classifier of encoded texts, built as `Network(config, vocabulary_size=..., classes=...)`."""

    config: Any  # the model's own dataclass

    @classmethod
    def from_weights(
        cls,
        config: Any,
        weights: Mapping[str, Tensor],
        *,
        vocabulary_size: int,
        classes: int,
        encoder: str | None = None,  # noqa: ARG003
    ) -> Self:
        """The network with all these weights, on the CPU, to predict with and not to be trained.

        `encoder` is the `description` of a pretrained encoder, for networks that have one. Raises `ValueError`,
        `RuntimeError`, `LookupError` or `TypeError` when the weights are another network's.
        """
        with torch.device("meta"):  # without memory, and without drawing weights that would be overwritten
            model = cls(config, vocabulary_size=vocabulary_size, classes=classes, **cls.sizes_in(weights))
        if _shapes(model.state_dict()) != _shapes(weights):
            raise ValueError(
                f"The weights are another network's than one for {vocabulary_size} words and {classes} classes."
            )
        model.to_empty(device="cpu").load_state_dict(dict(weights))
        return model.eval().requires_grad_(False)

    @classmethod
    def sizes_in(cls, _weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Arguments of the constructor that only the weights tell. Raises `LookupError`."""
        return {}

    @property
    def encoder_description(self) -> str | None:
        """What `from_weights` needs to know of a pretrained encoder; None for a network without one."""
        return None


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
