"""Labelled texts, read from a user's file and checked.

An unusable file raises `CorpusError`, with one line; lesser problems are returned as notes.
"""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.errors import CorpusError
from data.files import is_gzip, kind_of_file, open_bytes

MINIMUM_ROWS = 20


@dataclass(frozen=True)
class LabelledTexts:
    """Row `i` is the text `texts[i]` with the label `labels[i]`; both are Arrow arrays of `large_string`."""

    texts: pa.Array
    labels: pa.Array

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"Texts and labels must pair up, got {len(self.texts)} and {len(self.labels)}.")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.intp]) -> "LabelledTexts":
        return LabelledTexts(self.texts.take(pa.array(rows)), self.labels.take(pa.array(rows)))


def read_corpus(path: Path, *, label_column: str, text_column: str) -> tuple[LabelledTexts, tuple[str, ...]]:
    """Read and check a CSV, TSV, Parquet or JSON-lines file (`.gz` too); returns the texts and notes on problems.

    Raises `CorpusError` for a file that cannot be read or cannot be classified.
    """
    if label_column == text_column:
        raise CorpusError(f"--label-column and --text-column both name '{text_column}'; they must differ.")
    frame = _read_frame(path, [label_column, text_column])
    for column, option in ((label_column, "--label-column"), (text_column, "--text-column")):
        if column not in frame.columns:
            raise CorpusError(f"Column '{column}' not found in {path} ({_columns(frame)}). Name it with {option}.")
    labels, texts = _strings(frame[label_column], path), _strings(frame[text_column], path)
    filled = pc.and_(_is_filled(labels), _is_filled(texts))
    corpus = LabelledTexts(texts.filter(filled), pc.utf8_trim_whitespace(labels.filter(filled)))

    notes = []
    if dropped := len(filled) - len(corpus):
        notes.append(f"{dropped:,} of {len(filled):,} rows dropped: their text or their label is empty.")
    if len(corpus) < MINIMUM_ROWS:
        raise CorpusError(
            f"{path} has {len(corpus)} usable rows of {len(filled)}; at least {MINIMUM_ROWS} with a text and a label "
            "are needed."
        )
    if len(classes := corpus.labels.unique()) < 2:
        raise CorpusError(
            f"All {len(corpus):,} rows of {path} have the same label '{classes[0]}'; there is nothing to classify. "
            "Is --label-column right?"
        )
    if conflicting := count_texts_with_several_labels(corpus):
        notes.append(f"{conflicting:,} distinct texts stand under more than one label; no classifier gets all right.")
    return corpus, tuple(notes)


