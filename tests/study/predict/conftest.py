"""A model under reports/, and the command that uses it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.export import load_model, save_model
from models.learners.classifier import Member, TextClassifier
from models.lstm import LSTMClassifier, LSTMConfig
from preprocessing.vocabulary import build_vocabulary
from study.command_line import run_command
from study.predict import app

CLASSES = ("art", "law and\torder", "7")
WORDS = ["court", "judge", "canvas", "colour", "hospital", "surgeon"]


@pytest.fixture
def write_model() -> Callable[..., None]:
    """Save a model with large random weights, so that different texts get different labels."""

    def write(folder: Path, **about: object) -> None:
        torch.manual_seed(18)
        vocabulary = build_vocabulary(pa.array(WORDS, pa.large_string()), np.full(len(WORDS), 2))
        model = LSTMClassifier(LSTMConfig(8, 8), vocabulary_size=len(vocabulary), classes=len(CLASSES))
        torch.nn.init.normal_(model.embedding.weight)
        torch.nn.init.normal_(model.head.weight, std=3)
        save_model(folder, TextClassifier((Member(model, vocabulary, 200),), tuple(CLASSES), about))

    return write


@pytest.fixture
def classifier(toy: Any, write_model: Callable[..., None]) -> TextClassifier:
    """The newest model under reports/ of the folder that the commands run in."""
    write_model(toy.folder / "reports" / "study" / "model", text_column="text")
    return load_model(Path("reports/study/model"))


@pytest.fixture
def label() -> Callable[..., int]:
    """Call the command in this process; returns the exit code."""

    def run(*arguments: object) -> int:
        return run_command(app, [str(argument) for argument in arguments])

    return run
