"""Reads the rows of JSON files: an object a line, an array of objects, or an object of columns, as pandas has it."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from data.errors import CorpusError

HALF_OF_A_PAIR = re.compile("[\ud800-\udfff]")  # which only an escape can write
ONE_OBJECT = "Write one object per line, or an array of objects."


class JsonRow(NamedTuple):
    values: dict[str, Any]
    written: str  # the object's text


def read_json_rows(path: Path, text: TextIO) -> tuple[bool, Iterator[JsonRow]]:
    """Whether the rows are an array or an object of columns instead of lines, and the rows.

    Raises `CorpusError` that names the line or the entry that is not an object, at once or while the rows are read.
    """
    number, line = next(((number, line) for number, line in enumerate(text, start=1) if line.strip()), (1, ""))
    if not line:
        raise CorpusError(f"{path} is empty; rows are needed.")
    try:
        first = json.loads(line)
        is_document = not isinstance(first, dict) or _is_table(first)
    except (ValueError, RecursionError):
        is_document = True  # perhaps, over several lines
    if not is_document:
        return False, _rows_of_lines(path, [line], text, number)
    rest = text.read()
    try:
        document = json.loads(line + rest)
    except (ValueError, RecursionError):
        return False, _rows_of_lines(path, (line + rest).split("\n"), (), number)
    return True, _rows_of_document(path, document)


def _is_table(value: dict[str, Any]) -> bool:
    """Whether an object holds columns: lists, or objects of cells by row."""
    return bool(value) and all(isinstance(column, dict | list) for column in value.values())


def _rows_of_lines(path: Path, first: list[str], rest: Iterable[str], number: int) -> Iterator[JsonRow]:
    for later, line in enumerate(map(str.strip, chain(first, rest)), start=number):
        if not line:
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise CorpusError(f"{path}: line {later:,} is not JSON ({reason}). {ONE_OBJECT}") from None
        if not isinstance(row, dict):
            raise CorpusError(f"{path}: line {later:,} is not a JSON object. {ONE_OBJECT}")
        yield JsonRow(row, line)


def _rows_of_document(path: Path, document: Any) -> Iterator[JsonRow]:
    if isinstance(document, dict) and _is_table(document):
        columns = {
            name: cells if isinstance(cells, dict) else dict(enumerate(cells)) for name, cells in document.items()
        }
        rows = next(iter(columns.values())).keys()
        if any(cells.keys() != rows for cells in columns.values()):
            raise CorpusError(f"{path} is an object of columns of several lengths. {ONE_OBJECT}")
        document = [{name: cells[row] for name, cells in columns.items()} for row in rows]
    for number, row in enumerate(document if isinstance(document, list) else [document], start=1):
        if not isinstance(row, dict):
            raise CorpusError(f"{path}: entry {number:,} of its array is not an object. {ONE_OBJECT}")
        written = json.dumps(row, ensure_ascii=False)
        has_half = bool(HALF_OF_A_PAIR.search(written))
        yield JsonRow(row, json.dumps(row) if has_half else written)
