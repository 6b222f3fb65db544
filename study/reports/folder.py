"""The folder of a report: written under a temporary name, then renamed.

It never replaces anything but a report on the same study.
"""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from optuna.study import Study

from data.files import replace_folder
from study.errors import StudyError
from study.reports.pages import FILES
from study.signals import hold_signals, release_signals
from study.storage.attributes import FINGERPRINT
from study.storage.fingerprint import decisive_facts

LEFT_BY_A_FILE_BROWSER = (".DS_Store", "Thumbs.db", "desktop.ini")
MOST_BYTES = 200  # of a name; a file system allows 255, and temporary names are longer


@contextmanager
def new_folder(folder: Path, study: Study, *, whole: bool) -> Iterator[tuple[Path, Path]]:
    """The final folder of a report, and a temporary one beside it to write to, which is removed afterwards.

    `whole`: the report is not of the search alone. Raises `StudyError` if the folder cannot be written, or holds
    anything but a report on this study; a whole report is only replaced by another one.
    """
    if folder.is_symlink() or folder.name in ("", ".."):
        folder = folder.resolve()
    if reason := _what_would_be_lost(folder, study, whole=whole):
        raise StudyError(f"{folder} would be replaced, but {reason}; name another --output.")
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
    """The folder name of a study: a single path component that no other study has.

    It ends with a digest if it differs from the study's name, or could be that of a search alone or of an ensemble.
    """
    name = re.sub(r"[^\w.-]", "_", study_name).strip(".") or "study"
    name = name.encode()[:MOST_BYTES].decode(errors="ignore")
    if name == study_name and not name.endswith(("-search", "-ensemble")):
        return name
    return f"{name}-{hashlib.sha256(study_name.encode()).hexdigest()[:8]}"


def publish(written: Path, folder: Path) -> None:
    """Put the written folder in its final place. Raises `StudyError`."""
    hold_signals()  # for a moment, there is no report at all
    try:
        replace_folder(written, folder)
    except OSError as error:
        raise StudyError(f"The report cannot be put into {folder}: {error.strerror or error}.") from error
    finally:
        release_signals()


def _what_would_be_lost(folder: Path, study: Study, *, whole: bool) -> str | None:
    if Path.cwd().is_relative_to(folder.resolve()):
        return "it is where this was started"
    if not folder.exists():
        return None
    if not folder.is_dir():
        return "it is a file"
    try:
        there = {path.name for path in folder.iterdir()} - set(LEFT_BY_A_FILE_BROWSER)
        content = (folder / "best_params.json").read_text() if "best_params.json" in there else ""
    except (OSError, UnicodeDecodeError) as error:
        return f"it cannot be read ({getattr(error, 'strerror', None) or error})"
    if foreign := sorted(there - set(FILES)):
        return f"{foreign[0]} is no part of a report"
    if not there:
        return None
    if "best_params.json" not in there:
        return "it holds no report"
    facts, is_whole = None, "model" in there
    with suppress(ValueError, LookupError, TypeError, AttributeError):  # a damaged report may be replaced
        stored = json.loads(content)
        is_whole = is_whole or "confirmed" in stored
        if (name := stored["study"]) != study.study_name:
            return f"it holds the report of '{name}'"
        facts = decisive_facts(stored["fingerprint"])
    if facts not in (None, decisive_facts(study.user_attrs[FINGERPRINT])):
        return f"it holds the report of another study of the name '{study.study_name}'"
    if is_whole and not whole:
        return "it holds a whole report, and this one is of the search alone"
    return None
