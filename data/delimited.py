"""Reads tables of delimited text (CSV, TSV and the like), whose dialect is found from the file itself.

The header tells the separator. Whether double quotes enclose cells, and whether a backslash escapes them, is tried: the
reading that explains all rows is taken, and none in which quotes swallow lines that are rows without them.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

import pandas as pd

from data.compression import open_bytes, without_compression_suffix
from data.encodings import find_encoding, undecodable
from data.errors import CorpusError, quoted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
ONLY_COLUMN = "\x1f"  # the separator of a file of one column, which occurs nowhere
TAB_SUFFIXES = (".tsv", ".tab")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # which Excel writes and reads
ALL_LINES = 0.98  # if such a share of the lines are whole rows without regard to quotes, lines are rows
CHUNK = 50_000  # rows
SAMPLE = 1 << 18  # characters
LONG_CELL = 60  # characters: no name of a column, rather a text
QUOTE_HINT = "Put cells that hold the separator in double quotes, or name it with --separator."


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
    quotes: bool = True  # whether double quotes enclose cells
    backslashes: bool = False  # whether a backslash escapes the next character
    blanks: bool = False  # whether blanks after a separator do not count
    line_end: str = "\n"

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
        return ", ".join(parts + ([] if self.quotes else ["quotes taken as part of the texts"]))


@dataclass(frozen=True)
class _Lines:
    """What the lines of a file look like without regard to quotes."""

    lines: int  # that are not blank, without the header
    rows: int  # of them, with as many cells as the header
    longer: bool  # whether one has more cells
    quotes: bool  # whether there is a double quote
    quoted: int  # lines where a cell begins with one and a cell ends with one


def normalised(name: str) -> str:
    """A column's name as names are compared: without outer blanks, in the normal form NFC."""
    return unicodedata.normalize("NFC", name).strip().strip("\ufeff")


def find_dialect(path: Path, wanted: Sequence[str], reading: Reading) -> Dialect:
    """The dialect that explains all rows of a file, of whose columns some are `wanted`.

    Raises `CorpusError` for an empty file or one of another encoding, and `OSError`.
    """
    encoding = reading.encoding or find_encoding(path)
    try:
        first = _first_dialect(path, wanted, reading, encoding)
        return _choose(path, first, _look_at_lines(path, first))
    except UnicodeError:
        raise CorpusError(undecodable(path, encoding)) from None


def read_delimited(path: Path, wanted: Sequence[str], reading: Reading) -> tuple[Dialect, pd.DataFrame]:
    """The dialect of a file, and those of the `wanted` columns that it has: strings, missing where a cell is empty.

    Raises `CorpusError` with the row, the cause and the way out for a file that no dialect explains, and `OSError`.
    """
    dialect = find_dialect(path, wanted, reading)
    try:
        names = [name for name in dict.fromkeys(wanted) if dialect.columns.count(name) == 1]
        chunks = [chunk.set_axis(dialect.columns, axis=1)[names] for chunk in read_chunks(path, dialect)]
    except UnicodeError:
        raise CorpusError(undecodable(path, dialect.encoding)) from None
    return dialect, pd.concat(chunks, ignore_index=True)


def read_chunks(path: Path, dialect: Dialect, size: int = CHUNK) -> Iterator[pd.DataFrame]:
    """The rows in parts, as columns of strings in the order of `dialect.names`, missing where a cell is empty.

    Raises `CorpusError` for a row with too many cells and for a quote that is never closed.
    """
    columns = len(dialect.names)
    with _open_text(path, dialect.encoding) as text:
        for _ in range(dialect.first_lines):
            text.readline()
        try:
            chunks = pd.read_csv(
                text,
                sep=dialect.separator,
                engine="c" if dialect.separator.isascii() else "python",
                header=None,
                names=range(columns + 1),  # one more: lines may end with a separator
                index_col=False,
                dtype="str",
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=columns > 1,
                quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
                escapechar="\\" if dialect.backslashes else None,
                skipinitialspace=dialect.blanks,
                chunksize=size,
            )
            for number, chunk in enumerate(chunks):
                rows = chunk.iloc[1:] if dialect.header and number == 0 else chunk
                if (too_long := rows[columns].notna()).any():
                    row = int(rows.index[too_long][0]) + 1
                    raise CorpusError(
                        f"{path}: row {row:,} has {columns + 1} cells, the header {columns}. {QUOTE_HINT}"
                    )
                yield rows.drop(columns=columns)
        except pd.errors.ParserError as error:
            raise CorpusError(f"{path}: {_parser_message(str(error), columns)}") from None


