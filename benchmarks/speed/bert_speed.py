"""Texts per second of MiniLM on R8: its features, a head trained on them, and each strategy of fine-tuning.

python benchmarks/speed/bert_speed.py
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from data.source import Split, find_source
from models.bert import BERTClassifier, BERTConfig, FeatureHead, Strategy
from models.networks.encoders import load_encoder
from models.training.config import TrainingConfig
from models.training.frozen_features import FeatureEvaluationBatches, FeatureTrainingBatches, cached_features
from models.training.trainer import train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import prepare_for_search
from preprocessing.pretrained import MINILM, find_encoder
from preprocessing.word_pieces import read_word_pieces

CACHE, CPU, MAX_TOKENS = Path(".cache"), torch.device("cpu"), 128
FINE_TUNED: tuple[Strategy, ...] = ("full", "gradual", "lora")
TEXTS, COPIES = 320, 16  # what is measured is a sixteenth of R8's training texts


def main() -> None:
    encoder = find_encoder(MINILM, cache_dir=CACHE)
    pieces = read_word_pieces(encoder, max_tokens=MAX_TOKENS)
    prepared = prepare_for_search(Split(find_source("r8")[0]), cache_dir=CACHE, pieces=pieces)
    texts, classes = first(prepared.training, TEXTS), len(prepared.classes)
    model = BERTClassifier(BERTConfig(), load_encoder(encoder.folder), classes=classes).eval()

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        (features,) = cached_features(
            [texts], lambda: model.pooled, encoder=encoder.identity, cache_dir=Path(folder), device=CPU
        )
        print(f"features, all cores: {len(features.bank) / (time.perf_counter() - start):.0f} texts/s")

    features = type(features)(features.bank, np.tile(features.rows, COPIES), np.tile(features.labels, COPIES))
    config = TrainingConfig(epochs=20, patience=20, learning_rate=1e-2)
    head = FeatureHead(BERTConfig(), features=features.bank.shape[1], classes=classes)
    training = FeatureTrainingBatches(features, config.batch_size, seed=0)
    result = train(head, training, FeatureEvaluationBatches(features), config, device=CPU)
    print(f"frozen: 20 epochs of {len(features):,} texts in {sum(epoch.seconds for epoch in result.curve):.1f} s")

    nothing = EvaluationBatches(first(prepared.training, 1), MAX_TOKENS, len(pieces))
    for strategy in FINE_TUNED:
        model = BERTClassifier(BERTConfig(strategy), load_encoder(encoder.folder), classes=classes)
        config = TrainingConfig(epochs=1, batch_size=16, learning_rate=1e-4, schedule="linear")
        batches = TrainingBatches(texts, config.batch_size, MAX_TOKENS, len(pieces), seed=0)
        seconds = train(model, batches, nothing, config, device=CPU).best.seconds
        print(f"{strategy}, first epoch, one thread: {TEXTS / seconds:.0f} texts/s")


def first(texts: EncodedTexts, count: int) -> EncodedTexts:
    offsets = texts.offsets[: count + 1]
    return EncodedTexts(texts.token_ids[: offsets[-1]], offsets, texts.labels[:count])


if __name__ == "__main__":
    main()
