"""How the cells of a table of delimited text (CSV, TSV and the like) are written."""

import io
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data.compression import open_bytes
from data.errors import quoted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ONLY_COLUMN = "\x1f"  # the separator of a file of one column, which occurs nowhere


@dataclass(frozen=True)
class Reading:
    """What a user says about how files are written, where their content shall not decide."""

    separator: str | None = None
    encoding: str | None = None
    header: bool = True


@dataclass(frozen=True)
class Dialect:
    """How the cells of a file are written."""

    encoding: str
    separator: str
    names: tuple[str, ...]  # of the columns, as they are written; their numbers from 1 where there is no header
    header: bool
    first_lines: int = 0  # before the header
    separator_line: bool = False  # whether one of them is "sep=", as Excel writes it
    quotes: bool = True  # whether double quotes enclose cells
    backslashes: bool = False  # whether a backslash escapes the next character
    all_quoted: bool = False  # whether all cells are enclosed in quotes
    blanks: bool = False  # whether blanks after a separator do not count
    line_end: str = "\n"
    short_rows: int = 0  # with fewer cells than the header

    @property
    def columns(self) -> tuple[str, ...]:
        """The names as they are compared."""
        return tuple(map(normalised, self.names))

    def __str__(self) -> str:
        """A description for users."""
        parts = [f"separated by {SEPARATORS.get(self.separator, quoted(self.separator))}"]
        if len(self.names) == 1:
            parts = ["one column"]
        parts += [self.encoding.upper().removesuffix("-SIG") if self.encoding.startswith("utf") else self.encoding]
        parts += ["quotes escaped by backslashes"] if self.backslashes else []
        parts += [] if self.quotes else ["quotes taken as part of the texts"]
        parts += [f"{self.short_rows:,} rows with fewer cells than the header"] if self.short_rows else []
        return ", ".join(parts)


def normalised(name: str) -> str:
    """A column's name as names are compared: without outer blanks, in the normal form NFC."""
    return unicodedata.normalize("NFC", name).strip().strip("\ufeff")


@contextmanager
def open_text(path: Path, encoding: str, *, newline: str | None = "") -> Iterator[TextIO]:
    """A file, compressed or not, as text whose line ends are kept, unless `newline` says otherwise."""
    with open_bytes(path) as file:
        yield io.TextIOWrapper(file, encoding, newline=newline)
