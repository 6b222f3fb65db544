"""The precision of a network's matrix products in training; weights, loss, optimizer and evaluation are float32."""

import statistics
import time
from typing import Literal

import torch
from torch import nn

from models.training.parallel import one_torch_thread

Precision = Literal["auto", "float32", "bfloat16"]  # auto: half precision on a GPU, float32 elsewhere

PAIRS = 9  # of timed steps
TIME, BATCH, FEATURES, HIDDEN = 100, 32, 192, 64  # of the layer that is timed: the default LSTM on R8


def compute_type(precision: Precision, device: torch.device) -> torch.dtype:
    """The type that matrix products are computed in; float32 on a device that does not multiply bfloat16."""
    if precision == "auto" and device.type == "cuda":
        return torch.bfloat16 if multiplies_bfloat16(device) else torch.float16
    return torch.bfloat16 if precision == "bfloat16" and multiplies_bfloat16(device) else torch.float32


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """A context in which matrix products are computed in the `compute_type`."""
    dtype = compute_type(precision, device)
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; a CPU does with AVX512-BF16 or AMX, a GPU since 2020.

    Without it, the CPU's kernels are several times slower or fail.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def bfloat16_speedup() -> float:
    """How many times as fast this CPU trains an LSTM layer in bfloat16 as in float32; takes half a second.

    The layer is always the same, so that the answer depends on the machine alone; a median of pairs.
    """
    with torch.random.fork_rng(devices=[]), one_torch_thread():
        layer, inputs = nn.LSTM(FEATURES, HIDDEN), torch.randn(TIME, BATCH, FEATURES)

        def seconds(precision: Precision) -> float:
            start = time.perf_counter()
            with autocast(precision, torch.device("cpu")):
                outputs, _ = layer(inputs)
            outputs.float().sum().backward()
            return time.perf_counter() - start

        pairs = [(seconds("float32"), seconds("bfloat16")) for _ in range(PAIRS + 1)]
    return statistics.median(single / half for single, half in pairs[1:])  # the first ones compile
