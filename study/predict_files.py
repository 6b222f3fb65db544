"""Labels files of texts row by row (delimited text, JSON, Parquet); other columns are copied unchanged."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from data.errors import UserError
from data.files import replacing

if TYPE_CHECKING:
    from data.delimited import Reading
    from models.learners.classifier import TextClassifier

CHUNK = 2_048  # texts at a time: bounds the memory, but allows batches of texts of similar length
KINDS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".ndjson": "json"}  # others: delimited
WRITERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
Item = TypeVar("Item")
Result = list[tuple[str, float]]  # the likeliest labels of a text with their probabilities
Label = Callable[[Sequence[object]], list[Result]]


class PredictionError(UserError):
    """Texts cannot be read or labelled as requested. The message is one line: what is wrong, and the way out."""


@dataclass(frozen=True)
class Columns:
    text: str
    label: str  # this and the next: for the likeliest label; for the second one, with `_2` behind, and so on
    probability: str
    top: int = 1  # labels per text
    threshold: float = 0.0  # a label with a lower probability is left out

    @property
    def added(self) -> list[str]:
        names = []
        for rank in range(1, self.top + 1):
            ending = f"_{rank}" if rank > 1 else ""
            names += [f"{self.label}{ending}", f"{self.probability}{ending}"]
        return names

    def check_free(self, path: Path, names: Collection[str]) -> None:
        """Raises `PredictionError` if a column that is to be added is there."""
        for number, column in enumerate(self.added):
            if column in names:
                option = "--probability-as" if number % 2 else "--label-as"
                raise PredictionError(
                    f"{path}: it has a column '{column}' already. Name another for the result: {option}."
                )

    def cells(self, result: Result) -> list[tuple[str | None, float]]:
        """The added cells of a text, in pairs; a label below the threshold is None."""
        return [(name if share >= self.threshold else None, share) for name, share in result]


@dataclass(frozen=True)
class Labelled:
    texts: int
    blank: int  # of them, without a word that the model knows
    below: int  # of them, without a label, since its probability is below the threshold


def label_file(
    classifier: "TextClassifier", source: Path, target: Path, columns: Columns, reading: "Reading"
) -> Labelled:
    """Write the rows of a file with their labels to another file of the same kind, with a progress display.

    Raises `UserError` for a file that cannot be read or written; `target` is then as it was before.
    """
    from pyarrow import ArrowException
    from rich.console import Console
    from rich.progress import Progress, TextColumn

    from data.encodings import find_encoding
    from data.tables import kind_of_table, strings

    console, labelled = Console(stderr=True), Labelled(0, 0, 0)
    try:
        kind = kind_of_table(source)
        _check_kinds(kind, source, target)
        with (
            Progress(
                TextColumn("labelled: {task.completed:,}"),
                console=console,
                transient=True,
                disable=not console.is_terminal,
            ) as progress,
            replacing(target) as temporary,
        ):
            task = progress.add_task("", total=None)
            if kind != "parquet":
                _check_encodable(classifier, reading.encoding or find_encoding(source))

            def label(values: Sequence[object]) -> list[Result]:
                nonlocal labelled
                predictions = classifier.predictions(strings(source, columns.text, values))
                results = predictions.top(classifier.classes, columns.top)
                labelled = Labelled(
                    labelled.texts + len(values),
                    labelled.blank + int(predictions.is_blank.sum()),
                    labelled.below + sum(result[0][1] < columns.threshold for result in results),
                )
                progress.update(task, completed=labelled.texts)
                return results

            if kind == "parquet":
                _label_parquet(source, temporary, columns, label)
            elif kind == "json":
                _label_json(source, target, temporary, columns, label, reading)
            else:
                _label_delimited(source, target, temporary, columns, label, reading)
    except (ArrowException, OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise PredictionError(f"{source} could not be labelled into {target}: {reason}.") from error
    return labelled


def _label_delimited(
    source: Path, target: Path, temporary: Path, columns: Columns, label: Label, reading: "Reading"
) -> None:
    """Label the rows in the dialect of the source: its separator, encoding, mark, line ends and quotes."""
    from data.delimited import find_dialect, normalised, read_chunks
    from data.tables import check_columns

    dialect = find_dialect(source, [normalised(columns.text)], reading)
    check_columns(source, dialect.columns, {columns.text: "--text-column"}, has_header=dialect.header)
    columns.check_free(source, dialect.columns)
    text = dialect.columns.index(normalised(columns.text))
    with _text_writer(temporary, target, dialect.encoding) as file:
        # The writer puts every cell that holds the end of a line into quotes, if its own is the two characters \r\n.
        lines = SimpleNamespace(write=lambda row: file.write(row.removesuffix("\r\n") + dialect.line_end))
        writer = csv.writer(
            lines,
            delimiter=dialect.separator,
            lineterminator="\r\n",
            quoting=csv.QUOTE_MINIMAL if dialect.quotes else csv.QUOTE_NONE,
            quotechar='"' if dialect.quotes else None,
            escapechar="\\" if dialect.backslashes else None,
            doublequote=not dialect.backslashes,
        )
        if dialect.first_lines:
            file.write(f"sep={dialect.separator}{dialect.line_end}")
        if dialect.header:
            writer.writerow([*dialect.names, *columns.added])
        for chunk in read_chunks(source, dialect, CHUNK):
            rows = chunk.astype(object).where(chunk.notna(), "").to_numpy()
            texts = rows[:, text].tolist()
            for cells, result in zip(rows, label(texts), strict=True):
                added = [cell for name, share in columns.cells(result) for cell in (name or "", f"{share:.6f}")]
                added = added if dialect.quotes else [" ".join(cell.split()) for cell in added]
                writer.writerow([*cells, *added])


def _label_json(
    source: Path, target: Path, temporary: Path, columns: Columns, label: Label, reading: "Reading"
) -> None:
    """Label the rows of JSON lines, whose text stays to the digits of a number, or of an array."""
    from data.compression import open_bytes
    from data.encodings import find_encoding, undecodable
    from data.json_rows import read_json_rows
    from data.tables import check_columns

    encoding = reading.encoding or find_encoding(source)
    try:
        with (
            open_bytes(source) as file,
            io.TextIOWrapper(file, encoding) as text,
            _text_writer(temporary, target, encoding) as labelled,
        ):
            is_array, rows = read_json_rows(source, text)
            separator, written = ",\n" if is_array else "\n", 0
            labelled.write("[\n" if is_array else "")
            for chunk in in_chunks(rows):
                if written == 0:  # rows may leave out what they have no value for
                    names = dict.fromkeys(name for row in chunk for name in row.values)
                    check_columns(source, names, {columns.text: "--text-column"})
                for row, result in zip(chunk, label([_cell(row.values, columns.text) for row in chunk]), strict=True):
                    columns.check_free(source, row.values)
                    pairs = columns.cells(result)
                    cells = [cell for name, share in pairs for cell in (name, round(share, 6))]
                    added = json.dumps(dict(zip(columns.added, cells, strict=True)), ensure_ascii=False)
                    kept = row.written.removesuffix("}").rstrip()
                    comma = ", " if row.values else ""
                    labelled.write(f"{separator if written else ''}{kept}{comma}{added.removeprefix('{')}")
                    written += 1
            labelled.write("\n]\n" if is_array else "\n")
    except UnicodeError:
        raise PredictionError(undecodable(source, encoding)) from None


def _cell(row: dict[str, object], column: str) -> object:
    """The value of a column, whose name may be written with blanks."""
    from data.delimited import normalised

    if column in row:
        return row[column]
    return next((value for name, value in row.items() if normalised(name) == normalised(column)), None)


def _label_parquet(source: Path, temporary: Path, columns: Columns, label: Label) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from data.delimited import normalised
    from data.tables import check_columns

    with pq.ParquetFile(source) as rows:
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


def _check_encodable(classifier: "TextClassifier", encoding: str) -> None:
    """Raises `PredictionError` for a label that cannot be written in the encoding of the input."""
    for name in classifier.classes:
        try:
            name.encode(encoding)
        except UnicodeEncodeError:
            raise PredictionError(
                f"The label '{name}' cannot be written in {encoding}, the encoding of --input: convert that to UTF-8."
            ) from None


def check_files(source: Path, target: Path, *, force: bool) -> None:
    if not source.is_file():
        raise PredictionError(f"File {source} not found. Check the path given to --input.")
    if target.exists() and not force:
        raise PredictionError(f"{target} is there already. Name another --output, or replace it with --force.")


def _check_kinds(kind: str, source: Path, target: Path) -> None:
    if kind not in ("delimited", "json", "parquet"):
        raise PredictionError(f"{source} is a {kind}, which is not written. Save it as CSV, Parquet or JSON lines.")
    from data.compression import SUFFIXES, without_compression_suffix

    compression = target.suffix.lower() if target.suffix.lower() in SUFFIXES else ""
    wanted = KINDS.get(without_compression_suffix(target).suffix.lower(), "delimited")
    if wanted != kind or (kind == "parquet" and compression):
        title = {"delimited": "text, as .csv", "json": ".jsonl", "parquet": ".parquet"}[kind]
        raise PredictionError(f"--output must be of the kind of --input ({title}), got {target}.")
    if compression and compression not in WRITERS:
        raise PredictionError(f"--output can be compressed as {', '.join(WRITERS)}, got {target}.")


def in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _text_writer(temporary: Path, target: Path, encoding: str) -> TextIO:
    opener = WRITERS.get(target.suffix.lower(), open)
    return cast(TextIO, opener(temporary, "wt", encoding=encoding, newline=""))
