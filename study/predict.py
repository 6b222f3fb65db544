"""`python -m study.predict`: label texts with a model that `study.report` has written; needs neither study nor data.

Slow imports are local, so that `--help` answers at once.
"""

import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from data.files import user_path
from study.command_line import Encoding, Header, Separator, interruptible, reading_options, run_command
from study.prediction.columns import Columns, PredictionError, in_chunks
from study.prediction.label_file import check_files, label_file

if TYPE_CHECKING:
    from models.learners.classifier import TextClassifier

EXAMPLES = """
Examples:

  python -m study.predict "surgeon at the county hospital since 1998"

  python -m study.predict --top 3 < texts.txt          a text a line; label, tab, probability, tab, next label ...

  python -m study.predict --input new.csv --output labelled.csv --text-column bio
"""


app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(help=f"Print the label of each text and its probability, or add them to a file.\n{EXAMPLES}")
def predict(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="Texts; without any, the lines of standard input.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=user_path, help="The model's folder.", show_default="the newest reports/*/model"
        ),
    ] = None,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Labels per text, the likeliest first.")] = 1,
    threshold: Annotated[
        float, typer.Option(metavar="P", min=0, max=1, help="Leave out labels with a lower probability.")
    ] = 0.0,
    input_file: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="FILE",
            parser=user_path,
            help="A table with a text a row: CSV and the like, JSON or Parquet.",
            show_default=False,
        ),
    ] = None,
    output_file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="FILE",
            parser=user_path,
            help="The same rows with the labels and their probabilities.",
            show_default=False,
        ),
    ] = None,
    text_column: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The column with the text.", show_default="the one of the training"),
    ] = None,
    label_as: Annotated[str, typer.Option(metavar="NAME", help="The new column with the label.")] = "label",
    probability_as: Annotated[
        str, typer.Option(metavar="NAME", help="The new column with the label's probability.")
    ] = "probability",
    separator: Separator = None,
    encoding: Encoding = None,
    header: Header = True,
    force: Annotated[bool, typer.Option("--force", help="Replace an --output that is there.")] = False,
) -> None:
    with interruptible(f"{output_file} was not written." if output_file else "", stderr=True):
        if input_file is None:
            named = (label_as, probability_as) != ("label", "probability")
            if output_file or text_column or force or named or separator or encoding or not header:
                raise PredictionError("--output and the options for a table go with --input FILE; name it.")
            if not texts and (sys.stdin is None or sys.stdin.isatty()):  # None: closed
                raise PredictionError("Give texts, or --input FILE, or pipe in a text a line; see --help.")
            print_labels(_load(model), texts or _lines(sys.stdin.buffer), top, threshold)
            return
        if texts:
            raise PredictionError("--input FILE is labelled alone: leave out the texts.")
        if output_file is None:
            raise PredictionError("Say with --output where the labelled rows should go.")
        if label_as == probability_as:
            raise PredictionError(f"--label-as and --probability-as both name '{label_as}'; they must differ.")
        check_files(input_file, output_file, force=force)
        reading = reading_options(separator, encoding, header)
        classifier = _load(model)
        top = min(top, len(classifier.classes))
        columns = Columns(text_column or _trained_column(classifier), label_as, probability_as, top, threshold)
        labelled = label_file(classifier, input_file, output_file, columns, reading)
        print(f"Labelled {labelled.texts:,} texts ({labelled.reading}): {output_file}")
        note_blank(labelled.blank)
        note_below(labelled.below, threshold)


def print_labels(classifier: "TextClassifier", texts: Iterable[str], top: int, threshold: float) -> None:
    """Print a line per text: label, tab, probability, and so on for the next labels; unlikely ones are empty."""
    names = [" ".join(name.split()) for name in classifier.classes]  # without tabs and line ends
    blank = below = 0
    for chunk in in_chunks(texts):
        predictions = classifier.predictions(chunk)
        blank += int(predictions.is_blank.sum())
        for result in predictions.top(names, top):
            below += result[0][1] < threshold
            print("\t".join(f"{name if share >= threshold else ''}\t{share:.4f}" for name, share in result))
    note_blank(blank)
    note_below(below, threshold)


def note_blank(texts: int) -> None:
    """Say on standard error how many texts were labelled without a word that the model knows."""
    if texts:
        print(f"Note: texts without a word that the model knows: {texts:,}; their labels are a guess.", file=sys.stderr)


def note_below(texts: int, threshold: float) -> None:
    """Say on standard error how many texts got no label."""
    if texts:
        print(f"Note: texts without a label, since no probability reaches {threshold}: {texts:,}.", file=sys.stderr)


def _load(folder: Path | None) -> "TextClassifier":
    from models.export import CONFIG_FILE, load_model

    if folder is None:
        configs = list(Path("reports").glob(f"[!.]*/model/{CONFIG_FILE}"))  # hidden ones are being written
        if not configs:
            raise PredictionError("There is no model under reports/. Name one with --model, or run study.report.")
        folder = max(configs, key=lambda path: path.stat().st_mtime).parent
        print(f"Model: {folder}, the newest under reports", file=sys.stderr)
    return load_model(folder)


def _trained_column(classifier: "TextClassifier") -> str:
    from data.source import DEFAULT_TEXT_COLUMN

    return str(classifier.about.get("text_column") or DEFAULT_TEXT_COLUMN)


def _lines(stream: BinaryIO) -> Iterator[str]:
    return (line.decode("utf-8", "replace") for line in stream)


def main() -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # in `| head`, end as other programs do
    sys.exit(run_command(app, unknown_option="If it is a text, put -- before it: study.predict -- TEXT."))


if __name__ == "__main__":
    main()
