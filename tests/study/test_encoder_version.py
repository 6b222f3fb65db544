"""A study has one encoder: every command compares it with what is in its folder later."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from data.source import find_source
from preprocessing.pretrained import PretrainedEncoder
from study.command_line import run_command
from study.configuration import StudyConfig
from study.confirmation.confirm import confirmed_search
from study.model_settings import choose_settings
from study.report import app as report_app
from study.run import app as run_app
from study.trials.texts import prepare_texts
from study.worker import app as worker_app

WITHOUT_PEFT = """
import sys, importlib.metadata
from importlib.machinery import PathFinder
find_spec, version = PathFinder.find_spec, importlib.metadata.version
def find_all_but_peft(name, path=None, target=None):
    return None if name.split(".")[0] == "peft" else find_spec(name, path, target)
def version_of_all_but_peft(name):
    if name == "peft":
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
PathFinder.find_spec, importlib.metadata.version = find_all_but_peft, version_of_all_but_peft
from study.command_line import run_command
from study.run import app
sys.exit(run_command(app))
"""

Capture = pytest.CaptureFixture[str]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        ("full", "Finished: 1 (1 complete"),
        ("lora", "Error: BERT needs peft: pip install -c constraints.txt"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_only_lora_needs_peft(strategy: str, told: str, tiny_encoder: PretrainedEncoder) -> None:
    options = ["--data", "toy.csv", "--model", "bert", "--bert-model", str(tiny_encoder.folder), "--trials", "1"]
    options += ["--strategy", strategy, "--epochs", "1", "--max-tokens", "20", "--max-training-texts", "40"]
    command = [sys.executable, "-c", WITHOUT_PEFT, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)})
    assert told in done.stdout + done.stderr


def test_features_are_computed_on_the_device_that_is_asked_for(
    tiny_encoder: PretrainedEncoder, toy_csv: Path, tmp_path: Path
) -> None:
    base = choose_settings("bert", {"bert_model": str(tiny_encoder.folder), "max_tokens": 20})
    configuration = StudyConfig(find_source(str(toy_csv))[0], str(tmp_path / "cache"), base)
    with pytest.raises(RuntimeError, match="meta tensor"):  # tensors on this device have no data
        prepare_texts(configuration, Console(quiet=True), device=torch.device("meta"))
    prepare_texts(configuration, Console(quiet=True), device=torch.device("cpu"))


@pytest.mark.usefixtures("toy")
def test_the_features_of_a_confirmation_are_computed_before_its_workers_start(
    tiny_encoder: PretrainedEncoder, capsys: Capture
) -> None:
    options = ["--data", "toy.csv", "--model", "bert", "--bert-model", str(tiny_encoder.folder), "--epochs", "1"]
    options += ["--max-tokens", "20", "--max-training-texts", "40", "--workers", "1", "--trials", "1"]
    assert run_command(run_app, options) == 0
    capsys.readouterr()
    with confirmed_search("sqlite:///study.db", None, top=1, seeds=2, workers=1, console=Console()):
        before, _, after = capsys.readouterr().out.partition("Workers: 1")
    assert before.count("Computing the features of") == 2
    assert after
    assert "Computing" not in after


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-tokens", "2"], "needs at least 3 tokens of a text"),
        (["--max-tokens", "65"], "reads up to 64 tokens of a text, got 65. Lower --max-tokens."),
        (["--bert-model", "~nosuchuser/x"], "The encoder '~nosuchuser/x' was not found"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_a_mistake_is_a_one_line_error(
    options: list[str], message: str, tiny_encoder: PretrainedEncoder, capsys: Capture
) -> None:
    common = ["--data", "toy.csv", "--model", "bert", "--bert-model", str(tiny_encoder.folder)]
    assert run_command(run_app, [*common, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("strategy", ["frozen", "full"])
@pytest.mark.usefixtures("toy")
def test_every_command_refuses_a_different_encoder_in_the_folder(
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
    copy = ["--bert-model", str(tiny_encoder.folder)]
    for app, arguments in ((worker_app, ["--trials", "2"]), (report_app, ["--seeds", "1", "--workers", "1"])):
        assert run_command(app, arguments) == 2
        error = capsys.readouterr().err
        assert "is not the one that the study began with: its SHA-256 begins with" in error
        assert error.count("\n") == 1
    assert run_command(worker_app, ["--trials", "2", *copy]) == 0
    assert "Nothing is left to do for this worker." in capsys.readouterr().out
    assert run_command(run_app, [*options, "--trials", "2"]) == 2
    assert "started with --bert-model" in capsys.readouterr().err
