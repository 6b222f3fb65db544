"""Files and folders are replaced completely or not at all; user paths are expanded as a user expects."""

import hashlib
from pathlib import Path

import pytest

from data.files import replace_folder, replacing, sha256, user_path


def test_a_file_is_replaced_once_the_new_one_is_written(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_stays_as_it_was_when_writing_fails(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")

    def fail_halfway() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        fail_halfway()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_new_folder_replaces_the_old_one_if_there_is_one(tmp_path: Path, is_there: bool) -> None:
    written, folder = tmp_path / "written", tmp_path / "report"
    for path in [written, *[folder] * is_there]:
        path.mkdir()
        (path / path.name).write_text("content")
    replace_folder(written, folder)
    assert list(tmp_path.rglob("*")) == [folder, folder / "written"]


def test_the_old_folder_is_kept_when_the_new_one_cannot_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, folder = tmp_path / "written", tmp_path / "report"
    for path in (written, folder):
        path.mkdir()
        (path / path.name).write_text("content")
    rename = Path.rename

    def fail_for_the_new_one(path: Path, target: Path) -> Path:
        if path == written:
            raise OSError("no space left")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="no space left"):
        replace_folder(written, folder)
    assert (folder / "report").read_text() == "content"
    assert not (tmp_path / ".report.replaced").exists()


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    assert sha256(tmp_path / "a") == hashlib.sha256(b"text").hexdigest()


def test_a_tilde_is_the_home_folder_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/texts.csv") == tmp_path / "texts.csv"
    assert user_path("~no-such-user/texts.csv") == Path("~no-such-user/texts.csv")
    assert user_path("texts~.csv") == Path("texts~.csv")
