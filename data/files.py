"""Files: written whole or not at all, opened whether compressed or not, and known by their SHA-256."""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write to, beside `path`: it takes the place of `path` when the block ends without an error.

    One process at a time may replace a file. Raises `OSError`, as the functions below do.
    """
    temporary = path.with_name(f".{path.name}.writing")
    try:
        yield temporary
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def replace_folder(written: Path, folder: Path) -> None:
    """Put a folder that is written in the place of another one, which stays if that fails."""
    replaced = folder.with_name(f".{folder.name}.replaced")
    for path in (written, *written.rglob("*")):
        sync(path)
    try:
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)  # of a process that was killed; the folder itself is there
            folder.rename(replaced)
        written.rename(folder)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_path(path: str) -> Path:
    """A path as a user types it, with the home folder in the place of a ~; where there is no such user, as it is."""
    if path.startswith("~"):
        with suppress(RuntimeError):
            return Path(path).expanduser()
    return Path(path)


def is_gzip(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def kind_of_file(path: Path) -> str:
    """The suffix that tells how a file is read, in lower case, without a `.gz` behind it."""
    return (path.with_suffix("") if is_gzip(path) else path).suffix.lower()


def open_bytes(path: Path) -> BinaryIO:
    """Open a file to read it, decompressed."""
    return cast(BinaryIO, gzip.open(path)) if is_gzip(path) else path.open("rb")
