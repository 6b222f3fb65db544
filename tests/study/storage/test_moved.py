"""A study whose folder was moved finds its files beside its database."""

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from data.source import DataSource
from models.bert import BERTConfig
from study.configuration import StudyConfig
from study.errors import StudyError
from study.model_settings import DEFAULTS
from study.storage.connection import open_storage
from study.storage.moved import moved_with


def configuration(folder: Path) -> StudyConfig:
    source = DataSource("t", "00", str(folder / "data" / "t.csv"), test_path=str(folder / "test.csv"))
    base = replace(DEFAULTS["bert-frozen"], model=BERTConfig(pretrained=str(folder / "encoder")))
    return StudyConfig(source, str(folder / ".cache"), base, artifact_dir=str(folder / "artifacts"))


def test_files_that_are_gone_are_found_beside_the_database(tmp_path: Path) -> None:
    stored, here = configuration(tmp_path / "old"), tmp_path / "new"
    for name in ("data/t.csv", "t.csv", "test.csv", "encoder"):  # t.csv: another file with its name
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).touch()
    assert moved_with(here / "study.db", stored) == configuration(here)


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    stored, elsewhere = configuration(tmp_path / "old"), tmp_path / "copy"
    (tmp_path / "old" / "data").mkdir(parents=True)
    for name in ("data/t.csv", "test.csv", "encoder"):
        (tmp_path / "old" / name).touch()
    shutil.copytree(tmp_path / "old", elsewhere)
    assert moved_with(elsewhere / "study.db", stored) == stored


@pytest.mark.parametrize("create", [True, False])
def test_a_copy_without_what_is_in_the_log_beside_a_database_says_so(create: bool, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "study.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("VACUUM")
        shutil.copy(tmp_path / "study.db", tmp_path / "copy.db")
    connection.close()
    with pytest.raises(StudyError, match=r"copy copy\.db-wal beside it, too"):
        open_storage(f"sqlite:///{tmp_path / 'copy.db'}", create=create)
