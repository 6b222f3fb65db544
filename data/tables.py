"""Reads tables of every known kind: delimited text, JSON, Parquet, Feather, spreadsheets, and folders of text files.

The first bytes tell the kind, the suffix only what they leave open. Columns come as strings; no row is left out.
"""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet

from data.compression import compression_of, is_spreadsheet, open_bytes, without_compression_suffix
from data.delimited import read_delimited
from data.dialect import Reading, normalised
from data.encodings import find_encoding, undecodable
from data.errors import CorpusError, listed, quoted
from data.json_rows import read_json_rows

Kind = Literal["delimited", "json", "parquet", "feather", "spreadsheet", "folder"]
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
FIRST_BYTES: dict[bytes, Kind] = {
    b"PAR1": "parquet",
    b"ARROW1": "feather",
    b"\xd0\xcf\x11\xe0": "spreadsheet",  # old Excel
}
FOLDER_COLUMNS = ("label", "text")
LONGEST_COLUMN_NAME, MOST_WORDS = 60, 5  # characters and words: a longer cell of a header is rather a text


@dataclass(frozen=True)
class Table:
    """Columns of a file as `large_string` arrays, null where a cell is empty."""

    columns: dict[str, pa.Array]
    description: str  # how it was read

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read_table(path: Path, wanted: Mapping[str, str], reading: Reading) -> Table:
    """The `wanted` columns of a file, which map to the options that name them.

    Of a folder, whose subfolders are labels, they are `FOLDER_COLUMNS`. Raises `CorpusError` for a file that cannot be
    read or lacks a column.
    """
    try:
        return _READERS[kind_of_table(path)](path, wanted, reading)
    except UnicodeError:
        raise CorpusError(undecodable(path, find_encoding(path, reading.encoding))) from None
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise CorpusError(f"{path} cannot be read: {reason}. Save it again.") from None


def kind_of_table(path: Path) -> Kind:
    """How a file must be read. Raises `OSError`, and `CorpusError` for a broken compressed file."""
    if path.is_dir():
        return "folder"
    if is_spreadsheet(path):
        return "spreadsheet"
    with open_bytes(path) as file:
        start = file.read(1 << 12)
    kinds = (kind for first, kind in FIRST_BYTES.items() if start.startswith(first))
    return next(kinds, None) or ("json" if _looks_like_json(path) else "delimited")


def _looks_like_json(path: Path) -> bool:
    """Whether a text begins like an object or an array of objects; one called .json may be broken."""
    with open_bytes(path) as file:
        start = file.read(1 << 12).decode(find_encoding(path), "replace").lstrip("\ufeff \t\r\n")
    if start[:1] not in ("{", "["):
        return start == "" and without_compression_suffix(path).suffix.lower() in JSON_SUFFIXES
    if without_compression_suffix(path).suffix.lower() in JSON_SUFFIXES:
        return True
    return re.match(r'\[?\s*\{\s*"(?:[^"\\]|\\.)*"\s*:', start) is not None


def check_columns(path: Path, names: Iterable[object], wanted: Mapping[str, str], *, has_header: bool = True) -> None:
    """Raises `CorpusError` unless there is exactly one column of each wanted name."""
    known = [normalised(str(name)) for name in names]
    for column, option in wanted.items():
        if (count := known.count(normalised(column))) == 1:
            continue
        if count:
            raise CorpusError(f"{path} has {count} columns called {quoted(column)}. Rename all but one of them.")
        way_out = f"Name it with {option}."
        if has_header and any(len(name) > LONGEST_COLUMN_NAME or len(name.split()) > MOST_WORDS for name in known):
            way_out = f"It seems to have no header: add --no-header, and name columns by number, as {option} 1."
        has = f"it has: {listed(known)}" if known else "it has no columns"
        raise CorpusError(f"Column {quoted(column)} not found in {path} ({has}). {way_out}")


def strings(path: Path, column: str, values: Any) -> pa.Array:
    """Values as `large_string`: whole numbers without a decimal point, missing ones as null.

    Raises `CorpusError` for a value that is neither a string nor a number.
    """
    try:
        if isinstance(values, pa.Array | pa.ChunkedArray):
            array = values
        else:
            array = pa.Array.from_pandas(values) if isinstance(values, pd.Series) else pa.array(values)
    except (
        pa.ArrowException,
        TypeError,
        OverflowError,
        UnicodeEncodeError,
    ):  # several types, large numbers, half emoji
        texts = [_string(path, column, row, value) for row, value in enumerate(values, start=1)]
        return pa.array(texts, pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = (array.cast(pa.large_string()) if pa.types.is_string(array.type) else array).combine_chunks()
    try:
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_nan(array), None, array)
            if pc.all(pc.equal(pc.floor(array), array)).as_py():
                array = array.cast(pa.int64())
        return array.cast(pa.large_string())
    except pa.ArrowException:
        raise CorpusError(
            f"Column {quoted(column)} of {path} holds {array.type}; it must hold strings or numbers."
        ) from None