def text_keys(texts: pa.Array) -> pa.Array:
    """The key of each text: texts that differ only in case or white space have the same one, and count as the same."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), pattern=r"\s+", replacement=" "))


def numbered(values: pa.Array) -> npt.NDArray[np.int64]:
    """Number the distinct values in order of first appearance: equal values have equal numbers."""
    return np.asarray(values.dictionary_encode().indices.to_numpy(), np.int64)


def count_texts_with_several_labels(corpus: LabelledTexts) -> int:
    texts, labels = numbered(text_keys(corpus.texts)), numbered(corpus.labels)
    pairs = np.unique(texts * (labels.max() + 1) + labels)
    return int((np.bincount(pairs // (labels.max() + 1)) > 1).sum())


def _read_frame(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a file by its suffix, and turn every reader's errors into one line that names the place."""
    reader = READERS.get(kind_of_file(path))
    if reader is None or (reader is _read_parquet and is_gzip(path)):
        raise CorpusError(f"{path} is none of the known kinds of file: {', '.join(READERS)}, text files also as .gz.")
    try:
        return reader(path, columns)
    except UnicodeDecodeError:
        raise CorpusError(_undecodable(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise CorpusError(f"{path} is not a whole gzip file. Compress or copy it again.") from error
    except pd.errors.EmptyDataError:
        raise CorpusError(f"{path} is empty; a header and at least {MINIMUM_ROWS} rows are needed.") from None
    except pd.errors.ParserError as error:
        raise CorpusError(f"{path}: {_parser_message(str(error))}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise CorpusError(
            f"{path} cannot be read: {' '.join(str(error).split()).rstrip('.')}. Save it again."
        ) from None


def _read_csv(path: Path, columns: list[str], separator: str = ",") -> pd.DataFrame:
    del columns  # all are read: with `usecols`, pandas would accept rows with too many cells
    frame = pd.read_csv(path, sep=separator, dtype="str", keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    if not isinstance(frame.index, pd.RangeIndex):
        # If the first row is too long, pandas uses its first cells as an index and shifts the columns.
        cells = len(frame.columns) + frame.index.nlevels
        raise CorpusError(f"{path}: line 2 has {cells} cells, the header {len(frame.columns)}. {QUOTE_HINT}")
    return frame


def _read_tsv(path: Path, columns: list[str]) -> pd.DataFrame:
    return _read_csv(path, columns, separator="\t")


def _read_parquet(path: Path, columns: list[str]) -> pd.DataFrame:
    present = pq.read_schema(path).names
    wanted = [column for column in columns if column in present]
    if len(wanted) < len(set(columns)):
        return pd.DataFrame(columns=present)
    return pd.read_parquet(path, columns=wanted, dtype_backend="pyarrow")


def _read_json_lines(path: Path, columns: list[str]) -> pd.DataFrame:
    del columns
    try:
        return pd.read_json(path, lines=True, dtype=False, dtype_backend="pyarrow", encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        raise CorpusError(f"{path}: {_broken_json_line(path) or error}") from None


READERS: dict[str, Callable[[Path, list[str]], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json_lines,
    ".json": _read_json_lines,
    ".ndjson": _read_json_lines,
}
QUOTE_HINT = "Put texts that hold the separator in double quotes."


def _undecodable(path: Path) -> str:
    """Find the first bytes that are not UTF-8; the readers report only an offset in their buffer."""
    with open_bytes(path) as file:
        offset = 0
        for line_number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"{path} is not UTF-8: line {line_number}, byte offset {offset + error.start} "
                    f"(0x{line[error.start]:02x}). Convert it, for example: iconv -f latin1 -t utf-8."
                )
            offset += len(line)
    return f"{path} is not UTF-8. Convert it, for example: iconv -f latin1 -t utf-8."


def _parser_message(message: str) -> str:
    if too_many := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message):
        expected, line, seen = too_many.groups()
        return f"line {line} has {seen} cells, the rows before it {expected}. {QUOTE_HINT}"
    if unclosed := re.search(r"EOF inside string starting at row (\d+)", message):
        return f"a double quote opened in row {int(unclosed[1]) + 1} (the header is row 1) is never closed."
    return " ".join(message.split())


def _broken_json_line(path: Path) -> str | None:
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line.decode("utf-8-sig")) if line.strip() else {}
            except ValueError as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                return f"line {number} is not JSON ({reason}). Write one object per line."
            if not isinstance(row, dict):
                return f"line {number} is not a JSON object. Write one object per line."
    return None


def _strings(column: pd.Series, path: Path) -> pa.Array:
    """A column as `large_string`; whole numbers without a decimal point, missing values as null."""
    if column.dtype == object:  # of mixed types, as in JSON
        for row, value in enumerate(column, start=1):
            if not isinstance(value, str | int | float | None):
                raise CorpusError(
                    f"Column '{column.name}' of {path} holds a {type(value).__name__} in row {row}; "
                    "it must hold strings or numbers."
                )
        column = column.map(str, na_action="ignore")
    values = pa.Array.from_pandas(column)
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    try:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
            if pc.all(pc.equal(pc.floor(values), values)).as_py():
                values = values.cast(pa.int64())
        return values.cast(pa.large_string())
    except pa.ArrowException:
        raise CorpusError(
            f"Column '{column.name}' of {path} holds {values.type}; it must hold strings or numbers."
        ) from None


def _columns(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    if len(names) == 1 and ";" in names[0]:
        return "its only column is '" + names[0] + "': it seems to be separated by semicolons, save it with commas"
    return "it has: " + (", ".join(names[:10]) + (", ..." if len(names) > 10 else "") or "no columns")


def _is_filled(values: pa.Array) -> pa.Array:
    return pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(values), ""), False)
