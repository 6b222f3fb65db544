"""Labels files of texts row by row (CSV, TSV, JSON lines, Parquet); other columns are copied unchanged."""

import csv
import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, TextIO, TypeVar, cast

from data.errors import UserError
from data.files import is_gzip, kind_of_file, replacing

if TYPE_CHECKING:
    from models.learners.classifier import TextClassifier

CHUNK = 2_048  # texts at a time: bounds the memory, but allows batches of texts of similar length
SEPARATORS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".json", ".ndjson")
KINDS = (*SEPARATORS, ".parquet", *JSON_LINES)
Item = TypeVar("Item")
Label = Callable[[Sequence[object]], Iterable[tuple[str, float]]]  # a class and its probability for each text


class PredictionError(UserError):
    """Texts cannot be read or labelled as requested. The message is one line: what is wrong, and the way out."""


@dataclass(frozen=True)
class Columns:
    text: str
    label: str
    probability: str

    def check(self, names: Iterable[str]) -> None:
        """Raises `PredictionError` if the text column is missing in a file, or a result column exists."""
        names = list(names)
        if self.text not in names:
            shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise PredictionError(f"column '{self.text}' not found (it has: {shown}). Name it with --text-column.")
        if names.count(self.text) > 1:
            raise PredictionError(f"several columns are called '{self.text}'. Rename all but one of them.")
        self.check_free(names)

    def check_free(self, names: Collection[str]) -> None:
        for column, option in ((self.label, "--label-as"), (self.probability, "--probability-as")):
            if column in names:
                raise PredictionError(f"it has a column '{column}' already. Name another for the result: {option}.")


@dataclass(frozen=True)
class Labelled:
    texts: int
    blank: int  # of them, without a word that the model knows


