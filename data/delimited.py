"""Reads tables of delimited text (CSV, TSV and the like) in the dialect that explains all their rows."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from data.compression import without_compression_suffix
from data.dialect import SEPARATORS, Dialect, Reading, normalised, open_text
from data.encodings import find_encoding, undecodable
from data.errors import CorpusError
from data.quotes import with_quotes

TAB_SUFFIXES = (".tsv", ".tab")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\r?\n', re.IGNORECASE)  # which Excel writes and reads
BLANK_LINES = re.compile(r"([^\S\r\n]*[\r\n]+)*")
CHUNK = 50_000  # rows
SAMPLE = 1 << 18  # characters
QUOTE_HINT = "Put cells that hold the separator in double quotes, or name it with --separator."


def find_dialect(path: Path, wanted: Sequence[str], reading: Reading) -> Dialect:
    """The dialect that explains all rows of a file, of whose columns some are `wanted`.

    Raises `CorpusError` for an empty file or one of another encoding, and `OSError`.
    """
    encoding = find_encoding(path, reading.encoding)
    try:
        return with_quotes(path, _first_dialect(path, wanted, reading, encoding))
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
    with open_text(path, dialect.encoding) as text:
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
    with open_text(path, encoding) as text:
        sample = text.read(SAMPLE)
    if not sample.strip():
        raise CorpusError(f"{path} is empty; a header and rows are needed.")
    separators = list(SEPARATORS)
    if without_compression_suffix(path).suffix.lower() in TAB_SUFFIXES:
        separators.sort(key="\t".__ne__)
    separator_line = SEPARATOR_LINE.match(sample)
    if separator_line:
        sample, separators = sample[separator_line.end() :], [separator_line[1]]
    blank = BLANK_LINES.match(sample) if reading.header else None  # without a header, blank lines may be rows
    blank_lines = len(blank[0].splitlines()) if blank else 0
    sample = sample[blank.end() :] if blank else sample
    if reading.separator:
        separators = [reading.separator]
    rows = {separator: _first_rows(sample, separator) for separator in separators}

    def fits(separator: str) -> tuple[float, ...]:
        """How well a separator fits: by the names in the header; if they do not tell, by rows of the same length."""
        header, *others = rows[separator]
        found = len(set(wanted) & set(map(normalised, header))) if reading.header else 0
        same = sum(len(row) == len(header) for row in others) / max(1, len(others))
        several = len(header) > 1 and (reading.header or same > 0.5)
        alike = same if several or not reading.header else 0
        return found, several, alike, several and separator != ","  # texts are full of commas

    separator = max(separators, key=fits)
    header = rows[separator][0]
    blanks = separator != "\t" and len(header) > 1 and all(cell.startswith(" ") for cell in header[1:])
    if blanks:
        header = _first_rows(sample, separator, blanks=True)[0]
    names = tuple(header) if reading.header else tuple(map(str, range(1, len(header) + 1)))
    end = re.search(r"\r\n|\n|\r", sample)
    return Dialect(
        encoding,
        separator,
        names,
        reading.header,
        first_lines=blank_lines + bool(separator_line),
        separator_line=bool(separator_line),
        blanks=blanks,
        line_end=end[0] if end else "\n",
    )


def _first_rows(sample: str, separator: str, *, blanks: bool = False) -> list[list[str]]:
    """The first rows, the last of which may be cut off, so that it is left out unless it is the only one."""
    reader = csv.reader(io.StringIO(sample, newline=""), delimiter=separator, skipinitialspace=blanks)
    rows = [row for row in reader if row]
    return (rows if len(sample) < SAMPLE else rows[:-1]) or rows or [[""]]


def _parser_message(message: str, columns: int) -> str:
    if too_many := re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message):
        line, seen = too_many.groups()
        return f"line {line} has {seen} cells, the header {columns}. {QUOTE_HINT}"
    if unclosed := re.search(r"EOF inside string starting at row (\d+)", message):
        return f"a double quote opened in row {int(unclosed[1]) + 1} (the header is row 1) is never closed."
    if "expected after" in message:
        return f"a double quote within a cell must be doubled. {QUOTE_HINT}"
    return " ".join(message.split())
