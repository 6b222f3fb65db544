"""The networks by name: what each is configured by, and how one is made whose weights are yet to come.

All are called alike: token ids (B, T) and lengths (B,) to logits (B, classes).
"""

from typing import TypeAlias

from models.cnn import CNNClassifier, CNNConfig
from models.lstm import LSTMClassifier, LSTMConfig

ModelConfig: TypeAlias = LSTMConfig | CNNConfig
WordNetwork: TypeAlias = LSTMClassifier | CNNClassifier
CONFIGURATIONS: dict[str, type[ModelConfig]] = {"lstm": LSTMConfig, "cnn": CNNConfig}


def word_network(config: LSTMConfig | CNNConfig, *, words: int, classes: int) -> WordNetwork:
    if isinstance(config, CNNConfig):
        return CNNClassifier(config, words=words, classes=classes)
    return LSTMClassifier(config, words=words, classes=classes)
