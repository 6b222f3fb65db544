"""Pretrained encoders of transformers: loaded, adapted, described and rebuilt, without progress bars or network."""

import json
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from preprocessing.pretrained import PretrainedError, bert_extra

QUERIES_AND_VALUES = ("query", "value", "q_lin", "v_lin")  # their names in BERT and in DistilBERT


def load_encoder(folder: Path) -> nn.Module:
    """The encoder in a folder that `from_pretrained` can read, without a pooler: (B, T) to hidden states (B, T, D).

    Raises `PretrainedError` if it cannot be used.
    """
    with bert_extra():
        from transformers import AutoModel
    try:
        with _quiet():
            encoder, report = AutoModel.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 120, placeholder=" ...")
        raise PretrainedError(f"The encoder {folder} cannot be loaded: {reason}") from error
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith("pooler.")):
        raise PretrainedError(f"The encoder {folder} cannot be used: its weights lack {missing[0]}.")
    if not _layer_lists(encoder):
        raise PretrainedError(
            f"The encoder {folder} cannot be used: its layers share their weights, as ALBERT's do. "
            "Name one such as BERT with --bert-model."
        )
    return _without_pooler(encoder)


def describe_encoder(encoder: nn.Module) -> str:
    """The encoder's configuration as JSON, for `build_encoder`."""
    return str(encoder.config.to_json_string())  # type: ignore[operator,union-attr]


def build_encoder(described: str) -> nn.Module:
    """An encoder with random weights. Raises `ValueError` when the description cannot be used."""
    with bert_extra():
        from transformers import AutoConfig, AutoModel
    with _quiet():
        return _without_pooler(AutoModel.from_config(AutoConfig.for_model(**json.loads(described))))


def read_shape(folder: Path) -> nn.Module:
    """The encoder of a folder with random weights, or on the meta device without any."""
    with bert_extra():
        from transformers import AutoConfig, AutoModel
    with _quiet():
        return _without_pooler(AutoModel.from_config(AutoConfig.from_pretrained(folder, local_files_only=True)))


def layers_of(encoder: nn.Module) -> list[nn.Module]:
    """The layers of an encoder from the bottom up."""
    return list(_layer_lists(encoder)[0])


def with_adapters(encoder: nn.Module, *, rank: int, alpha: float, dropout: float) -> nn.Module:
    """The encoder with low-rank adapters beside its query and value matrices; only they require a gradient.

    Raises `PretrainedError` for an encoder that has no such matrices.
    """
    with bert_extra():
        from peft import LoraConfig, LoraModel
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(QUERIES_AND_VALUES))
    try:
        adapted: nn.Module = LoraModel(encoder, config, "default")
    except ValueError as error:
        raise PretrainedError(
            "LoRA finds no query and value matrices in the encoder; choose another strategy."
        ) from error
    return adapted


def without_adapters(encoder: nn.Module) -> nn.Module:
    """The encoder with its adapters merged into its weights; the argument is modified."""
    merged: nn.Module = encoder.merge_and_unload()  # type: ignore[operator]
    return merged


def _layer_lists(encoder: nn.Module) -> list[nn.ModuleList]:
    count = getattr(encoder.config, "num_hidden_layers", None)
    return [module for module in encoder.modules() if isinstance(module, nn.ModuleList) and len(module) == count]


def _without_pooler(encoder: Any) -> nn.Module:
    if hasattr(encoder, "pooler"):
        encoder.pooler = None  # for sentence pairs; its weights would get no gradient
    module: nn.Module = encoder
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress progress bars, and reports of unused weights."""
    from transformers.utils import logging

    verbosity, shows_progress = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows_progress:
            logging.enable_progress_bar()
