"""The precision of a new study is measured once, and then the study's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from data.source import Split, find_source
from models.learner import Learner
from models.precision import Precision
from models.registry import make_learner
from preprocessing.prepared import prepare_for_search
from study.model_settings import DEFAULTS
from study.storage.attributes import CONFIGURATION
from study.trials import precision as measuring
from study.trials.precision import measured_precision


@pytest.fixture
def learner(toy_csv: Path) -> Callable[[str], Learner]:
    def make(variant: str) -> Learner:
        cache_dir = toy_csv.parent / "cache"
        prepared = prepare_for_search(Split(find_source(str(toy_csv))[0]), cache_dir=cache_dir)
        return make_learner(DEFAULTS[variant], prepared, cache_dir, torch.device("cpu"))

    return make


@pytest.fixture
def has_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "multiplies_bfloat16", lambda _device: True)


@pytest.mark.usefixtures("has_bfloat16")
@pytest.mark.parametrize("variant", ["lstm", "cnn"])
def test_a_network_is_timed_in_both_precisions(variant: str, learner: Callable[[str], Learner]) -> None:
    precision, ratio = measured_precision(learner(variant))
    assert precision == ("bfloat16" if ratio >= measuring.FASTER else "float32")
    assert 0.01 < ratio < 100
    assert ratio != 1.0


@pytest.mark.usefixtures("has_bfloat16")
@pytest.mark.parametrize(("seconds", "expected"), [((3.0, 2.0), "bfloat16"), ((2.2, 2.0), "float32")])
def test_bfloat16_is_taken_where_it_is_clearly_faster(
    seconds: tuple[float, float],
    expected: Precision,
    learner: Callable[[str], Learner],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = dict(zip(("float32", "bfloat16"), seconds, strict=True))
    monkeypatch.setattr(measuring, "_seconds", lambda _learner, precision: times[precision])
    assert measured_precision(learner("lstm")) == (expected, seconds[0] / seconds[1])


@pytest.mark.usefixtures("has_bfloat16")
@pytest.mark.parametrize("variant", ["linear", "bert-frozen"])
def test_a_model_without_matrix_products_worth_it_is_not_timed(variant: str, learner: Callable[[str], Learner]) -> None:
    assert measured_precision(learner(variant)) == ("auto", 1.0)


def test_nothing_is_timed_on_a_device_without_bfloat16(
    learner: Callable[[str], Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "multiplies_bfloat16", lambda _device: False)
    assert measured_precision(learner("lstm")) == ("auto", 1.0)


def test_a_study_keeps_its_precision_and_warns_of_another(
    toy: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.workers.search.measured_precision", lambda _learner: ("bfloat16", 1.52))
    assert toy.run("--trials", 1, "--precision", "auto") == 0
    assert "Precision: bfloat16; bfloat16 is 1.5 times as fast as float32 here." in capsys.readouterr().out
    assert toy.load().user_attrs[CONFIGURATION]["base"]["training"]["precision"] == "bfloat16"
    monkeypatch.delattr("study.workers.search.measured_precision")  # it must not be measured again
    assert toy.run("--trials", 2, "--precision", "auto") == 0
    assert "precision was" not in capsys.readouterr().out
    assert toy.run("--trials", 3, "--precision", "float32") == 0
    assert "precision was bfloat16 when the study began and is float32 now" in capsys.readouterr().out
