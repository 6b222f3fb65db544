"""How words enter the networks: new embeddings, and pretrained ones that are tuned or frozen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.cnn import CNNClassifier, CNNConfig
from models.lstm import LSTMClassifier, LSTMConfig
from models.networks.layers import EMBEDDING_SCALE, word_embedding
from models.training.config import TrainingConfig
from models.training.trainer import train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts
from preprocessing.vocabulary import PAD_ID, SPECIAL_WORDS, UNKNOWN_ID, Vocabulary
from preprocessing.word_vectors import WordVectors, find_vectors, prepare_vectors

WORDS, SIZE = 40, 6
UNKNOWN_TO_THE_FILE = 20  # words with ids from here on have no vector in the file
NETWORKS: dict[str, Callable[..., Any]] = {
    "lstm": lambda vectors, **changes: LSTMClassifier(
        LSTMConfig(SIZE, hidden_size=8, **changes), vocabulary_size=WORDS, classes=2, vectors=vectors
    ),
    "cnn": lambda vectors, **changes: CNNClassifier(
        CNNConfig(SIZE, filters=8, **changes), vocabulary_size=WORDS, classes=2, vectors=vectors
    ),
}
every_network = pytest.mark.parametrize("make_network", NETWORKS.values(), ids=NETWORKS.keys())


@pytest.fixture
def vectors(tmp_path: Path) -> WordVectors:
    """Vectors for half of a vocabulary larger than the networks'; their mean square is far from the embeddings'."""
    words = [f"word{number}" for number in range(WORDS + 10 - len(SPECIAL_WORDS))]
    numbers = np.random.default_rng(0).normal(0, 3, (UNKNOWN_TO_THE_FILE - len(SPECIAL_WORDS), SIZE))
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, numbers, strict=False)))
    vocabulary = Vocabulary(pa.array([*SPECIAL_WORDS, *words], pa.large_string()), np.ones(WORDS + 10, np.int64))
    return prepare_vectors(find_vectors(str(path)), vocabulary, cache_dir=tmp_path)


def texts() -> EncodedTexts:
    generator = np.random.default_rng(0)
    token_ids = generator.integers(UNKNOWN_ID, WORDS, 400).astype(np.int32)
    return EncodedTexts(token_ids, np.arange(0, 401, 10), (np.arange(40) % 2).astype(np.int32))


def trained(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    training = TrainingBatches(texts(), 8, 20, WORDS, seed=0)
    train(
        network, training, EvaluationBatches(texts(), 20, WORDS), TrainingConfig(epochs=2), device=torch.device("cpu")
    )
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def test_pretrained_embeddings_are_their_vectors_at_the_requested_scale(vectors: WordVectors) -> None:
    weights = word_embedding(WORDS, SIZE, vectors=vectors, vector_scale=0.5).weight.detach().numpy()
    pretrained = weights[vectors.known[:WORDS]]
    ratio = pretrained / vectors.vectors[vectors.known]
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-5)
    assert np.sqrt((pretrained**2).mean()) == pytest.approx(0.5, rel=1e-5)


def test_words_without_a_vector_are_drawn_at_the_same_scale(vectors: WordVectors) -> None:
    drawn = []
    for given in (vectors, None):
        torch.manual_seed(0)
        drawn.append(word_embedding(WORDS, SIZE, vectors=given, vector_scale=5 * EMBEDDING_SCALE).weight.detach())
    without = ~vectors.known[:WORDS]
    assert without.sum() == WORDS - UNKNOWN_TO_THE_FILE + len(SPECIAL_WORDS)
    torch.testing.assert_close(drawn[0][without], 5 * drawn[1][without])
    assert drawn[0][UNKNOWN_ID].abs().sum() > 0


def test_a_vocabulary_without_any_pretrained_word_still_gets_finite_weights(vectors: WordVectors) -> None:
    assert torch.isfinite(word_embedding(len(SPECIAL_WORDS), SIZE, vectors=vectors).weight).all()


def test_vectors_of_another_size_are_refused(vectors: WordVectors) -> None:
    with pytest.raises(ValueError, match="`embedding_size` must be that of the vectors, 6, got 192"):
        LSTMClassifier(LSTMConfig(), vocabulary_size=WORDS, classes=2, vectors=vectors)


@every_network
def test_frozen_vectors_stay_while_all_else_is_trained(make_network: Callable[..., Any], vectors: WordVectors) -> None:
    network = make_network(vectors, tune_vectors=False)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    after = trained(network)
    assert [name for name in after if torch.equal(before[name], after[name])] == ["embedding.weight"]
    assert network.embedding.weight.grad is None


@every_network
def test_tuned_vectors_are_trained_and_padding_stays_zero(
    make_network: Callable[..., Any], vectors: WordVectors
) -> None:
    network = make_network(vectors)
    before = network.embedding.weight.detach().clone()
    after = trained(network)["embedding.weight"]
    assert (before[1:] != after[1:]).any(dim=1).all()
    assert not after[PAD_ID].any()


@every_network
def test_a_setting_for_vectors_changes_nothing_without_them(make_network: Callable[..., Any]) -> None:
    assert make_network(None, tune_vectors=False).embedding.weight.requires_grad
