"""The precision of a network's matrix products; its weights, the loss and the optimizer are always float32."""

from typing import Literal

import torch

# auto: bfloat16 or float16 on a GPU, and float32 elsewhere, unless a measurement has decided for another.
Precision = Literal["auto", "float32", "bfloat16"]


def compute_type(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if multiplies_bfloat16(device) else torch.float16


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which matrix products are computed in the `compute_type`."""
    dtype = compute_type(precision, device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; a CPU does with AVX512-BF16 or AMX, a GPU since 2020."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
