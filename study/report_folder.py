"""The folder of a report: written beside its place, then put there whole; it never replaces what is no report."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from study.errors import StudyError
from study.interruption import hold_signals, release_signals
from study.report_pages import FILES


@contextmanager
def new_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The folder to write to in the end, and one beside it to write to now, which is gone afterwards.

    Raises `StudyError` where that cannot be, or the folder holds what no report has written: it would be replaced.
    """
    if folder.name in ("", ".."):
        folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise StudyError(f"{folder} would be replaced, but it is a file; name another --output.")
    if found := sorted(path.name for path in folder.glob("*") if path.name not in FILES):
        raise StudyError(f"{folder} would be replaced, but {found[0]} is no part of a report; name another --output.")
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
    """Of any study's name one that stays within its folder."""
    return re.sub(r"[^\w.-]", "_", study_name).strip(".") or "study"


def publish(written: Path, folder: Path) -> None:
    """Put a folder that is whole in the place of another. Raises `StudyError`."""
    replaced = folder.with_name(f".{folder.name}.replaced")
    hold_signals()  # between the two, there is no report at all
    try:
        shutil.rmtree(replaced, ignore_errors=True)
        if folder.exists():
            folder.rename(replaced)
        written.rename(folder)
    except OSError as error:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise StudyError(f"The report cannot be put into {folder}: {error.strerror or error}.") from error
    finally:
        release_signals()
    shutil.rmtree(replaced, ignore_errors=True)
