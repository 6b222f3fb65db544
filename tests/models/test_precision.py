"""Matrix products in bfloat16 or float16, where that was chosen or a GPU is there; everything else in float32."""

import numpy as np
import pytest
import torch

from models.lstm import LSTMClassifier, LSTMConfig
from models.precision import Precision, autocast, compute_type, multiplies_bfloat16
from models.training import TrainingConfig, TrainingResult, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
WORDS, CLASSES = 30, 3


def train_with(precision: Precision) -> TrainingResult:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), 40)
    token_ids = generator.integers(10, WORDS, (len(labels), 8))
    token_ids[:, 3] = 2 + labels  # the word that tells the class
    texts = EncodedTexts(token_ids.ravel().astype(np.int32), np.arange(len(labels) + 1) * 8, labels.astype(np.int32))
    torch.manual_seed(0)
    network = LSTMClassifier(LSTMConfig(16, 16), vocabulary_size=WORDS, classes=CLASSES)
    config = TrainingConfig(epochs=5, learning_rate=3e-2, batch_size=16, precision=precision)
    batches = TrainingBatches(texts, 16, 20, WORDS, 0), EvaluationBatches(texts, 20, WORDS)
    return train(network, *batches, config, device=CPU)


def test_a_network_that_is_trained_in_bfloat16_learns_and_keeps_its_weights_in_float32() -> None:
    results: dict[Precision, TrainingResult] = {name: train_with(name) for name in ("auto", "float32", "bfloat16")}
    losses = {name: [epoch.training_loss for epoch in result.curve] for name, result in results.items()}
    assert losses["auto"] == losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)
    assert results["bfloat16"].best.accuracy == 1.0
    assert {tensor.dtype for tensor in results["bfloat16"].best_weights.values()} == {torch.float32}


@pytest.mark.parametrize(("has_bfloat16", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_the_half_precision_that_it_has(
    has_bfloat16: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_bfloat16)
    assert compute_type("auto", CUDA) == expected
    assert compute_type("float32", CUDA) == torch.float32
    assert compute_type("bfloat16", CUDA) == torch.bfloat16


@pytest.mark.parametrize(
    ("precision", "expected"), [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_matrix_products_are_computed_in_it_and_the_loss_in_float32(
    precision: Precision, expected: torch.dtype
) -> None:
    features, labels = torch.randn(4, 5), torch.zeros(4, dtype=torch.int64)
    with autocast(precision, CPU):
        logits = features @ torch.randn(5, 3)
        loss = torch.nn.functional.cross_entropy(logits, labels)
    assert logits.dtype == expected
    assert loss.dtype == torch.float32


def test_only_devices_that_multiply_bfloat16_do_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for has_avx, has_amx in [(False, False), (True, False), (False, True)]:
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has_avx=has_avx: has_avx)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda has_amx=has_amx: has_amx)
        assert multiplies_bfloat16(CPU) is (has_avx or has_amx)
    assert not multiplies_bfloat16(torch.device("mps"))
