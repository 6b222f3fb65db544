"""Matrix products in bfloat16 or float16, where that was chosen and the device has it; everything else in float32."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from models.lstm import LSTMClassifier, LSTMConfig
from models.networks.layers import Head
from models.training import trainer
from models.training.config import TrainingConfig
from models.training.precision import Precision, autocast, bfloat16_speedup, compute_type, multiplies_bfloat16
from models.training.trainer import TrainingResult, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")
WORDS, CLASSES = 30, 3


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.precision.multiplies_bfloat16", lambda _device: True)


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


@pytest.mark.usefixtures("has_bfloat16")
def test_a_network_that_is_trained_in_bfloat16_learns_and_keeps_its_weights_in_float32() -> None:
    results: dict[Precision, TrainingResult] = {name: train_with(name) for name in ("auto", "float32", "bfloat16")}
    losses = {name: [epoch.training_loss for epoch in result.curve] for name, result in results.items()}
    assert losses["auto"] == losses["float32"] != losses["bfloat16"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.1)
    assert results["bfloat16"].best.accuracy == 1.0
    assert {tensor.dtype for tensor in results["bfloat16"].best_weights.values()} == {torch.float32}


@pytest.mark.usefixtures("has_bfloat16")
def test_only_training_is_in_bfloat16_not_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[tuple[bool, str, torch.dtype]] = Counter()

    def watch(kind: type[torch.nn.Module]) -> None:
        forward = kind.forward

        def watched(self: torch.nn.Module, *inputs: torch.Tensor) -> Any:
            outputs = forward(self, *inputs)
            first = outputs[0] if isinstance(outputs, tuple) else outputs
            seen[self.training, kind.__name__, first.dtype] += 1
            return outputs

        monkeypatch.setattr(kind, "forward", watched)

    watch(torch.nn.LSTM)
    watch(Head)
    train_with("bfloat16")
    assert seen.keys() == {
        (True, "LSTM", torch.bfloat16),
        (True, "Head", torch.float32),
        (False, "LSTM", torch.float32),
        (False, "Head", torch.float32),
    }


def test_a_device_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.training.precision.multiplies_bfloat16", lambda _device: False)
    assert compute_type("bfloat16", CPU) == torch.float32
    assert [epoch.training_loss for epoch in train_with("bfloat16").curve] == [
        epoch.training_loss for epoch in train_with("float32").curve
    ]


@pytest.mark.parametrize(("there", "auto"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_computes_in_the_half_precision_that_it_has(
    there: bool, auto: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: there)
    assert compute_type("auto", CUDA) == auto
    assert compute_type("float32", CUDA) == torch.float32
    assert compute_type("bfloat16", CUDA) == (torch.bfloat16 if there else torch.float32)


@pytest.mark.usefixtures("has_bfloat16")
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
    assert not multiplies_bfloat16(MPS)


def test_the_speed_of_bfloat16_is_measured_in_both_precisions_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: Counter[Precision] = Counter()

    @contextmanager
    def watched(precision: Precision, device: torch.device) -> Iterator[None]:
        asked[precision] += 1
        assert device == CPU
        yield

    monkeypatch.setattr("models.training.precision.autocast", watched)
    state = torch.get_rng_state()
    assert 0.1 < bfloat16_speedup() < 10  # twice the same
    assert asked["float32"] == asked["bfloat16"] > 1
    assert torch.equal(torch.get_rng_state(), state)


def test_the_state_of_a_scaler_that_scaled_nothing_is_not_loaded() -> None:
    """As when a trial of one GPU continues on an older one, which needs float16."""
    network = LSTMClassifier(LSTMConfig(4, 4), vocabulary_size=WORDS, classes=CLASSES)
    run = trainer._Run(network, TrainingConfig(), steps_per_epoch=3, device=CPU)
    state = run.state_dict()
    assert state["scaler"] == {}
    run.scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    run.load_state_dict(state)
    assert run.scaler.get_scale() == 8.0
