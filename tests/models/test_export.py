"""An exported model is self-contained: it describes itself, and predicts bit for bit what the trained one does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.source import Split, find_source
from data.texts import load_search_texts
from models.export import load_model, save_model
from models.learners.classifier import Member, TextClassifier
from models.lstm import LSTMClassifier, LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import predict as predict_in_training
from models.training.trainer import train
from preprocessing.batches import EvaluationBatches, TextLimits, TrainingBatches
from preprocessing.prepared import PreparedTexts, prepare_for_search
from preprocessing.vocabulary import Vocabulary

LIMITS = TextLimits(max_tokens=9)  # shorter than the toy texts, whose numbers occur once each and are unknown
CPU = torch.device("cpu")

# A process without the study and its texts, and with more than one thread, unlike the training run.
PREDICT = """
import sys, json
from pathlib import Path
import numpy as np
from models.export import load_model
assert "pandas" not in sys.modules  # pyarrow brings it with the first array that it makes of a list
classifier = load_model(Path("moved"))
texts = json.loads(Path("texts.json").read_text())
predictions = classifier.predictions(texts)
np.savez("predictions.npz", labels=predictions.labels.astype(str), probabilities=predictions.probabilities)
needless = {"optuna", "sqlalchemy", "data.source", "study", "sklearn", "scipy"}
assert not needless & set(sys.modules), needless & set(sys.modules)
"""


def trained(csv: Path, **config: Any) -> tuple[LSTMClassifier, PreparedTexts]:
    prepared = prepare_for_search(Split(find_source(str(csv))[0]), cache_dir=csv.parent / "cache")
    words = LIMITS.kept_words(prepared.word_counts)
    assert words < len(prepared.word_counts)
    torch.manual_seed(0)
    model = LSTMClassifier(LSTMConfig(hidden_size=12, **config), vocabulary_size=words, classes=len(prepared.classes))
    training = TrainingBatches(prepared.training, 16, LIMITS.max_tokens, words, 0)
    validation = EvaluationBatches(prepared.validation, LIMITS.max_tokens, words)
    train(model, training, validation, TrainingConfig(epochs=8, learning_rate=2e-2), device=CPU)
    return model, prepared


def export(csv: Path, folder: Path, **config: Any) -> tuple[LSTMClassifier, PreparedTexts]:
    model, prepared = trained(csv, **config)
    about = {"text_column": "description_pre", "scores": [0.5, None]}
    vocabulary = prepared.vocabulary.first(model.embedding.num_embeddings)
    save_model(folder, TextClassifier((Member(model, vocabulary, LIMITS.max_tokens),), prepared.classes, about))
    return model, prepared


@pytest.mark.parametrize(
    "config",
    [
        {},
        pytest.param({"layers": 2, "pooling": "mean"}, marks=pytest.mark.slow),
        pytest.param({"bidirectional": False, "pooling": "last"}, marks=pytest.mark.slow),
    ],
)
def test_a_new_process_predicts_the_same_bits_without_the_study(config: dict[str, Any], toy_csv: Path) -> None:
    folder = toy_csv.parent
    model, prepared = export(toy_csv, folder / "model", **config)
    (folder / "model").rename(folder / "moved")
    texts = load_search_texts(Split(find_source(str(toy_csv))[0]), cache_dir=folder / "cache").training.texts
    (folder / "texts.json").write_text(json.dumps(texts.to_pylist()))
    subprocess.run([sys.executable, "-c", PREDICT], cwd=folder, check=True)

    batches = EvaluationBatches(prepared.training, LIMITS.max_tokens, model.embedding.num_embeddings)
    classes, _ = predict_in_training(model, batches, device=CPU)
    probabilities = np.empty((len(texts), len(prepared.classes)), np.float32)
    with torch.inference_mode():
        for batch in batches:
            probabilities[batch.rows] = model(batch.token_ids, batch.lengths).softmax(dim=1).numpy()
    with np.load(folder / "predictions.npz") as found:
        assert found["labels"].tolist() == [prepared.classes[number] for number in classes]
        assert found["probabilities"].tobytes() == probabilities.tobytes()
    assert len(texts) > 128  # more than one batch
    assert (classes == prepared.training.labels).mean() > 0.6  # it has learned something


def test_a_loaded_model_describes_itself(toy_csv: Path) -> None:
    model, prepared = export(toy_csv, toy_csv.parent / "new" / "model")
    classifier = load_model(toy_csv.parent / "new" / "model")
    assert classifier.classes == ("lawyer", "painter", "surgeon")
    assert classifier.members[0].max_tokens == LIMITS.max_tokens
    assert classifier.about == {"text_column": "description_pre", "scores": [0.5, None]}
    assert classifier.members[0].model.config == model.config
    assert isinstance(classifier.members[0].tokens, Vocabulary)
    words = classifier.members[0].tokens.words.to_pylist()
    assert words == prepared.vocabulary.words.to_pylist()[: len(words)]
    assert "number" in words  # in every text; "17" occurs in one
    assert "17" not in words
