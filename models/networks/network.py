"""The base class of all networks: token ids (B, T) and lengths (B,) to logits (B, classes), loadable from weights."""

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
        """The network with these weights, on the CPU, for prediction only.

        `encoder` is the `encoder_description`, for networks with a pretrained encoder. Raises `ValueError`,
        `RuntimeError`, `LookupError` or `TypeError` when the weights are another network's.
        """
        with torch.device("meta"):  # without allocating and initialising weights
            model = cls(config, vocabulary_size=vocabulary_size, classes=classes, **cls.sizes_in(weights))
        if _shapes(model.state_dict()) != _shapes(weights):
            raise ValueError(
                f"The weights are another network's than one for {vocabulary_size} words and {classes} classes."
            )
        model.to_empty(device="cpu").load_state_dict(dict(weights))
        return model.eval().requires_grad_(False)

    @classmethod
    def sizes_in(cls, _weights: Mapping[str, Tensor]) -> dict[str, int]:
        """The arguments of the constructor that must be read from the weights. Raises `LookupError`."""
        return {}

    @property
    def encoder_description(self) -> str | None:
        """The configuration of the pretrained encoder for `from_weights`; None for a network without one."""
        return None


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
