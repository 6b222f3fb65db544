"""The networks by name: what each is configured by, and how one is made from its weights.

All are called alike: token ids (B, T) and lengths (B,) to logits (B, classes).
"""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from models.bert import BERTClassifier, BERTConfig, build_exported
from models.cnn import CNNClassifier, CNNConfig
from models.linear import LinearClassifier, LinearConfig
from models.lstm import LSTMClassifier, LSTMConfig
from preprocessing.word_vectors import WordVectors

ModelConfig: TypeAlias = LSTMConfig | CNNConfig | LinearConfig | BERTConfig
Network: TypeAlias = LSTMClassifier | CNNClassifier | LinearClassifier | BERTClassifier
CONFIGS: dict[str, type[ModelConfig]] = {
    "lstm": LSTMConfig,
    "cnn": CNNConfig,
    "linear": LinearConfig,
    "bert": BERTConfig,
}


def name_of(config: ModelConfig) -> str:
    return next(name for name, kind in CONFIGS.items() if isinstance(config, kind))


def word_network(
    config: LSTMConfig | CNNConfig, *, vocabulary_size: int, classes: int, vectors: WordVectors | None = None
) -> LSTMClassifier | CNNClassifier:
    """One that has learned nothing yet, but for the `vectors` that its words may begin with."""
    if isinstance(config, CNNConfig):
        return CNNClassifier(config, vocabulary_size=vocabulary_size, classes=classes, vectors=vectors)
    return LSTMClassifier(config, vocabulary_size=vocabulary_size, classes=classes, vectors=vectors)


def build_network(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    *,
    vocabulary_size: int,
    classes: int,
    encoder: str | None = None,
) -> Network:
    """The network with all these weights, on the CPU, to be asked and not to be trained.

    `encoder` describes that of BERT (`models.encoders.describe_encoder`). Raises `ValueError`, `RuntimeError`,
    `LookupError` or `TypeError` when the weights are another network's.
    """
    if isinstance(config, BERTConfig):
        bert = build_exported(encoder or "{}", weights)
        if bert.head.out_features != classes:
            raise ValueError(f"The weights are for {bert.head.out_features} classes, got {classes}.")
        return bert
    model: LinearClassifier | LSTMClassifier | CNNClassifier
    with torch.device("meta"):  # without memory, and without drawing weights that would be overwritten
        if isinstance(config, LinearConfig):
            features = len(weights["tfidf.ngrams"])
            model = LinearClassifier(config, vocabulary_size=vocabulary_size, classes=classes, features=features)
        else:
            model = word_network(config, vocabulary_size=vocabulary_size, classes=classes)
    if _shapes(model.state_dict()) != _shapes(weights):
        raise ValueError(
            f"The weights are another network's than one for {vocabulary_size} words and {classes} classes."
        )
    model.to_empty(device="cpu").load_state_dict(dict(weights))
    return model.eval().requires_grad_(False)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
