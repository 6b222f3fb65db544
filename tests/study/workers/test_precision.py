"""A new study chooses its precision, keeps it, and can be continued and reported on anywhere."""

from typing import Any

import pytest
import torch

from models.training.precision import Precision
from study.adaptation import RULES
from study.model_settings import DEFAULTS
from study.reports.reproduction import reproduction
from study.storage.attributes import CONFIGURATION
from study.storage.studies import load_configuration
from study.workers import devices
from study.workers.devices import choose_precision

CPU, CUDA, MPS, CLUSTER = torch.device("cpu"), torch.device("cuda"), torch.device("mps"), None
Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    ("has_it", "speedup", "expected"), [(True, 1.5, "bfloat16"), (True, 1.1, "float32"), (False, 1.5, "float32")]
)
@pytest.mark.parametrize("variant", ["lstm", "cnn", "bert-full", "bert-gradual", "bert-lora"])
def test_a_cpu_trains_in_bfloat16_where_that_is_clearly_faster(
    variant: str, has_it: bool, speedup: float, expected: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda _device: has_it)
    monkeypatch.setattr(devices, "bfloat16_speedup", lambda: speedup)
    assert choose_precision(DEFAULTS[variant], CPU) == expected


@pytest.mark.parametrize("device", [CUDA, MPS, CLUSTER])
@pytest.mark.parametrize(
    ("variant", "expected"),
    [("lstm", "float32"), ("cnn", "float32"), ("bert-full", "auto"), ("bert-frozen", "float32"), ("linear", "auto")],
)
def test_elsewhere_nothing_is_measured(
    variant: str, expected: Precision, device: torch.device | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(devices, "bfloat16_speedup")
    assert choose_precision(DEFAULTS[variant], device) == expected


def test_a_study_keeps_its_precision_and_warns_of_another(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def precision() -> str:
        return str(toy.load().user_attrs[CONFIGURATION]["base"]["training"]["precision"])

    monkeypatch.setattr("models.training.precision.multiplies_bfloat16", lambda _device: True)
    monkeypatch.setattr("study.workers.search.choose_precision", lambda *_: "bfloat16")
    assert toy.run("--trials", 1, "--precision", "auto") == 0
    assert "Precision: training in bfloat16, evaluation in float32." in capsys.readouterr().out
    assert precision() == "bfloat16"
    monkeypatch.setattr("study.workers.search.choose_precision", lambda *_: "float32")  # as on another machine
    assert toy.run("--trials", 2, "--precision", "auto") == 0
    assert "precision was" not in capsys.readouterr().out
    assert precision() == "bfloat16"
    assert toy.run("--trials", 3, "--precision", "float32") == 0
    assert "precision was bfloat16 when the study began and is float32 now" in capsys.readouterr().out
    assert precision() == "float32"
    told = reproduction(toy.load(), load_configuration(toy.load()), rules=RULES).about
    assert "gives a different study, with other settings (precision was bfloat16 and is float32 now)" in told
    assert toy.run("--trials", 4, "--precision", "auto") == 0
    assert precision() == "float32"  # the last one


def test_a_machine_without_bfloat16_continues_a_study_in_float32_and_says_so(
    toy: Any, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.training.precision.multiplies_bfloat16", lambda _device: False)
    assert toy.run("--trials", 1, "--precision", "bfloat16") == 0
    assert "Note: this machine does not multiply bfloat16 in hardware; it trains in float32" in capsys.readouterr().out
    assert toy.run("--trials", 1, "--precision", "float32", "--name", "single") == 0
    assert toy.table() == toy.table(name="single")


def test_the_same_command_gives_the_same_table_with_the_precision_left_to_it(toy: Any) -> None:
    for name in ("first", "second"):
        assert toy.run("--trials", 2, "--precision", "auto", "--name", name) == 0
    assert toy.table(name="first") == toy.table(name="second")


def test_a_study_whose_creation_was_interrupted_is_continued(toy: Any) -> None:
    assert toy.run("--trials", 1, "--precision", "auto") == 0
    toy.load().set_user_attr(CONFIGURATION, None)  # it is written last
    assert toy.run("--trials", 2, "--precision", "auto") == 0
