"""Opens compressed files; the first bytes tell how one is compressed, whatever its name is."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from data.errors import CorpusError, quoted

FIRST_BYTES = {
    "gzip": b"\x1f\x8b",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}
SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
SPREADSHEETS = ("xl/", "content.xml")  # members of .xlsx and .ods files, which are zip files, too
BROKEN = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowInvalid)
MACS_OWN = ("__MACOSX/", ".DS_Store")  # members that Macs add to a zip file


def compression_of(path: Path) -> str | None:
    """How a file is compressed, a key of `FIRST_BYTES`; None if it is not. Raises `OSError`."""
    with path.open("rb") as file:
        start = file.read(8)
    name = next((name for name, first in FIRST_BYTES.items() if start.startswith(first)), None)
    return None if name == "zip" and is_spreadsheet(path) else name


def is_spreadsheet(path: Path) -> bool:
    """Whether a zip file is a spreadsheet of Excel or LibreOffice."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.startswith(SPREADSHEETS) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


@contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read it, decompressed. Raises `OSError`, and `CorpusError` if it is broken or holds several."""
    compression = compression_of(path)
    try:
        with path.open("rb") as file:
            if compression == "gzip":
                yield cast(BinaryIO, gzip.GzipFile(fileobj=file))
            elif compression == "bzip2":
                yield cast(BinaryIO, bz2.BZ2File(file))
            elif compression == "xz":
                yield cast(BinaryIO, lzma.LZMAFile(file))  # noqa: SIM115
            elif compression == "zstd":
                yield io.BufferedReader(pa.CompressedInputStream(file, "zstd"))
            elif compression == "zip":
                with zipfile.ZipFile(file) as archive, archive.open(_only_member(path, archive)) as member:
                    yield cast(BinaryIO, member)
            else:
                yield file
    except NotImplementedError as error:  # of zipfile, for instance Deflate64
        raise CorpusError(f"{path} cannot be unpacked here ({error}). Unpack it, and name the file.") from None
    except (*BROKEN, OSError) as error:
        if compression is None or getattr(error, "errno", None):  # OSError without a number is Arrow's
            raise
        raise CorpusError(f"{path} is not a whole {compression} file. Compress or copy it again.") from error


def without_compression_suffix(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in SUFFIXES else path


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The file in a zip archive."""
    members = [member for member in archive.infolist() if not (member.is_dir() or member.filename.startswith(MACS_OWN))]
    if len(members) != 1:
        shown = ", ".join(quoted(member.filename) for member in members[:3]) + (", ..." if len(members) > 3 else "")
        raise CorpusError(f"{path} holds {len(members)} files ({shown}). Unpack it, and name one of them.")
    if members[0].flag_bits & 1:
        raise CorpusError(f"{path} needs a password. Unpack it, and name the file.")
    return members[0]
