"""A study has one encoder: what lies in its folder later is compared with that by every command."""

import shutil
from pathlib import Path

import pytest

from preprocessing.pretrained import PretrainedEncoder
from study.command_line import run_command
from study.report import app as report_app
from study.run import app as run_app
from study.worker import app as worker_app

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("strategy", ["frozen", "full"])
@pytest.mark.usefixtures("toy")
def test_another_encoder_in_the_folder_is_refused_by_all(
    strategy: str, tiny_encoder: PretrainedEncoder, tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(tiny_encoder.folder, folder)
    options = ["--data", "toy.csv", "--model", "bert", "--strategy", strategy, "--bert-model", str(folder)]
    options += ["--epochs", "1", "--max-tokens", "20", "--max-training-texts", "40", "--workers", "1"]
    assert run_command(run_app, [*options, "--trials", "1"]) == 0
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    capsys.readouterr()
    for app, arguments in ((worker_app, ["--trials", "2"]), (report_app, ["--seeds", "1", "--workers", "1"])):
        assert run_command(app, arguments) == 2
        error = capsys.readouterr().err
        assert "is not the one that the study began with: its SHA-256 begins with" in error
        assert error.count("\n") == 1
    assert run_command(run_app, [*options, "--trials", "2"]) == 2
    assert "begun with another model pretrained" in capsys.readouterr().err
