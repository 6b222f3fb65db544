"""The errors that are shown to users as one line instead of a traceback."""

from collections.abc import Sequence

LONGEST_NAME = 40  # characters of a column's or file's name in a message


class UserError(Exception):
    """Something that the user can fix. The message is one line: what is wrong, and the way out."""

    exit_code = 2


class CorpusError(UserError):
    """The data cannot be used. The message is one line: which file, which row, and the way out."""


def quoted(name: object) -> str:
    """A name out of a file in quotes, on one line, and cut if it is long."""
    text = " ".join(str(name).split())
    return f"'{text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 3] + '...'}'"


def listed(names: Sequence[object], most: int = 5) -> str:
    """Some names, quoted, and how many more there are."""
    more = len(names) - most
    return ", ".join(map(quoted, names[:most])) + (f" and {more:,} more" if more > 0 else "")
