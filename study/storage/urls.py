"""What a storage URL may be, and where the files of a SQLite database are."""

import os
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from study.errors import StudyError

RETRY_SECONDS = {"sqlite": 60.0, "postgresql": 120.0}  # how long to wait for a database that is locked or not reachable


def parse_url(url: str) -> URL:
    """Parse a storage URL. Raises `StudyError` for an invalid one, or for a folder that does not exist."""
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError):
        raise StudyError("--storage must be a URL such as sqlite:///study.db or postgresql://HOST/DATABASE.") from None
    if parsed.get_backend_name() not in RETRY_SECONDS:
        raise StudyError(f"--storage must be a sqlite:/// or postgresql:// URL, not {parsed.get_backend_name()}.")
    file = sqlite_file(parsed)
    if file is not None and not file.name:
        raise StudyError("--storage must name a file of SQLite, as in sqlite:///study.db.")
    if file is not None and (names := _count_names(file)) > 1:
        raise StudyError(
            f"{file} has {names} names (hard links), and processes that open it by different ones would damage it. "
            "Remove the others, or use another --storage."
        )
    if file is not None and not file.parent.is_dir():
        raise StudyError(f"The folder of {file} does not exist; create it, or name another file with --storage.")
    if file is not None and "uri" in parsed.query:  # SQLite would read a file that is not the one above
        raise StudyError("--storage must name a file of SQLite by its path, without uri=; as sqlite:///study.db.")
    if parsed.get_backend_name() == "sqlite" and file is None:
        raise StudyError("A database in memory is gone when the run ends; name a file, as in sqlite:///study.db.")
    return parsed


def _count_names(file: Path) -> int:
    """The number of hard links to a file; 1 where that is not known, as for a file that does not exist yet."""
    try:
        return file.stat().st_nlink
    except OSError:
        return 1


def sqlite_file(url: URL) -> Path | None:
    """The absolute path of a SQLite database; None for one in memory and for other kinds of database."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(os.path.abspath(str(url.database))).resolve()  # noqa: PTH100  # as SQLAlchemy reads `..` after a link


def locks_beside(file: Path) -> Path:
    """The folder with the lock files of the processes that use a SQLite database."""
    return file.with_name(f".{file.name}.locks")
