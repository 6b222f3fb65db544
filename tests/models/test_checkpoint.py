"""Mid-training files: an interrupted training comes to the same weights and curve, and no file can do harm."""

import pickle
import signal
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import Checkpoint, CheckpointError

EPOCHS = 4
# A real LSTM with dropout of both kinds and two layers; it kills itself at the moment that is asked for.
PROGRAM = """
import os, signal, sys, torch
from dataclasses import asdict
from pathlib import Path
from data.source import find_source
from models.checkpoint import Checkpoint
from models.lstm import LSTMClassifier, LSTMConfig
from models.training import TrainingConfig, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.prepared import prepare_for_search

folder, when, epoch = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
prepared = prepare_for_search(find_source(str(folder / "toy.csv"))[0], split_seed=0, cache_dir=folder / "cache")
config = TrainingConfig(epochs=4, patience=4)
torch.manual_seed(config.seed)
words, trained = len(prepared.word_counts), []
model = LSTMClassifier(LSTMConfig(hidden_size=8, layers=2), words=words, classes=len(prepared.classes))

class Killing(Checkpoint):
    def save(self, state):
        if when == "before" and len(state["curve"]) == epoch + 1:
            kill()
        super().save(state)
        if when == "after" and len(state["curve"]) == epoch + 1:
            kill()

checkpoint = Killing(folder / "trial.pt", {"trial": 0}) if when != "never" else None
result = train(
    model, TrainingBatches(prepared.training, 32, 20, words, 0), EvaluationBatches(prepared.validation, 20, words),
    config, device=torch.device("cpu"), on_epoch_end=lambda result: trained.append(result.epoch), checkpoint=checkpoint,
)
curve = [{**asdict(result), "seconds": 0} for result in result.curve]
torch.save({"curve": curve, "weights": model.state_dict(), "best": result.best_weights, "heard": trained}, sys.argv[4])
"""


def run_program(folder: Path, when: str, epoch: int) -> dict[str, Any] | None:
    out = folder / "result.pt"
    out.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder), when, str(epoch), str(out)], check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0
    return dict(torch.load(out, weights_only=True))


def test_a_training_that_is_killed_after_each_epoch_in_turn_comes_to_the_same_bits(toy_csv: Path) -> None:
    folder = toy_csv.parent
    whole = run_program(folder, "never", 0)
    for when in ("before", "after"):
        for epoch in range(EPOCHS - 1):
            assert run_program(folder, when, epoch) is None
        parts = run_program(folder, "at no time", 0)
        assert whole is not None
        assert parts is not None
        assert parts["curve"] == whole["curve"]
        assert parts["heard"] == list(range(EPOCHS))  # its pruner hears of the whole curve
        for kind in ("weights", "best"):
            assert parts[kind].keys() == whole[kind].keys()
            assert all(torch.equal(parts[kind][name], whole[kind][name]) for name in whole[kind])
        (folder / "trial.pt").unlink()


def saved(path: Path, **identity: object) -> Checkpoint:
    checkpoint = Checkpoint(path, identity, print)
    checkpoint.save({"weights": torch.arange(1000.0), "curve": [{"epoch": 0}]})
    return checkpoint


def test_what_was_saved_is_loaded_until_it_is_removed(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "new" / "folder" / "1.pt", trial=1)
    state = checkpoint.load()
    assert state is not None
    assert torch.equal(state["weights"], torch.arange(1000.0))
    assert state["curve"] == [{"epoch": 0}]
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["1.pt"]
    checkpoint.remove()
    assert checkpoint.load() is None


@pytest.mark.parametrize("damage", ["flipped bit", "cut off", "empty", "a folder"])
def test_a_damaged_file_is_not_used_and_that_is_told(
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


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written: (Not a directory|File exists)"):
        saved(tmp_path / "file" / "1.pt")
