"""Files: atomic writes, paths as users type them, and SHA-256 digests."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to write to, which replaces `path` when the block ends without an error.

    Only one process at a time may replace a file. Raises `OSError`, like the functions below.
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
    """Replace `folder` by the folder `written`; on an error, the old folder stays."""
    replaced = folder.with_name(f".{folder.name}.replaced")
    for path in (written, *written.rglob("*")):
        sync(path)
    try:
        if folder.exists():
            shutil.rmtree(replaced, ignore_errors=True)  # left by a process that was killed
            folder.rename(replaced)
        written.rename(folder)
    except BaseException:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise
    sync(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


def sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def user_path(path: str | Path) -> Path:
    """The path that a user has typed, with a ~ expanded unless there is no such user."""
    if str(path).startswith("~"):
        with suppress(RuntimeError):
            return Path(path).expanduser()
    return Path(path)
