"""`study.cache` shows what is kept and clears it."""

import re
from pathlib import Path
from typing import Any

import pytest

from preprocessing.cache import ignore, open_or_build
from study.cache import app
from study.command_line import run_command


def test_the_command_lists_and_clears_the_prepared_texts(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy.searched("--trials", 1)
    capsys.readouterr()
    assert run_command(app, []) == 0
    assert re.fullmatch(
        r" +[\d.]+ kB  toy: \.cache/prepared/[0-9a-f]{16}\n +[\d.]+ kB  in all\n", capsys.readouterr().out
    )
    assert run_command(app, ["--clear"]) == 0
    assert "Removed what is computed from texts, " in capsys.readouterr().out
    assert run_command(app, []) == 0
    assert capsys.readouterr().out == "Nothing is kept in .cache.\n"
    assert toy.run("--trials", 2) == 0  # the texts are prepared again


def test_checkpoints_are_kept_unless_they_are_named(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    toy.searched("--trials", 1)
    checkpoint = toy.folder / ".cache" / "checkpoints" / "ab" / "7.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"x" * 1000)
    assert run_command(app, ["--clear"]) == 0
    assert "Kept checkpoints and weights of trials, 1.0 kB" in capsys.readouterr().out
    assert run_command(app, ["--checkpoints"]) == 2
    assert "it goes with --clear" in capsys.readouterr().err
    assert run_command(app, ["--clear", "--checkpoints"]) == 0
    assert "Removed checkpoints and weights of trials, 1.0 kB." in capsys.readouterr().out
    assert not checkpoint.exists()


def test_everything_that_is_kept_is_listed_with_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("toy", "features of 180 texts", "glove vectors"):
        open_or_build(tmp_path, name, {"of": name}, lambda folder: write(folder / "array", 2000), on_event=ignore)
    write(tmp_path / "checkpoints/ab/7.pt", 3000)
    write(tmp_path / "checkpoints/cd/0.safetensors", 1000)
    write(tmp_path / "checkpoints/cd/1.safetensors", 3000)
    write(tmp_path / "wheels/one.whl", 5000)
    write(tmp_path / "wheels/one/data/deep/weights", 6000)
    write(tmp_path / "wheels/one/data/vocabulary", 1000)
    trained = {"checkpoints of interrupted trials (1): 3.0 kB", "weights of confirmed trials (2): 4.0 kB"}
    downloads = {"download: 5.0 kB", "unpacked download: 7.0 kB"}
    computed = {"toy: 2.0 kB", "features of 180 texts: 2.0 kB", "glove vectors: 2.0 kB"}
    assert listed(tmp_path, capsys) == computed | trained | downloads
    assert run_command(app, ["--clear", "--cache-dir", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "Removed what is computed from texts, 6.0 kB." in told
    assert "Kept checkpoints and weights of trials, 7.0 kB" in told
    assert listed(tmp_path, capsys) == trained | downloads
    assert run_command(app, ["--clear", "--checkpoints", "--cache-dir", str(tmp_path)]) == 0
    assert "Removed checkpoints and weights of trials, 7.0 kB." in capsys.readouterr().out
    assert listed(tmp_path, capsys) == downloads


def write(file: Path, nbytes: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * nbytes)


def listed(cache_dir: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    capsys.readouterr()
    assert run_command(app, ["--cache-dir", str(cache_dir)]) == 0
    rows = re.findall(r"^ *([\d.]+ kB)  (.*): (/.*)$", capsys.readouterr().out, re.MULTILINE)
    assert all(Path(place).exists() for _, _, place in rows)
    return {f"{what}: {size}" for size, what, _ in rows}
