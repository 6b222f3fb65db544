"""`study.cache` shows what is kept and clears it."""

import re
from typing import Any

import pytest

from study.cache import app
from study.command_line import run_command


def test_it_lists_and_clears_the_prepared_texts(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run("--trials", 1) == 0
    capsys.readouterr()
    assert run_command(app, []) == 0
    assert re.fullmatch(r" +[\d.]+ kB  \.cache/prepared/[0-9a-f]{16}  toy\n", capsys.readouterr().out)
    assert run_command(app, ["--clear"]) == 0
    assert "Removed 1 prepared texts, " in capsys.readouterr().out
    assert run_command(app, []) == 0
    assert capsys.readouterr().out == "Nothing is kept in .cache.\n"
    assert toy.run("--trials", 2) == 0  # it is prepared again


def test_checkpoints_are_kept_unless_they_are_named(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run("--trials", 1) == 0
    checkpoint = toy.folder / ".cache" / "checkpoints" / "ab" / "7.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"x" * 1000)
    assert run_command(app, ["--clear"]) == 0
    assert "Kept 1 checkpoints" in capsys.readouterr().out
    assert run_command(app, ["--clear", "--checkpoints"]) == 0
    assert "Removed 1 checkpoints, 1.0 kB." in capsys.readouterr().out
    assert not checkpoint.exists()
