"""Content-addressed folders of flat arrays: built once, memory-mapped read-only by every process.

A folder is built under a temporary name and renamed when complete, within a lock of its own: concurrent processes
build it once, and a kill leaves no incomplete folder. Does not know what the arrays mean.
"""

import hashlib
import json
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from data.errors import UserError
from data.files import sync

BUILDING = ".building-"  # between an entry's name and a random suffix: an incomplete folder
META_FILE = "meta.json"  # written last: a folder with it is complete
FORMAT_VERSION = 1

OnEvent = Callable[[str], None]  # called with a sentence for the user
OnProgress = Callable[[int, int], None]  # done, total
Build = Callable[[Path], None]  # writes files into the folder


def ignore(_sentence: str) -> None:
    """An `OnEvent` that does nothing."""


class CacheError(UserError):
    """The cache folder cannot be written, or a required entry is missing. The message is one line."""


@dataclass(frozen=True)
class CacheEntry:
    folder: Path
    meta: Mapping[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(file["bytes"] for file in self.meta["files"].values())


def open_or_build(cache_dir: Path, name: str, key: Mapping[str, Any], build: Build, *, on_event: OnEvent) -> CacheEntry:
    """The entry for `key`, verified by its checksums; built if it is missing or damaged.

    `name` is only shown in lists of entries; it is not part of the key. `on_event` is called with a sentence if
    something has to be built. Raises `CacheError` when the folder cannot be written.
    """
    digest = hashlib.sha256(json.dumps({**key, "format": FORMAT_VERSION}, sort_keys=True).encode()).hexdigest()
    folder = _prepared(cache_dir) / digest[:16]
    try:
        if _damage(folder) is None:
            return open_entry(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if (damage := _damage(folder)) is not None:  # no other process has built it meanwhile
                if folder.exists():
                    on_event(f"The cache entry {folder} is damaged ({damage}); it is prepared again.")
                _build_and_publish(folder, {"name": name, "key": key}, build)
        return open_entry(folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CacheError(f"The cache {cache_dir} cannot be used: {reason}. Name another with --cache-dir.") from error


def open_entry(folder: Path) -> CacheEntry:
    """Open an entry that was verified before; checks only that its files exist in their full sizes."""
    try:
        meta = json.loads((folder / META_FILE).read_text())
        for filename, file in meta["files"].items():
            if (folder / filename).stat().st_size != file["bytes"]:
                raise CacheError(f"The cache entry {folder} is damaged: {filename} has changed its size.")
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise CacheError(
            f"The cache entry {folder} is gone or damaged; start `study.run` again to restore it."
        ) from None
    return CacheEntry(folder, meta)


def entries(cache_dir: Path) -> Iterator[CacheEntry]:
    """All complete entries."""
    for meta in sorted(_prepared(cache_dir).glob(f"*/{META_FILE}")):
        try:
            yield open_entry(meta.parent)
        except CacheError:
            continue


def clear(cache_dir: Path) -> None:
    """Remove all entries and leftovers, after waiting for running builds; processes keep what they have mapped.

    Raises `CacheError` when the folder cannot be written.
    """
    try:
        for folder in [path for path in _prepared(cache_dir).glob("*") if path.is_dir()]:
            with FileLock(f"{str(folder).split(BUILDING)[0]}.lock"):
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise CacheError(f"The cache {cache_dir} cannot be cleared: {error.strerror or error}.") from error


def _build_and_publish(folder: Path, identity: Mapping[str, Any], build: Build) -> None:
    for leftover in folder.parent.glob(f"{folder.name}{BUILDING}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f"{folder.name}{BUILDING}{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        build(temporary)
        files = {path.name: _describe(path) for path in sorted(temporary.iterdir())}
        (temporary / META_FILE).write_text(json.dumps({**identity, "files": files}, indent=1))
        for path in temporary.iterdir():
            sync(path)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _damage(folder: Path) -> str | None:
    """The damage of an entry, or None; reads every byte."""
    try:
        files = json.loads((folder / META_FILE).read_text())["files"]
        for filename, expected in files.items():
            if _describe(folder / filename) != expected:
                return f"{filename} differs from its checksum"
    except (FileNotFoundError, NotADirectoryError) as error:
        return f"{Path(error.filename).name} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{META_FILE} cannot be read"
    return None


def _describe(path: Path) -> dict[str, int]:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            checksum = zlib.crc32(block, checksum)
    return {"bytes": path.stat().st_size, "crc32": checksum}


def _prepared(cache_dir: Path) -> Path:
    return cache_dir / "prepared"