def _first_dialect(path: Path, wanted: Sequence[str], reading: Reading, encoding: str) -> Dialect:
    """The dialect as the first lines suggest it."""
    with _open_text(path, encoding) as text:
        sample = text.read(SAMPLE)
    if not sample.strip():
        raise CorpusError(f"{path} is empty; a header and rows are needed.")
    separators = list(SEPARATORS)
    if without_compression_suffix(path).suffix.lower() in TAB_SUFFIXES:
        separators.sort(key="\t".__ne__)
    separator_line = SEPARATOR_LINE.match(sample)
    if separator_line:
        sample, separators = sample[separator_line.end() :], [separator_line[1]]
    if reading.separator:
        separators = [reading.separator]
    rows = {separator: _first_rows(sample, separator) for separator in separators}

    def fits(separator: str) -> tuple[float, ...]:
        """How well a separator fits: by the names in the header; if they do not tell, by rows of the same length."""
        header, *others = rows[separator]
        found = len(set(wanted) & set(map(normalised, header))) if reading.header else 0
        same = sum(len(row) == len(header) for row in others) / max(1, len(others))
        several = len(header) > 1
        return found, several, several and same, several and separator != ","  # texts are full of commas

    separator = max(separators, key=fits)
    header = rows[separator][0]
    names = tuple(header) if reading.header else tuple(map(str, range(1, len(header) + 1)))
    blanks = separator != "\t" and len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])
    line_end = next((end for end in ("\r\n", "\n", "\r") if end in sample), "\n")
    first_lines = 1 if separator_line else 0
    return Dialect(encoding, separator, names, reading.header, first_lines, blanks=blanks, line_end=line_end)


def _choose(path: Path, first: Dialect, lines: _Lines) -> Dialect:
    """The dialect that explains all rows; `first` where none does, so that reading it tells why."""
    if not lines.quotes and not lines.longer:
        return first
    are_quoted = lines.quoted > lines.lines / 2  # quotes as a rule enclose cells
    candidates = [first, replace(first, backslashes=True)]
    candidates += [] if first.blanks else [replace(first, blanks=True)]
    candidates += [replace(first, separator=ONLY_COLUMN)] if len(first.names) == 1 else []
    for dialect in candidates:
        if (rows := _count_rows(path, dialect)) is not None:
            # Most lines that were read as parts of cells are rows: quotes have swallowed them.
            swallowed = lines.lines > rows and lines.rows - rows > (lines.lines - rows) / 2
            return replace(first, quotes=False) if swallowed and not are_quoted else dialect
    lines_are_rows = lines.rows >= ALL_LINES * lines.lines and not are_quoted
    return replace(first, quotes=False) if lines_are_rows else first


def _count_rows(path: Path, dialect: Dialect) -> int | None:
    """The number of rows; None if a quote is where none belongs, or a row has more cells than the header."""
    csv.field_size_limit(2**31 - 1)  # characters; the default is shorter than some texts
    columns, rows = len(dialect.names), 0
    with _open_text(path, dialect.encoding) as text:
        for _ in range(dialect.first_lines):
            text.readline()
        reader = csv.reader(
            text,
            delimiter=dialect.separator,
            escapechar="\\" if dialect.backslashes else None,
            skipinitialspace=dialect.blanks,
            strict=True,
        )
        try:
            for cells in reader:
                if len(cells) > columns and (len(cells) > columns + 1 or cells[columns]):
                    return None
                rows += bool(cells)
        except csv.Error:
            return None
    return rows - dialect.header


def _look_at_lines(path: Path, dialect: Dialect) -> _Lines:
    separators, lines, rows, quoted_lines, longer, quotes = len(dialect.names) - 1, 0, 0, 0, False, False
    quoted_cell, cell_end = f'{dialect.separator}"', f'"{dialect.separator}'
    with _open_text(path, dialect.encoding, newline=None) as text:
        header = next((line for number, line in enumerate(text) if number == dialect.first_lines), "")
        for line in text if dialect.header else (*[header], *text):
            if not line.isspace():
                found = line.count(dialect.separator)
                lines += 1
                rows += found == separators
                longer = longer or found > separators
                quotes = quotes or '"' in line
                begins = line.startswith('"') or quoted_cell in line
                quoted_lines += begins and (line.rstrip("\n").endswith('"') or cell_end in line)
    rows = rows if separators else 0  # in a file of one column, any line looks like a row
    return _Lines(lines, rows, longer, quotes, quoted_lines)


def _first_rows(sample: str, separator: str) -> list[list[str]]:
    """The first rows, the last of which may be cut off, so that it is left out unless it is the only one."""
    try:
        rows = [row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if row]
    except csv.Error:  # a cell of more than 131,072 characters
        rows = [
            row for row in csv.reader(io.StringIO(sample.split("\n", 1)[0], newline=""), delimiter=separator) if row
        ]
    return (rows if len(sample) < SAMPLE else rows[:-1]) or rows or [[""]]


@contextmanager
def _open_text(path: Path, encoding: str, *, newline: str | None = "") -> Iterator[TextIO]:
    with open_bytes(path) as file:
        yield io.TextIOWrapper(file, encoding, newline=newline)


def _parser_message(message: str, columns: int) -> str:
    if too_many := re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message):
        line, seen = too_many.groups()
        return f"line {line} has {seen} cells, the header {columns}. {QUOTE_HINT}"
    if unclosed := re.search(r"EOF inside string starting at row (\d+)", message):
        return f"a double quote opened in row {int(unclosed[1]) + 1} (the header is row 1) is never closed."
    return " ".join(message.split())
