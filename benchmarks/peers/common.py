"""What the peers share: R8 as this project splits it, an LSTM as tutorials write it, and a record of what was scored.

The tutorial: words embedded, packed sequences through a bidirectional LSTM, its last states through dropout into a
linear layer, Adam at a constant rate, batches of 32 texts in random order, the best epoch by validation macro-F1.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader

from data.source import Split, find_source
from models.training.scores import macro_f1
from preprocessing.batches import TextLimits
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.trials.repeats import FIRST_CONFIRMING

ROOT = Path(__file__).parents[2]
TRIALS, EPOCHS, BATCH_SIZE, EMBEDDING_SIZE = 50, 7, 32, 192
HIDDEN_SIZES, LEARNING_RATES = (16, 256), (1e-4, 3e-2)  # both on a logarithmic scale, as in study/search_space.py
LIMITS = TextLimits()
CONFIRMING = range(FIRST_CONFIRMING, FIRST_CONFIRMING + 3)  # repeats
RECORD = "PEER_RECORD"  # environment: the file with a line per epoch of any trial


def prepare(repeat: int | None = None) -> PreparedTexts:
    return prepare_for_search(Split(find_source("r8")[0], repeat=repeat), cache_dir=ROOT / ".cache")


class TutorialLSTM(nn.Module):
    def __init__(self, words: int, classes: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, EMBEDDING_SIZE, padding_idx=0)
        self.lstm = nn.LSTM(EMBEDDING_SIZE, hidden_size, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(2 * hidden_size, classes)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.embedding(token_ids), lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        logits: Tensor = self.linear(self.dropout(torch.cat([hidden[0], hidden[1]], dim=1)))
        return logits


def train(parameters: dict[str, Any], prepared: PreparedTexts, *, seed: int = 0) -> Iterator[float]:
    """Train a tutorial LSTM; yields the validation macro-F1 after each epoch."""
    torch.manual_seed(seed)
    words = LIMITS.kept_words(prepared.word_counts)
    model = TutorialLSTM(words, len(prepared.classes), parameters["hidden_size"])
    optimizer = torch.optim.Adam(model.parameters(), lr=parameters["learning_rate"])
    training, validation = (loader(texts, words) for texts in (prepared.training, prepared.validation))
    for _ in range(EPOCHS):
        model.train()
        for token_ids, lengths, labels in training:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(token_ids, lengths), labels).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            pairs = [(model(token_ids, lengths).argmax(1), labels) for token_ids, lengths, labels in validation]
        predictions, known = (torch.cat(side).numpy() for side in zip(*pairs, strict=True))
        score = macro_f1(known, predictions)
        record(score, parameters)
        yield score


def loader(texts: EncodedTexts, words: int) -> DataLoader[tuple[Tensor, int]]:
    ids = np.where(texts.token_ids < words, texts.token_ids, 1)
    examples = [
        (torch.from_numpy(ids[start : min(end, start + LIMITS.max_tokens)].astype(np.int64)), int(label))
        for start, end, label in zip(texts.offsets[:-1], texts.offsets[1:], texts.labels, strict=True)
    ]
    return DataLoader(examples, BATCH_SIZE, shuffle=True, collate_fn=collate)  # type: ignore[arg-type]


def collate(examples: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor, Tensor]:
    texts, labels = zip(*examples, strict=True)
    return pad_sequence(texts, batch_first=True), torch.tensor([len(text) for text in texts]), torch.tensor(labels)


def record(score: float, parameters: dict[str, Any]) -> None:
    """Note the validation score of an epoch, with the time."""
    with Path(os.environ[RECORD]).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), "score": score, "parameters": parameters}) + "\n")
