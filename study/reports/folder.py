"""The folder of a report: written beside its place, then put there whole.

It never replaces what is no report, nor that of another study.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data.files import replace_folder
from study.errors import StudyError
from study.reports.pages import FILES
from study.signals import hold_signals, release_signals

LEFT_BY_A_FILE_BROWSER = (".DS_Store", "Thumbs.db", "desktop.ini")
MOST_BYTES = 200  # of a name; a file system takes 255, and some are added to it


@contextmanager
def new_folder(folder: Path, study_name: str) -> Iterator[tuple[Path, Path]]:
    """The folder to write a report to in the end, and one beside it to write to now, which is gone afterwards.

    Raises `StudyError` where that cannot be, or the folder holds what would be lost: all but a report of this study.
    """
    if folder.is_symlink() or folder.name in ("", ".."):
        folder = folder.resolve()
    if Path.cwd().is_relative_to(folder.resolve()):
        raise StudyError(f"{folder} would be replaced, but it is where this was started; name another --output.")
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder} would be replaced, but it is a file; name another --output.")
    if found := sorted(path.name for path in folder.glob("*") if path.name not in (*FILES, *LEFT_BY_A_FILE_BROWSER)):
        raise StudyError(f"{folder} would be replaced, but {found[0]} is no part of a report; name another --output.")
    if (other := _study_of(folder)) not in (None, study_name):
        raise StudyError(
            f"{folder} holds the report of '{other}', which that of '{study_name}' would replace; "
            "name another --output."
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        written = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        written.chmod(0o755)  # as other folders; this one is not secret
    except OSError as error:
        raise StudyError(f"{folder.parent} cannot be written ({error.strerror}); name another --output.") from None
    try:
        yield folder, written
    finally:
        shutil.rmtree(written, ignore_errors=True)


def folder_name(study_name: str) -> str:
    """Of any study's name one that stays within its folder, and that no other study has.

    So there is a digest in it where the name is not the study's own, or may be that of another one's search alone.
    """
    name = re.sub(r"[^\w.-]", "_", study_name).strip(".") or "study"
    name = name.encode()[:MOST_BYTES].decode(errors="ignore")
    if name == study_name and not name.endswith("-search"):
        return name
    return f"{name}-{hashlib.sha256(study_name.encode()).hexdigest()[:8]}"


def publish(written: Path, folder: Path) -> None:
    """Put a folder that is whole in the place of another. Raises `StudyError`."""
    hold_signals()  # for a moment, there is no report at all
    try:
        replace_folder(written, folder)
    except OSError as error:
        raise StudyError(f"The report cannot be put into {folder}: {error.strerror or error}.") from error
    finally:
        release_signals()


def _study_of(folder: Path) -> str | None:
    """The name in a report; None where there is no report, or one that cannot be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((folder / "best_params.json").read_text())["study"])
    return None
