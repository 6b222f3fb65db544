"""An LSTM classifier (Hochreiter & Schmidhuber 1997) whose scores do not depend on padding.

It takes padded batches, since packed ones do not use oneDNN's fused kernel and are several times slower on a CPU
(`benchmarks/speed/training_speed.py`).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, is_autocast_enabled, nn
from torch.nn import functional

from models.learners.learner import Settings
from models.learners.word_learner import WordLearner
from models.networks.layers import BagOfWords, FastDropout, Head, WordDropout, word_embedding
from models.networks.network import Network
from models.networks.windows import Windows, cut
from models.training.config import TrainingConfig
from preprocessing.batches import BATCH_TOKENS, TextLimits
from preprocessing.word_vectors import WordVectors

# The standard deviation of pretrained vectors, about that of GloVe's own. On R8 (GloVe, learning rate 0.01, means of 3
# splits, 0.01 is noise) validation macro-F1 was 0.927 with 0.1, 0.940 with 0.3 and 0.950 with this.
VECTOR_SCALE = 0.65

Pooling = Literal["max", "mean", "last"]


@dataclass(frozen=True)
class LSTMConfig:
    embedding_size: int = 192
    hidden_size: int = 64  # per direction
    layers: int = 1
    bidirectional: bool = True
    pooling: Pooling = "max"  # over the real tokens of a text
    dropout: float = 0.5  # on the pooled features and between layers, probability of zeroing
    embedding_dropout: float = 0.5  # on the embedded words, probability of zeroing
    word_dropout: float = 0.2  # probability of replacing a word by <unk> in training
    tune_vectors: bool = True  # whether pretrained word vectors are fine-tuned; without them no effect
    window: int | None = None  # words that are read at a time; longer texts are read in windows, see `cut`
    bag_of_words: bool = False  # whether the embedded words themselves are classified, too; see `BagOfWords`

    def __post_init__(self) -> None:
        for name in ("embedding_size", "hidden_size", "layers", "window"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, got {getattr(self, name)}.")
        for name in ("dropout", "embedding_dropout", "word_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, got {getattr(self, name)}.")
        if self.pooling not in ("max", "mean", "last"):
            raise ValueError(f"`pooling` must be max, mean or last, got {self.pooling!r}.")


class LSTMClassifier(Network):
    """Embedding, LSTM, pooling over the real tokens, dropout, linear; beside it, the bag of words.

    The LSTM reads N windows of the texts, and a text's windows are pooled as one. Inside, time comes first, (T, N,
    features), the layout of the fused kernel.
    """

    def __init__(
        self, config: LSTMConfig, *, vocabulary_size: int, classes: int, vectors: WordVectors | None = None
    ) -> None:
        super().__init__()
        self.config = config
        directions = 2 if config.bidirectional else 1
        self.embedding = word_embedding(
            vocabulary_size, config.embedding_size, vectors=vectors, vector_scale=VECTOR_SCALE, tune=config.tune_vectors
        )
        self.word_dropout = WordDropout(config.word_dropout)
        self.embedding_dropout = FastDropout(config.embedding_dropout)
        input_sizes = [config.embedding_size] + [config.hidden_size * directions] * (config.layers - 1)
        self.lstms = nn.ModuleList(nn.LSTM(size, config.hidden_size) for size in input_sizes)
        self.reversed_lstms = nn.ModuleList(
            nn.LSTM(size, config.hidden_size) for size in input_sizes if config.bidirectional
        )
        self.dropout = FastDropout(config.dropout)
        self.head = Head(config.hidden_size * directions, classes)
        self.bag_of_words = BagOfWords(config.embedding_size, classes) if config.bag_of_words else None

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Token ids (B, T) and lengths (B,) to logits (B, classes)."""
        windows = cut(token_ids, lengths, self.config.window)
        time = torch.arange(len(windows.token_ids), device=token_ids.device)[:, None]
        mask = time < windows.lengths  # (T, N)
        backwards = torch.where(mask, windows.lengths - 1 - time, time)  # (T, N): where to read from the end

        words = features = self.embedding_dropout(self.embedding(self.word_dropout(windows.token_ids)))
        outputs: list[Tensor] = []
        for layer, lstm in enumerate(self.lstms):
            if layer:
                outputs[1:] = [_reorder(output, backwards) for output in outputs[1:]]
                features = self.dropout(torch.cat(outputs, dim=2))
            outputs = [_run(lstm, features)]
            if self.config.bidirectional:
                # Each window is reversed by itself, so that padding comes last in this direction, too.
                outputs.append(_run(self.reversed_lstms[layer], _reorder(features, backwards)))
        pooled = torch.cat([_pool(output, mask, windows.lengths, self.config.pooling) for output in outputs], dim=1)
        pooled = _pool_windows(pooled.float(), windows, lengths, self.config.pooling)
        logits: Tensor = self.head(self.dropout(pooled))
        if self.bag_of_words is None:
            return logits
        sums = windows.of_texts(words.sum(dim=0), fill=0).sum(dim=1)
        bag: Tensor = self.bag_of_words(sums, lengths)
        return logits + bag


