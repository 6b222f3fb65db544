"""Finds out what double quotes mean in a table of delimited text: whether they enclose cells, and what escapes them.

Readings are tried, and the one that explains all rows is taken, but none in which quotes swallow lines that are rows
without them.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.dialect import ONLY_COLUMN, Dialect, open_text
from data.errors import CorpusError

LONGEST_LABEL = 100  # characters; of longer cells, only these are compared
MOST = 0.7  # of the lines of such rows; of a cell of two lines, one line looks like a row in any case

csv.field_size_limit(2**31 - 1)  # characters; the default is shorter than some texts


@dataclass(frozen=True)
class _Lines:
    """What the lines of a file look like without regard to quotes."""

    lines: int  # that are not blank, without the header
    rows: int  # of them, with as many cells as the header, as any line of a file of one column seems to have
    longer: bool  # whether one has more cells
    quotes: bool  # whether there is a double quote
    quoted: int  # lines where a cell begins with one and a cell ends with one
    broken: int  # lines that hold one and are no rows
    bare: bool  # whether one holds some, but no cell of it begins with one
    all_quoted: bool  # whether each line, and the header, begins and ends with one


def with_quotes(path: Path, first: Dialect) -> Dialect:
    """The dialect that explains all rows of a file; `first` where none does, so that reading it tells why.

    Raises `CorpusError` for a double quote that readers would pass over, and for NULs.
    """
    lines = _look_at_lines(path, first)
    if not lines.quotes and not lines.longer:
        return replace(first, short_rows=lines.lines - lines.rows)
    are_quoted = lines.quoted > lines.lines / 2  # quotes as a rule enclose cells
    is_column = len(first.names) == 1
    candidates = [first, replace(first, backslashes=True)]
    candidates += [] if first.blanks else [replace(first, blanks=True)]
    candidates += [replace(first, separator=ONLY_COLUMN)] if is_column else []
    faults = []
    for dialect in candidates:
        try:
            short_rows, several = _read_strictly(path, dialect)
        except csv.Error as error:
            faults.append(str(error))
        else:
            are_bare = lines.bare and lines.rows == lines.lines  # no writer of CSV leaves them so
            if not are_quoted and (_are_rows(path, first, several) if several else are_bare):
                return replace(first, quotes=False, short_rows=lines.lines - lines.rows)
            return replace(dialect, short_rows=short_rows, all_quoted=lines.all_quoted)
    if not are_quoted and (is_column or not lines.broken):
        separator = ONLY_COLUMN if is_column else first.separator
        return replace(first, quotes=False, separator=separator, short_rows=lines.lines - lines.rows)
    if "expected after" in faults[0]:
        raise CorpusError(
            f"{path}: {faults[0].split(':')[0]}: a double quote within a cell must be doubled. Repair it, or name "
            "another separator with --separator."
        )
    return first


def _read_strictly(path: Path, dialect: Dialect) -> tuple[int, list[int]]:
    """How many rows have fewer cells than the header, and the numbers from 0 of the lines of rows that have several.

    Raises `csv.Error` for a quote where none belongs, and for a row with more cells than the header.
    """
    columns, short_rows = len(dialect.names), 0
    several: list[int] = []
    with open_text(path, dialect.encoding) as text:
        for _ in range(dialect.first_lines):
            text.readline()
        reader = csv.reader(
            text,
            delimiter=dialect.separator,
            escapechar="\\" if dialect.backslashes else None,
            skipinitialspace=dialect.blanks,
            strict=True,
        )
        before = 0
        try:
            for cells in reader:
                if len(cells) > columns and (len(cells) > columns + 1 or cells[columns]):
                    raise csv.Error("too many cells")
                short_rows += 0 < len(cells) < columns
                if reader.line_num > before + 1:
                    several += range(dialect.first_lines + before, dialect.first_lines + reader.line_num)
                before = reader.line_num
        except csv.Error as error:
            raise csv.Error(f"line {dialect.first_lines + reader.line_num:,}: {error}") from None
    return short_rows, several


def _are_rows(path: Path, dialect: Dialect, numbers: Sequence[int]) -> bool:
    """Whether most of these lines are rows of their own, which quotes that are part of texts have joined.

    A line is a row if it has as many cells as the header, and if in a column whose values repeat, as labels do, it has
    one that other lines have, too. Where no values repeat, commas do not tell, since texts are full of them.
    """
    columns = len(dialect.names)
    values: list[Counter[str]] = [Counter() for _ in range(columns)]
    rows, chosen = [], set(numbers)
    with open_text(path, dialect.encoding, newline=None) as text:
        for number, line in enumerate(text):
            cells = line.rstrip("\n").split(dialect.separator)
            if len(cells) == columns > 1:
                if number in chosen:
                    rows.append(cells)
                elif '"' not in line:
                    for counts, cell in zip(values, cells, strict=True):
                        counts[cell[:LONGEST_LABEL]] += 1
    repeated = {column for column, counts in enumerate(values) if 2 * len(counts) < counts.total()}
    if not repeated and dialect.separator == ",":
        return False
    known = sum(
        not repeated or any(cells[column][:LONGEST_LABEL] in values[column] for column in repeated) for cells in rows
    )
    return known > MOST * len(numbers)


def _look_at_lines(path: Path, dialect: Dialect) -> _Lines:
    """Raises `CorpusError` for a NUL, at which readers would end a text."""
    separators, lines, rows, quoted_lines, broken, longer, quotes = len(dialect.names) - 1, 0, 0, 0, 0, False, False
    all_quoted, bare = True, False
    quoted_cell, cell_end = f'{dialect.separator}"', f'"{dialect.separator}'
    with open_text(path, dialect.encoding, newline=None) as text:
        for number, line in enumerate(text):
            if number < dialect.first_lines or line == "\n":
                continue
            encloses = line.startswith('"') and line.rstrip("\n").endswith('"')
            all_quoted = all_quoted and encloses and line.count(f'"{dialect.separator}"') >= separators
            if number == dialect.first_lines and dialect.header:
                continue
            found, has_quote = line.count(dialect.separator), '"' in line
            lines += 1
            rows += found == separators
            longer = longer or found > separators
            if "\0" in line:
                raise CorpusError(f"{path}: line {number + 1:,} holds a NUL character. Export the file again.")
            if has_quote:
                quotes = True
                broken += found != separators
                begins = line.startswith('"') or quoted_cell in line
                bare = bare or not begins
                quoted_lines += begins and (line.rstrip("\n").endswith('"') or cell_end in line)
    return _Lines(lines, rows, longer, quotes, quoted_lines, broken, bare, all_quoted)
