"""A convolutional classifier (Kim 2014, https://arxiv.org/abs/1408.5882) whose scores do not depend on padding.

The usual implementation also pools over padding, so that a text's score depends on the other texts of its batch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.learners.learner import Settings
from models.learners.word_learner import WordLearner
from models.networks.layers import BagOfWords, FastDropout, Head, WordDropout, length_mask, word_embedding
from models.networks.network import Network
from models.training.config import TrainingConfig
from preprocessing.batches import BATCH_TOKENS, TextLimits
from preprocessing.vocabulary import PAD_ID
from preprocessing.word_vectors import WordVectors

# Texts are padded to a multiple of this, so that there are few shapes: oneDNN prepares and caches each of them. On R8
# (64 filters, one thread), an epoch without it took 1.35 times as long, and memory grew to 850 MB instead of 620.
LENGTH_STEP = 16

# The standard deviation of pretrained vectors. On R8 (GloVe, means of 3 splits) validation macro-F1 was 0.946 with 0.1,
# 0.945 with this and 0.926 with GloVe's own 0.65; an LSTM wants them larger.
VECTOR_SCALE = 0.3


@dataclass(frozen=True)
class CNNConfig:
    embedding_size: int = 128
    filters: int = 128  # per width
    widths: tuple[int, ...] = (3, 4, 5)  # of the filters, in words
    dropout: float = 0.5  # on the pooled features, probability of zeroing
    embedding_dropout: float = 0.2  # on the embedded words, probability of zeroing
    word_dropout: float = 0.2  # probability of replacing a word by <unk> in training
    tune_vectors: bool = True  # whether pretrained word vectors are fine-tuned; without them no effect
    bag_of_words: bool = False  # whether the embedded words themselves are classified, too; see `BagOfWords`

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))  # a list in JSON
        for name in ("embedding_size", "filters"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, got {getattr(self, name)}.")
        for name in ("dropout", "embedding_dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, got {getattr(self, name)}.")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"`widths` must be one or more whole numbers from 1 on, got {self.widths}.")


class CNNClassifier(Network):
    """Embedding, parallel convolutions, maximum over time, ReLU, dropout, linear; beside it, the bag of words.

    A filter is applied at each word of the text, to it and the words after it, with zeros after the end. So texts
    shorter than a filter need no special case.
    """

    def __init__(
        self, config: CNNConfig, *, vocabulary_size: int, classes: int, vectors: WordVectors | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.embedding = word_embedding(
            vocabulary_size, config.embedding_size, vectors=vectors, vector_scale=VECTOR_SCALE, tune=config.tune_vectors
        )
        self.word_dropout = WordDropout(config.word_dropout)
        self.embedding_dropout = FastDropout(config.embedding_dropout)
        # `Conv2d` over images one pixel high, channels last: an epoch on R8 takes 0.9 times as long as with `Conv1d`.
        # Matrix products, shifted or over unfolded windows, take twice as long
        # (`benchmarks/speed/convolution_speed.py`).
        self.convolutions = nn.ModuleList(
            nn.Conv2d(config.embedding_size, config.filters, (1, width)) for width in config.widths
        )
        self.dropout = nn.Dropout(config.dropout)
        self.head = Head(config.filters * len(config.widths), classes)
        self.bag_of_words = BagOfWords(config.embedding_size, classes) if config.bag_of_words else None

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Token ids (B, T) and lengths (B,) to logits (B, classes)."""
        time = token_ids.shape[1]
        mask = length_mask(token_ids, lengths)
        additive_mask = torch.where(mask, 0.0, float("-inf"))[:, None]  # several times faster than `masked_fill`

        missing = max(self.config.widths) - 1
        missing += -(time + missing) % LENGTH_STEP
        padded = functional.pad(token_ids, (0, missing), value=PAD_ID)
        features = self.embedding_dropout(self.embedding(self.word_dropout(padded)))
        images = features.transpose(1, 2)[:, :, None]  # (B, embedding, 1, T + missing)
        pooled = []
        for convolution in self.convolutions:
            responses = convolution(images)[:, :, 0, :time]  # (B, filters, T)
            pooled.append((responses + additive_mask.to(responses.dtype)).amax(dim=2))
        logits: Tensor = self.head(self.dropout(functional.relu(torch.cat(pooled, dim=1))))
        return logits if self.bag_of_words is None else logits + self.bag_of_words(features.sum(dim=1), lengths)


class CNNLearner(WordLearner):
    config_type = CNNConfig
    network_type = CNNClassifier
    defaults: ClassVar = {
        "": Settings(CNNConfig(bag_of_words=True), TrainingConfig(6, 5e-3, batch_tokens=BATCH_TOKENS), TextLimits())
    }
