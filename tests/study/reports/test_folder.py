"""The report of a study never replaces the report of another one."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from study.command_line import run_command
from study.errors import StudyError
from study.report import app
from study.reports.folder import folder_name, new_folder, publish

NAMES = ["a_b", "a b", "a/b", "x", "x-search", ".x", "x.", "..", "", "study", "r8-lstm", "ä", "a?", "-my study"]
NAMES += ["ä" * 250, "ä" * 251]  # too long for a folder


def test_no_two_studies_share_a_folder_even_with_the_search_of_another() -> None:
    folders = [folder_name(name) + suffix for name in NAMES for suffix in ("", "-search")]
    assert len(set(folders)) == len(folders)
    assert all(len(folder.encode()) < 240 for folder in folders)
    assert all(Path("reports", folder).resolve().parent == Path("reports").resolve() for folder in folders)


@pytest.mark.parametrize("name", ["r8-lstm", "a_b", "r8-cnn-mine.vec", "ä"])
def test_an_ordinary_study_name_is_the_name_of_the_folder(name: str) -> None:
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
    assert "here would be replaced, but it holds the report of 'one'; name another --output" in error
    assert "--output" in error
    assert {path: path.read_bytes() for path in Path("here").iterdir()} == before
    assert not list(Path().glob(".here*"))


def study_named(name: str, **facts: object) -> optuna.Study:
    study = optuna.create_study(study_name=name)
    study.set_user_attr("fingerprint", facts)
    return study


def put_report(folder: Path, study: optuna.Study, *names: str) -> None:
    folder.mkdir()
    content = {"study": study.study_name, "fingerprint": study.user_attrs["fingerprint"]}
    (folder / "best_params.json").write_text(json.dumps(content))
    for name in names:
        (folder / name).mkdir()


def is_refused(folder: Path, study: optuna.Study, match: str, *, whole: bool = True) -> None:
    with pytest.raises(StudyError, match=match), new_folder(folder, study, whole=whole):
        pass


def test_a_folder_that_only_resembles_a_report_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out" / "model").mkdir(parents=True)
    is_refused(tmp_path / "out", study_named("mine"), "it holds no report; name another --output")


def test_a_report_is_replaced_only_by_the_same_study_not_by_another_one_of_the_same_name(
    tmp_path: Path,
) -> None:
    put_report(tmp_path / "out", study_named("mine", **{"split_seed": 0, "environment.torch": "1"}))
    is_refused(tmp_path / "out", study_named("mine", split_seed=3), "the report of another study of the name 'mine'")
    same = study_named("mine", **{"split_seed": 0, "environment.torch": "2"})
    with new_folder(tmp_path / "out", same, whole=True) as (folder, written):
        publish(written, folder)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_whole_report_is_not_replaced_by_one_of_the_search_alone(tmp_path: Path) -> None:
    study = study_named("mine")
    put_report(tmp_path / "out", study, "model")
    is_refused(tmp_path / "out", study, "it holds a whole report", whole=False)
    put_report(tmp_path / "search", study)
    with new_folder(tmp_path / "search", study, whole=False):
        pass


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
        with new_folder(named, study_named("new"), whole=True) as (folder, written):
            (written / "best_params.json").write_text(json.dumps({"study": "new"}))
            publish(written, folder)
    assert json.loads((named / "best_params.json").read_text()) == {"study": "new"}
    assert named.is_symlink() == is_link
    assert {path.name for path in tmp_path.iterdir()} == {"old", "link"} if is_link else {"old"}
