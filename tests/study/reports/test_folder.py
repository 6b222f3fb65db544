"""No study's report takes the place of another study's."""

import json
from pathlib import Path
from typing import Any

import pytest

from study.command_line import run_command
from study.report import app
from study.reports.folder import folder_name, new_folder, publish

NAMES = ["a_b", "a b", "a/b", "x", "x-search", ".x", "x.", "..", "", "study", "r8-lstm", "ä", "a?", "-my study"]
NAMES += ["ä" * 250, "ä" * 251]  # too long for a folder


def test_no_two_studies_share_a_folder_nor_one_with_the_search_of_another() -> None:
    folders = [folder_name(name) + suffix for name in NAMES for suffix in ("", "-search")]
    assert len(set(folders)) == len(folders)
    assert all(len(folder.encode()) < 240 for folder in folders)
    assert all(Path("reports", folder).resolve().parent == Path("reports").resolve() for folder in folders)


@pytest.mark.parametrize("name", ["r8-lstm", "a_b", "r8-cnn-mine.vec", "ä"])
def test_a_usual_name_is_that_of_the_folder(name: str) -> None:
    assert folder_name(name) == name


def test_the_report_of_another_study_is_not_replaced(toy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        assert toy.run("--trials", 1, "--name", name) == 0
    assert run_command(app, ["--no-retrain", "--name", "one", "--output", "here"]) == 0
    before = {path: path.read_bytes() for path in Path("here").iterdir()}
    capsys.readouterr()
    assert run_command(app, ["--no-retrain", "--name", "two", "--output", "here"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "here holds the report of 'one', which that of 'two' would replace" in error
    assert "--output" in error
    assert {path: path.read_bytes() for path in Path("here").iterdir()} == before
    assert not list(Path().glob(".here*"))


@pytest.mark.parametrize("content", ["", "{}", "[]", "no JSON", json.dumps({"study": "new"})])
@pytest.mark.parametrize("is_link", [False, True])
def test_a_report_that_names_no_other_study_is_replaced(content: str, is_link: bool, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "best_params.json").write_text(content)
    (old / ".DS_Store").touch()
    named = tmp_path / "link" if is_link else old
    if is_link:
        named.symlink_to(old)
    for _ in range(2):
        with new_folder(named, "new") as (folder, written):
            (written / "best_params.json").write_text(json.dumps({"study": "new"}))
            publish(written, folder)
    assert json.loads((named / "best_params.json").read_text()) == {"study": "new"}
    assert named.is_symlink() == is_link
    assert {path.name for path in tmp_path.iterdir()} == {"old", "link"} if is_link else {"old"}
