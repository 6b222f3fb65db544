"""Checkpoints: an interrupted training run gives the same weights and curve, and no file can execute code."""

import pickle
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from models.training.checkpoint import Checkpoint, CheckpointError

# A real LSTM with both kinds of dropout and two layers. Each training run is a separate process, forked so that torch
# is imported only once; the runs to be killed kill themselves.
PROGRAM = """
import os, signal, sys, torch
from dataclasses import asdict
from pathlib import Path
from data.source import Split, find_source
from models.training.checkpoint import Checkpoint
from models.lstm import LSTMClassifier, LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.prepared import prepare_for_search

folder, epochs, precision, part = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]) or None
prepared = prepare_for_search(Split(find_source(str(folder / "toy.csv"))[0]), cache_dir=folder / "cache")
words = len(prepared.word_counts)

def train_and_save(result_file, checkpoint):
    config, heard = TrainingConfig(epochs=epochs, patience=epochs, precision=precision), []
    torch.manual_seed(config.seed)
    model = LSTMClassifier(
        LSTMConfig(hidden_size=8, layers=2), vocabulary_size=words, classes=len(prepared.classes)
    )
    training = TrainingBatches(prepared.training, 16, 20, words, 0, epoch_texts=part)
    result = train(
        model, training, EvaluationBatches(prepared.validation, 20, words), config, device=torch.device("cpu"),
        on_epoch_end=lambda result: heard.append(result.epoch), checkpoint=checkpoint,
    )
    curve = [{**asdict(result), "seconds": 0, "predictions": result.predictions.tolist()} for result in result.curve]
    state = {"curve": curve, "weights": model.state_dict(), "best": result.best_weights, "heard": heard}
    torch.save(state, folder / result_file)

class Killing(Checkpoint):
    def save(self, state):
        at_this_epoch = len(state["curve"]) == epoch + 1
        if when == "before" and at_this_epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        super().save(state)
        if when == "after" and at_this_epoch:
            os.kill(os.getpid(), signal.SIGKILL)

def in_a_process(*arguments):
    if (child := os.fork()) == 0:
        train_and_save(*arguments)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert in_a_process("whole", None) == 0
for when in ("before", "after"):
    checkpoint = Killing(folder / f"{when}.checkpoint", {})
    for epoch in range(epochs - 1):
        assert in_a_process("", checkpoint) == -signal.SIGKILL
    epoch = epochs
    assert in_a_process(when, checkpoint) == 0
"""


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "part"), [("float32", 0), ("bfloat16", 0), ("float32", 40)])
def test_a_training_run_that_is_killed_at_every_epoch_gives_the_same_bits(
    precision: str, part: int, toy_csv: Path
) -> None:
    folder, epochs = toy_csv.parent, 4
    subprocess.run([sys.executable, "-c", PROGRAM, str(folder), str(epochs), precision, str(part)], check=True)
    whole, *parts = (torch.load(folder / name, weights_only=True) for name in ("whole", "before", "after"))
    for part in parts:
        assert part["curve"] == whole["curve"]
        assert part["heard"] == list(range(epochs))  # the pruner gets the whole curve
        for kind in ("weights", "best"):
            assert part[kind].keys() == whole[kind].keys()
            assert all(torch.equal(part[kind][name], whole[kind][name]) for name in whole[kind])


def saved(path: Path, **identity: object) -> Checkpoint:
    checkpoint = Checkpoint(path, identity, print)
    checkpoint.save({"weights": torch.arange(1000.0), "curve": [{"epoch": 0}]})
    return checkpoint


def test_a_saved_checkpoint_is_loaded_until_it_is_removed(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "new" / "folder" / "1.pt", trial=1)
    state = checkpoint.load()
    assert state is not None
    assert torch.equal(state["weights"], torch.arange(1000.0))
    assert state["curve"] == [{"epoch": 0}]
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["1.pt"]
    checkpoint.remove()
    assert checkpoint.load() is None


@pytest.mark.parametrize("damage", ["flipped bit", "cut off", "empty", "a folder"])
def test_a_damaged_file_is_not_used_and_a_message_says_so(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = saved(tmp_path / "1.pt", trial=1)
    content = bytearray(checkpoint.path.read_bytes())
    if damage == "a folder":
        checkpoint.path.unlink()
        checkpoint.path.mkdir()
    else:
        content[len(content) // 2] ^= 1
        shown = {"flipped bit": content, "cut off": content[: len(content) // 2], "empty": b""}
        checkpoint.path.write_bytes(shown[damage])
    assert checkpoint.load() is None
    assert "is not used" in capsys.readouterr().out


def test_a_file_of_another_training_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "1.pt", trial=1, learning_rate=0.1)
    assert Checkpoint(tmp_path / "1.pt", {"trial": 1, "learning_rate": 0.2}, print).load() is None
    assert "of another training" in capsys.readouterr().out


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def test_no_code_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for payload in (pickle.dumps(Harmful(), 2), pickle.dumps({"identity": {}, "state": Harmful()}, 2)):
        path = tmp_path / "1.pt"
        path.write_bytes(zlib.crc32(payload).to_bytes(4, "big") + payload)
        assert Checkpoint(path, {}).load() is None
        assert not Path("executed").exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written: (Not a directory|File exists)"):
        saved(tmp_path / "file" / "1.pt")
