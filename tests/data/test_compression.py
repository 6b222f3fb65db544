"""Compressed files are told by their first bytes, whatever they are called."""

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from data.compression import compression_of, open_bytes, without_compression_suffix
from data.errors import CorpusError

CONTENT = b"a line\n" * 20_000


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, CONTENT)
    return buffer.getvalue()


COMPRESSED = {
    "gzip": gzip.compress(CONTENT),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "zstd": pa.compress(CONTENT, codec="zstd", asbytes=True),
    "zip": zipped("__MACOSX/._t.csv", "folder/", "folder/t.csv"),
}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t"])
@pytest.mark.parametrize("compression", [None, *COMPRESSED])
def test_the_first_bytes_tell_how_a_file_is_compressed(compression: str | None, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(COMPRESSED[compression] if compression else CONTENT)
    assert compression_of(tmp_path / name) == compression
    with open_bytes(tmp_path / name) as file:
        assert file.read(10) + file.read() == CONTENT
    with open_bytes(tmp_path / name) as file:
        assert sum(1 for _ in file) == 20_000


@pytest.mark.parametrize("compression", COMPRESSED)
def test_a_broken_file_is_one_line(compression: str, tmp_path: Path) -> None:
    content = COMPRESSED[compression]
    (tmp_path / "t.csv").write_bytes(content[: len(content) * 2 // 3])
    with (
        pytest.raises(CorpusError, match=f"t.csv is not a whole {compression} file"),
        open_bytes(tmp_path / "t.csv") as file,
    ):
        file.read()


def test_a_zip_file_must_hold_one_file(tmp_path: Path) -> None:
    (tmp_path / "t.zip").write_bytes(zipped("a.csv", "b.csv"))
    with (
        pytest.raises(CorpusError, match=r"holds 2 files \('a.csv', 'b.csv'\)\. Unpack it"),
        open_bytes(tmp_path / "t.zip"),
    ):
        pass


def test_a_spreadsheet_is_no_compressed_file(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(zipped("xl/workbook.xml"))
    assert compression_of(tmp_path / "t.xlsx") is None


def test_the_suffix_of_a_compressed_file_is_left_out() -> None:
    assert without_compression_suffix(Path("a/b.csv.GZ")) == Path("a/b.csv")
    assert without_compression_suffix(Path("a/b.csv")) == Path("a/b.csv")
