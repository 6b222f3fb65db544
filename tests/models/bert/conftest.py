"""A classifier over an encoder, before any training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.bert import BERTClassifier, BERTConfig, Strategy
from models.networks.encoders import load_encoder
from preprocessing.pretrained import PretrainedEncoder


@pytest.fixture
def classifier() -> Callable[..., BERTClassifier]:
    """Make a classifier of three classes with this strategy."""

    def build(encoder: PretrainedEncoder, strategy: Strategy, **config: Any) -> BERTClassifier:
        torch.manual_seed(0)
        return BERTClassifier(BERTConfig(strategy, **config), load_encoder(encoder.folder), classes=3)

    return build
