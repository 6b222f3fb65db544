"""Labels the rows of a file in its own format; other columns are copied unchanged.

Slow imports are local, so that `--help` of the command answers at once.
"""

import bz2
import codecs
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO, cast

from study.prediction.columns import CHUNK, Columns, Label, PredictionError, in_chunks

if TYPE_CHECKING:
    from data.dialect import Reading
    from data.json_rows import JsonRow

WRITERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
LINES_SUFFIXES = (".jsonl", ".ndjson")


def label_delimited(
    source: Path, target: Path, temporary: Path, columns: Columns, label: Label, reading: "Reading"
) -> str:
    """Label the rows in the dialect of the source: its separator, encoding, mark, line ends and quotes."""
    from data.delimited import find_dialect, read_chunks
    from data.dialect import ONLY_COLUMN, normalised
    from data.tables import check_columns

    dialect = find_dialect(source, [normalised(columns.text)], reading)
    check_columns(source, dialect.columns, {columns.text: "--text-column"}, has_header=dialect.header)
    columns.check_free(source, dialect.columns)
    text = dialect.columns.index(normalised(columns.text))
    is_column = dialect.separator == ONLY_COLUMN  # which becomes one of several
    separator, quotes = ("," if is_column else dialect.separator), dialect.quotes or is_column
    with _text_writer(source, temporary, target, dialect.encoding) as file:
        # The writer puts every cell that holds the end of a line into quotes, if its own is the two characters \r\n.
        lines = SimpleNamespace(write=lambda row: file.write(row.removesuffix("\r\n") + dialect.line_end))
        writer = csv.writer(
            lines,
            delimiter=separator,
            lineterminator="\r\n",
            quoting=(csv.QUOTE_ALL if dialect.all_quoted else csv.QUOTE_MINIMAL) if quotes else csv.QUOTE_NONE,
            quotechar='"' if quotes else None,
            escapechar="\\" if dialect.backslashes else None,
            doublequote=not dialect.backslashes,
        )
        if dialect.separator_line:
            file.write(f"sep={separator}{dialect.line_end}")
        if dialect.header:
            writer.writerow([*dialect.names, *columns.added])
        for chunk in read_chunks(source, dialect, CHUNK):
            rows = chunk.astype(object).where(chunk.notna(), "").to_numpy()
            texts = rows[:, text].tolist()
            for cells, result in zip(rows, label(texts), strict=True):
                added = [cell for name, share in columns.cells(result) for cell in (name or "", f"{share:.6f}")]
                added = added if quotes else [" ".join(cell.split()) for cell in added]
                writer.writerow([*cells, *added])
    return str(dialect)


def label_json(source: Path, target: Path, temporary: Path, columns: Columns, label: Label, reading: "Reading") -> str:
    """Label the rows of JSON lines, whose text stays to the digits of a number, or of an array."""
    from data.encodings import find_encoding, undecodable

    encoding = find_encoding(source, reading.encoding)
    try:
        with _opened_rows(source, encoding) as (is_array, rows):
            _check_column(source, rows, columns)
        if is_array and target.suffix.lower() in LINES_SUFFIXES:
            raise PredictionError(f"{source} is an array of objects, not lines of them: name --output out.json.")
        with (
            _opened_rows(source, encoding) as (_, rows),
            _text_writer(source, temporary, target, encoding) as labelled,
        ):
            end = _line_end(source, encoding)
            separator, written = f",{end}" if is_array else end, 0
            labelled.write(f"[{end}" if is_array else "")
            for chunk in in_chunks(rows):
                for row, result in zip(chunk, label([_cell(row.values, columns.text) for row in chunk]), strict=True):
                    columns.check_free(source, row.values)
                    pairs = columns.cells(result)
                    cells = [cell for name, share in pairs for cell in (name, round(share, 6))]
                    added = json.dumps(dict(zip(columns.added, cells, strict=True)), ensure_ascii=False)
                    kept = row.written.removesuffix("}").rstrip()
                    comma = ", " if row.values else ""
                    labelled.write(f"{separator if written else ''}{kept}{comma}{added.removeprefix('{')}")
                    written += 1
            labelled.write(f"{end}]{end}" if is_array else end)
    except UnicodeError:
        raise PredictionError(undecodable(source, encoding)) from None
    return "an array of JSON" if is_array else "JSON lines"


@contextmanager
def _opened_rows(source: Path, encoding: str) -> Iterator[tuple[bool, "Iterator[JsonRow]"]]:
    from data.dialect import open_text
    from data.json_rows import read_json_rows

    with open_text(source, encoding, newline=None) as text:
        yield read_json_rows(source, text)


def _check_column(source: Path, rows: "Iterator[JsonRow]", columns: Columns) -> None:
    """Read rows until one has the text, since rows may leave out what they have no value for. Raises `CorpusError`."""
    from data.dialect import normalised
    from data.tables import check_columns

    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row.values)
        if normalised(columns.text) in map(normalised, row.values):
            break
    check_columns(source, names, {columns.text: "--text-column"})


def _line_end(source: Path, encoding: str) -> str:
    from data.dialect import open_text

    with open_text(source, encoding) as text:
        return "\r\n" if text.readline().endswith("\r\n") else "\n"


def _cell(row: dict[str, object], column: str) -> object:
    """The value of a column, whose name may be written with blanks."""
    from data.dialect import normalised

    if column in row:
        return row[column]
    return next((value for name, value in row.items() if normalised(name) == normalised(column)), None)


def label_parquet(source: Path, temporary: Path, columns: Columns, label: Label) -> str:
    """Label the rows of a Parquet file, which keeps its types and its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from data.compression import compression_of, open_bytes
    from data.dialect import normalised
    from data.tables import check_columns

    with open_bytes(source) as file:
        content = io.BytesIO(file.read()) if compression_of(source) else source
    with pq.ParquetFile(content) as rows:
        names = rows.schema_arrow.names
        check_columns(source, names, {columns.text: "--text-column"})
        columns.check_free(source, names)
        text = list(map(normalised, names)).index(normalised(columns.text))
        kinds = [pa.string(), pa.float32()] * columns.top
        fields = [pa.field(name, kind) for name, kind in zip(columns.added, kinds, strict=True)]
        schema = pa.schema([*rows.schema_arrow, *fields], rows.schema_arrow.metadata)
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in rows.iter_batches(CHUNK):
                results = [columns.cells(result) for result in label(batch.column(text))]
                added = [
                    pa.array([result[number // 2][number % 2] for result in results], kind)
                    for number, kind in enumerate(kinds)
                ]
                writer.write_batch(pa.RecordBatch.from_arrays([*batch.columns, *added], schema=schema))
    return "Parquet"


@contextmanager
def _text_writer(source: Path, temporary: Path, target: Path, encoding: str) -> Iterator[TextIO]:
    """A text file in the encoding of the source, with its byte order mark."""
    from data.compression import open_bytes

    with open_bytes(source) as file:
        start = file.read(4)
    is_big_endian = start.startswith({"utf-16": codecs.BOM_UTF16_BE, "utf-32": codecs.BOM_UTF32_BE}.get(encoding, b"-"))
    opener = WRITERS.get(target.suffix.lower(), open)
    encoding, mark = (f"{encoding}-be", "\ufeff") if is_big_endian else (encoding, "")
    with cast(TextIO, opener(temporary, "wt", encoding=encoding, newline="")) as file:
        file.write(mark)
        yield file
