"""Labels a file of texts row by row: delimited text, JSON, or Parquet.

Slow imports are local, so that `--help` of the command answers at once.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from data.files import replacing
from study.prediction.columns import Columns, PredictionError, Result
from study.prediction.formats import WRITERS, label_delimited, label_json, label_parquet

if TYPE_CHECKING:
    from data.dialect import Reading
    from models.learners.classifier import TextClassifier

KINDS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".ndjson": "json"}  # others: delimited
NOT_WRITTEN = (".feather", ".arrow", ".xlsx", ".xlsm", ".xls", ".ods")


@dataclass
class Labelled:
    """How many texts have been labelled so far."""

    texts: int = 0
    blank: int = 0  # of them, without a word that the model knows
    below: int = 0  # of them, without a label, since its probability is below the threshold
    reading: str = ""  # how the file was read


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
    from data.tables import kind_of_table

    console, labelled = Console(stderr=True), Labelled()
    shown = TextColumn("labelled: {task.completed:,}")
    try:
        kind = kind_of_table(source)
        _check_kinds(kind, source, target)
        if kind != "parquet":
            _check_encodable([*classifier.classes, *columns.added], find_encoding(source, reading.encoding))
        with (
            Progress(shown, console=console, transient=True, disable=not console.is_terminal) as progress,
            replacing(target) as temporary,
        ):
            on_labelled = partial(progress.update, progress.add_task("", total=None))
            label = partial(_label, classifier, source, columns, labelled, on_labelled)
            if kind == "parquet":
                labelled.reading = label_parquet(source, temporary, columns, label)
            elif kind == "json":
                labelled.reading = label_json(source, target, temporary, columns, label, reading)
            else:
                labelled.reading = label_delimited(source, target, temporary, columns, label, reading)
    except (ArrowException, OSError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise PredictionError(f"{source} could not be labelled into {target}: {reason}.") from error
    return labelled


def _label(
    classifier: "TextClassifier",
    source: Path,
    columns: Columns,
    labelled: Labelled,
    on_labelled: Callable[..., None],
    values: Sequence[object],
) -> list[Result]:
    """Label some texts of the source, and count them in `labelled`."""
    from data.tables import strings

    predictions = classifier.predictions(strings(source, columns.text, values))
    results = predictions.top(classifier.classes, columns.top)
    labelled.texts += len(values)
    labelled.blank += int(predictions.is_blank.sum())
    labelled.below += sum(result[0][1] < columns.threshold for result in results)
    on_labelled(completed=labelled.texts)
    return results


def check_files(source: Path, target: Path, *, force: bool) -> None:
    if not source.is_file():
        raise PredictionError(f"File {source} not found. Check the path given to --input.")
    if target.is_dir():
        raise PredictionError(f"{target} is a folder; name a file with --output.")
    if target.exists() and not force:
        raise PredictionError(f"{target} is there already. Name another --output, or replace it with --force.")


def _check_encodable(names: Sequence[str], encoding: str) -> None:
    """Raises `PredictionError` for a label or a column that cannot be written in the encoding of the input."""
    for name in names:
        try:
            name.encode(encoding)
        except UnicodeEncodeError:
            raise PredictionError(
                f"'{name}' cannot be written in {encoding}, the encoding of --input: convert that to UTF-8."
            ) from None


def _check_kinds(kind: str, source: Path, target: Path) -> None:
    if kind not in ("delimited", "json", "parquet"):
        title = "Feather file" if kind == "feather" else kind
        raise PredictionError(f"{source} is a {title}, which is not written. Save it as CSV, Parquet or JSON lines.")
    from data.compression import SUFFIXES, without_compression_suffix

    compression = target.suffix.lower() if target.suffix.lower() in SUFFIXES else ""
    if without_compression_suffix(target).suffix.lower() in NOT_WRITTEN:
        raise PredictionError(f"--output is text, JSON or Parquet, got {target}.")
    wanted = KINDS.get(without_compression_suffix(target).suffix.lower(), "delimited")
    if wanted != kind or (kind == "parquet" and compression):
        title = {"delimited": "text, as .csv", "json": ".jsonl", "parquet": ".parquet"}[kind]
        raise PredictionError(f"--output must be of the kind of --input ({title}), got {target}.")
    if compression and compression not in WRITERS:
        raise PredictionError(f"--output can be compressed as {', '.join(WRITERS)}, got {target}.")