class LSTMLearner(WordLearner):
    config_type = LSTMConfig
    network_type = LSTMClassifier
    defaults: ClassVar = {
        "": Settings(
            LSTMConfig(bag_of_words=True), TrainingConfig(batch_tokens=BATCH_TOKENS, schedule="linear"), TextLimits()
        )
    }


def _run(lstm: nn.Module, features: Tensor) -> Tensor:
    """Features (T, B, F) to hidden states (T, B, H).

    In half precision, oneDNN takes up to twice as long for an odd number of features or units as for the next even one.
    Then there is one more, with weights of zero: its state and its gradients are zero, too.
    """
    assert isinstance(lstm, nn.LSTM)
    units, more_features, more_units = lstm.hidden_size, lstm.input_size % 2, lstm.hidden_size % 2
    if features.device.type != "cpu" or not is_autocast_enabled("cpu") or not (more_features or more_units):
        outputs: Tensor = lstm(features)[0]
        return outputs
    of_gates = (weights.view(4, units, *weights.shape[1:]) for weights in lstm.parameters())
    of_inputs, of_states, *biases = (
        functional.pad(weights, [0, 0] * (weights.dim() - 2) + [0, more_units]).flatten(0, 1) for weights in of_gates
    )
    weights = [functional.pad(of_inputs, [0, more_features]), functional.pad(of_states, [0, more_units]), *biases]
    start = features.new_zeros(1, features.shape[1], units + more_units)
    features = functional.pad(features, [0, more_features])
    outputs, _, _ = torch.lstm(features, (start, start), weights, True, 1, 0.0, lstm.training, False, False)
    return outputs[:, :, :units]


def _reorder(features: Tensor, positions: Tensor) -> Tensor:
    """`features[positions[t, b], b]` for features (T, B, F) and positions (T, B)."""
    texts = torch.arange(features.shape[1], device=features.device)
    flat = (positions * features.shape[1] + texts).flatten()
    return features.flatten(0, 1).index_select(0, flat).view_as(features)


def _pool(outputs: Tensor, mask: Tensor, lengths: Tensor, pooling: Pooling) -> Tensor:
    """(T, B, H) to (B, H), over the positions where `mask` (T, B) holds."""
    if pooling == "max":
        additive_mask = torch.where(mask, 0.0, float("-inf"))  # several times faster than `masked_fill`
        masked = outputs + additive_mask[:, :, None].to(outputs.dtype)
        # Forward, `max` is slower than `amax`; with the backward pass, it is faster.
        return masked.max(dim=0).values if masked.requires_grad else masked.amax(dim=0)
    if pooling == "mean":
        return outputs.masked_fill(~mask[:, :, None], 0).sum(dim=0) / lengths[:, None]
    return outputs[lengths - 1, torch.arange(outputs.shape[1], device=outputs.device)]


def _pool_windows(pooled: Tensor, windows: Windows, lengths: Tensor, pooling: Pooling) -> Tensor:
    """(N, F) of windows to (B, F) of texts: the maximum, or the mean, in which each window counts by its words."""
    if windows.places is None:
        return pooled
    if pooling == "max":
        return windows.of_texts(pooled, fill=float("-inf")).max(dim=1).values
    return windows.of_texts(pooled * windows.lengths[:, None], fill=0).sum(dim=1) / lengths[:, None]