def label_file(classifier: "TextClassifier", source: Path, target: Path, columns: Columns) -> Labelled:
    """Write the rows of a file with their labels to another file of the same kind, with a progress bar.

    Raises `PredictionError` for a file that cannot be read or written; `target` is then as it was before.
    """
    from pyarrow import ArrowException
    from rich.console import Console
    from rich.progress import Progress

    console, labelled = Console(stderr=True), Labelled(0, 0)
    try:
        with (
            Progress(console=console, transient=True, disable=not console.is_terminal) as bar,
            replacing(target) as temporary,
            source.open("rb") as file,
        ):
            task = bar.add_task("labelling", total=source.stat().st_size)

            def label(values: Sequence[object]) -> Iterator[tuple[str, float]]:
                nonlocal labelled
                predictions = classifier.predict([_text(value) for value in values])
                labelled = Labelled(labelled.texts + len(values), labelled.blank + int(predictions.is_blank.sum()))
                bar.update(task, completed=file.tell())
                return zip(predictions.labels, predictions.probabilities.max(axis=1).tolist(), strict=True)

            if (kind := kind_of_file(source)) == ".parquet":
                _label_parquet(file, temporary, columns, label)
            else:
                with _text_reader(file, source) as lines, _text_writer(temporary, target) as labelled_lines:
                    if kind in JSON_LINES:
                        _label_json_lines(lines, labelled_lines, columns, label)
                    else:
                        _label_csv(lines, labelled_lines, columns, label, SEPARATORS[kind])
    except PredictionError as error:
        raise PredictionError(f"{source}: {error}") from None
    except UnicodeDecodeError:
        raise PredictionError(f"{source} is not UTF-8. Convert it, for example: iconv -f latin1 -t utf-8.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise PredictionError(f"{source} is not a whole gzip file. Compress or copy it again.") from None
    except (ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise PredictionError(f"{source} could not be labelled into {target}: {reason}.") from error
    return labelled


def _label_csv(lines: TextIO, labelled: TextIO, columns: Columns, label: Label, separator: str) -> None:
    """Label the rows of a CSV file, without pandas, which would change other columns and the header."""
    rows = _csv_rows(lines, separator)
    if (header := next(rows, None)) is None:
        raise PredictionError("it is empty; a header is needed.")
    columns.check(header)
    # The writer puts every cell that holds the end of a line into quotes, if its own is the two characters \r\n.
    lines_of_unix = SimpleNamespace(write=lambda row: labelled.write(row.removesuffix("\r\n") + "\n"))
    writer = csv.writer(lines_of_unix, delimiter=separator, lineterminator="\r\n")
    writer.writerow([*header, columns.label, columns.probability])
    text = header.index(columns.text)
    for chunk in in_chunks(rows):
        results = label([cells[text] for cells in chunk])
        writer.writerows([*cells, name, f"{share:.6f}"] for cells, (name, share) in zip(chunk, results, strict=True))


def _csv_rows(lines: TextIO, separator: str) -> Iterator[list[str]]:
    """The header and the rows, each as long as the header; in a file of one column an empty line is an empty cell."""
    csv.field_size_limit(2**31 - 1)  # bytes; the default of 131,072 is shorter than some texts
    reader, columns = csv.reader(lines, delimiter=separator, strict=True), 0
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise PredictionError(
                f"the row that begins in line {line}: {error}. Are its double quotes right?"
            ) from None
        columns = columns or len(cells)
        if len(cells) > columns:
            raise PredictionError(
                f"the row that begins in line {line} has {len(cells)} cells, the header {columns}. "
                "Put texts that hold the separator in double quotes."
            )
        if cells or columns == 1:
            yield cells + [""] * (columns - len(cells))


def _label_json_lines(lines: TextIO, labelled: TextIO, columns: Columns, label: Label) -> None:
    """Append the results to each line as text, so that not even the digits of a number change."""
    for first, chunk in enumerate(in_chunks(_json_rows(lines))):
        if first == 0:  # rows may leave out what they have no value for
            columns.check({name: None for _, row in chunk for name in row})
        results = label([row.get(columns.text) for _, row in chunk])
        for (line, row), (name, share) in zip(chunk, results, strict=True):
            columns.check_free(row)
            added = json.dumps({columns.label: name, columns.probability: round(share, 6)}, ensure_ascii=False)
            labelled.write(f"{line.removesuffix('}').rstrip()}{', ' if row else ''}{added.removeprefix('{')}\n")


def _json_rows(lines: TextIO) -> Iterator[tuple[str, dict[str, object]]]:
    for number, line in enumerate(map(str.strip, lines), start=1):
        if line:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise PredictionError(f"line {number} is not JSON ({error}). Write one object per line.") from None
            if not isinstance(row, dict):
                raise PredictionError(f"line {number} is not a JSON object. Write one object per line.")
            yield line, row


def _label_parquet(file: BinaryIO, temporary: Path, columns: Columns, label: Label) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as rows:
        columns.check(rows.schema_arrow.names)
        added = (pa.field(columns.label, pa.string()), pa.field(columns.probability, pa.float32()))
        schema = rows.schema_arrow.append(added[0]).append(added[1])
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in rows.iter_batches(CHUNK):
                results = list(label(batch.column(columns.text).to_pylist()))
                names, shares = ([result[part] for result in results] for part in (0, 1))
                arrays = [*batch.columns, pa.array(names, pa.string()), pa.array(shares, pa.float32())]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def _text(value: object) -> str | None:
    """A cell as text, read as in training: whole numbers without a decimal point."""
    if isinstance(value, float):
        return None if math.isnan(value) else str(int(value)) if value.is_integer() else str(value)
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    raise PredictionError(f"the text column holds a {type(value).__name__}; it must hold strings or numbers.")


def check_files(source: Path, target: Path, *, force: bool) -> None:
    if not source.is_file():
        raise PredictionError(f"File {source} not found. Check the path given to --input.")
    if kind_of_file(source) not in KINDS or (kind_of_file(source) == ".parquet" and is_gzip(source)):
        raise PredictionError(f"{source} is none of the known kinds of file: {', '.join(KINDS)}, text files also .gz.")
    if kind_of_file(target) != kind_of_file(source) or (kind_of_file(target) == ".parquet" and is_gzip(target)):
        raise PredictionError(f"--output must be of the kind of --input ({kind_of_file(source)}), got {target}.")
    if target.exists() and not force:
        raise PredictionError(f"{target} is there already. Name another --output, or replace it with --force.")


def in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _text_reader(file: BinaryIO, path: Path) -> TextIO:
    stream = gzip.GzipFile(fileobj=file) if is_gzip(path) else file
    return io.TextIOWrapper(cast(BinaryIO, stream), "utf-8-sig", newline="")


def _text_writer(temporary: Path, path: Path) -> TextIO:
    if is_gzip(path):
        return gzip.open(temporary, "wt", encoding="utf-8", newline="")
    return temporary.open("w", encoding="utf-8", newline="")
