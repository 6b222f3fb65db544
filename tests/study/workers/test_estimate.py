"""The estimate of a search's time, from the time of two short trainings."""

from pathlib import Path
from typing import Any

import pytest
import torch

from data.source import Split, find_source
from models.learners.learner import Settings
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.model_settings import DEFAULTS
from study.workers import estimate


@pytest.fixture
def prepared(toy_csv: Path, tmp_path: Path) -> PreparedTexts:
    return prepare_for_search(Split(find_source(str(toy_csv))[0]), cache_dir=tmp_path)


@pytest.mark.parametrize("workers", [1, 4])
def test_what_a_training_takes_at_its_start_does_not_count(
    workers: int, prepared: PreparedTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def seconds(settings: Settings, texts_of: PreparedTexts, batch: int, texts: int, *_: Any) -> float:
        del settings, texts_of
        asked.append(texts)
        assert texts % batch == 0 or texts == 144
        return 5 + texts / 1_000

    monkeypatch.setattr(estimate, "_seconds_of_epoch", seconds)
    monkeypatch.setattr(estimate, "FEW_BATCHES", 1)
    cpu = torch.device("cpu")
    found = estimate.estimate_search(DEFAULTS["lstm"], prepared, cache_dir=tmp_path, device=cpu, workers=workers)
    assert asked[0] < asked[1] == 144
    read = 70 * 144  # texts: the most epochs of a small corpus
    assert found == pytest.approx(estimate.TRAININGS_OF_50_TRIALS * 1.1 * read / 1_000 / workers)


def test_a_short_training_is_measured(prepared: PreparedTexts, tmp_path: Path) -> None:
    cpu = torch.device("cpu")
    found = estimate.estimate_search(DEFAULTS["lstm"], prepared, cache_dir=tmp_path, device=cpu, workers=1)
    assert 0 < found < 3_600