def _string(path: Path, column: str, row: int, value: Any) -> str | None:
    if value is None or value != value:
        return None
    if not isinstance(value, str | int | float):
        raise CorpusError(
            f"Column {quoted(column)} of {path} holds a {type(value).__name__} in row {row:,}; "
            "it must hold strings or numbers."
        )
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return text.encode("utf-8", "replace").decode()


def _read_delimited(path: Path, wanted: Mapping[str, str], reading: Reading) -> Table:
    dialect, frame = read_delimited(path, [normalised(column) for column in wanted], reading)
    check_columns(path, dialect.columns, wanted, has_header=dialect.header)
    columns = {column: strings(path, column, frame[normalised(column)]) for column in wanted}
    return Table(columns, str(dialect))


def _read_json(path: Path, wanted: Mapping[str, str], reading: Reading) -> Table:
    keys = {normalised(column): column for column in wanted}
    values: dict[str, list[Any]] = {column: [] for column in keys}
    names: dict[str, str] = {}  # as they are written, normalised
    with open_bytes(path) as file:
        text = io.TextIOWrapper(file, find_encoding(path, reading.encoding))
        for row, _ in read_json_rows(path, text)[1]:
            for name in row:
                if name not in names:
                    names[name] = normalised(name)
            found = {names[name]: value for name, value in row.items() if names[name] in keys}
            for column, cells in values.items():
                cells.append(found.get(column))
    check_columns(path, names, wanted)
    return Table({column: strings(path, column, values[key]) for key, column in keys.items()}, "JSON")


def _read_parquet(path: Path, wanted: Mapping[str, str], _: Reading) -> Table:
    with open_bytes(path) as file:
        source = io.BytesIO(file.read()) if compression_of(path) else path
    names = pa.parquet.read_schema(source).names
    return _from_arrow(path, names, wanted, lambda chosen: pa.parquet.read_table(source, columns=chosen), "Parquet")


def _read_feather(path: Path, wanted: Mapping[str, str], _: Reading) -> Table:
    with open_bytes(path) as file:
        table = pa.feather.read_table(io.BytesIO(file.read()) if compression_of(path) else path)
    return _from_arrow(path, table.column_names, wanted, table.select, "Feather")


def _from_arrow(
    path: Path,
    names: Sequence[str],
    wanted: Mapping[str, str],
    read: Callable[[list[str]], pa.Table],
    description: str,
) -> Table:
    check_columns(path, names, wanted)
    positions = [normalised(name) for name in names]
    chosen = {column: names[positions.index(normalised(column))] for column in wanted}
    table = read(list(dict.fromkeys(chosen.values())))
    return Table({column: strings(path, column, table[name]) for column, name in chosen.items()}, description)


def _read_spreadsheet(path: Path, wanted: Mapping[str, str], reading: Reading) -> Table:
    try:
        with pd.ExcelFile(path, engine="calamine") as file:
            sheets = [str(sheet) for sheet in file.sheet_names]
            frame = pd.read_excel(file, header=None, dtype=object, keep_default_na=False, na_values=[""])
    except ImportError:
        raise CorpusError(
            f"{path} is a spreadsheet: pip install -c constraints.txt -e '.[excel]' reads it, or save it as CSV."
        ) from None
    except Exception as error:  # calamine's own classes have no common base
        raise CorpusError(f"{path} is no spreadsheet that can be read ({error}). Save it as CSV.") from None
    names = [str(number) for number in range(1, len(frame.columns) + 1)]
    if reading.header and len(frame):
        names = ["" if name is None or name != name else str(name) for name in frame.iloc[0]]
        frame = frame.iloc[1:]
    frame.columns = names
    sheet = f"sheet {quoted(sheets[0])}" + (f" of {len(sheets)}" if len(sheets) > 1 else "")
    check_columns(path, frame.columns, wanted, has_header=reading.header)
    frame.columns = list(map(normalised, frame.columns))
    columns = {}
    for column in wanted:
        values = [None if value is None or value != value else value for value in frame[normalised(column)]]
        columns[column] = strings(path, column, values)
    return Table(columns, f"spreadsheet, {sheet}")


def _read_folder(path: Path, wanted: Mapping[str, str], reading: Reading) -> Table:
    """A text a file, in subfolders that are called like their labels, as scikit-learn's `load_files` reads them."""
    labels, texts = [], []
    for file in files_of(path):
        encoding = find_encoding(file, reading.encoding)
        try:
            texts.append(file.read_text(encoding))
        except UnicodeError:
            raise CorpusError(undecodable(file, encoding)) from None
        labels.append(file.parent.name)
    check_columns(path, FOLDER_COLUMNS, wanted)
    values = dict(zip(FOLDER_COLUMNS, (labels, texts), strict=True))
    return Table({column: pa.array(values[column], pa.large_string()) for column in wanted}, "a text a file")


def files_of(folder: Path) -> list[Path]:
    """The files in the subfolders of a folder, without hidden ones."""
    return sorted(path for path in folder.glob("[!.]*/[!.]*") if path.is_file())


_READERS: dict[Kind, Callable[[Path, Mapping[str, str], Reading], Table]] = {
    "delimited": _read_delimited,
    "json": _read_json,
    "parquet": _read_parquet,
    "feather": _read_feather,
    "spreadsheet": _read_spreadsheet,
    "folder": _read_folder,
}
