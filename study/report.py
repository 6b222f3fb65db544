"""`python -m study.report`: turn a study into an answer that holds: fresh seeds, the test split, a verdict, a model."""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.command_line import INTERRUPTED, STORAGE_VARIABLE, browse_command, command_again, run_command

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = """
Examples:

  python -m study.report                          the study in study.db, into reports/

  python -m study.report --top 5 --seeds 5        more certainty

  python -m study.report --no-retrain             the search alone, in seconds; the test split stays closed
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    help="Confirm the best configurations of a study on fresh seeds and splits, open the test split for the winner, "
    f"and write the report and the model.\n{EXAMPLES}"
)
def report(
    storage: Annotated[
        str, typer.Option(metavar="URL", envvar=STORAGE_VARIABLE, help="Where the study is kept.")
    ] = "sqlite:///study.db",
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name.", show_default="the only one there")
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="How many of the best configurations to train again.")
    ] = 3,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="On how many fresh seeds and splits each.")
    ] = 3,
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Without it: tables and figures of the search alone.")
    ] = True,
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=100_000, help="Processes that train at the same time.", show_default="one per core"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of the report.", show_default="reports/<study>"),
    ] = None,
) -> int:
    from rich.console import Console

    from study.interruption import Interrupted, end_on_signals, hold_signals

    end_on_signals()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        _report(storage, name, top=top, seeds=seeds, retrain=retrain, workers=workers, output=output, console=console)
    except Interrupted:
        hold_signals()
        console.print(f"Interrupted. What was trained is kept. To go on: {command_again('study.report', sys.argv[1:])}")
        return INTERRUPTED
    return 0


def _report(
    url: str,
    name: str | None,
    *,
    top: int,
    seeds: int,
    retrain: bool,
    workers: int | None,
    output: Path | None,
    console: "Console",
) -> None:
    from study.full_confirmation import confirmed_search
    from study.full_report import confirmed_report, export_winner, search_report
    from study.notes import note_verdict
    from study.report_pages import headline, paragraphs, publish, write_report
    from study.stored_study import check_name, joined_study, load_configuration

    if name is not None:
        check_name(name)
    if retrain:
        with (
            confirmed_search(url, name, top=top, draws=seeds, workers=workers, console=console) as confirmation,
            _new_folder(output or Path("reports") / _folder_name(confirmation.search.study_name)) as (folder, written),
        ):
            found = confirmed_report(confirmation, console)
            write_report(found, written)
            export_winner(confirmation, written / "model")
            publish(written, folder)
            note_verdict(confirmation.search, [headline(found), *paragraphs(found)], folder / "report.html")
    else:
        with (
            joined_study(url, name) as (study, _),
            _new_folder(output or Path("reports") / _folder_name(study.study_name)) as (folder, written),
        ):
            found = search_report(study, load_configuration(study))
            write_report(found, written)
            publish(written, folder)
    console.print(headline(found))
    for paragraph in paragraphs(found):
        console.print(paragraph)
    for file in ("report.html", "report.md", "best_params.json", "trials.csv", "model"):
        if (folder / file).exists():
            console.print(f"Written: {folder / file}")
    console.print(f"Browse: {browse_command(url, found.configuration.artifact_dir)}")


@contextmanager
def _new_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The folder to write to in the end, and one beside it to write to now, which is gone afterwards."""
    from study.errors import StudyError
    from study.report_pages import strangers

    if found := strangers(folder):
        raise StudyError(f"{folder} would be replaced, but holds more than a report ({found}); name another --output.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        written = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        written.chmod(0o755)  # as other folders; this one is not secret
    except OSError as error:
        raise StudyError(f"{folder.parent} cannot be written ({error.strerror}); name another --output.") from None
    try:
        yield folder, written
    finally:
        shutil.rmtree(written, ignore_errors=True)


def _folder_name(study_name: str) -> str:
    """Of any study's name one that stays within its folder."""
    return re.sub(r"[^\w.-]", "_", study_name).strip(".") or "study"


if __name__ == "__main__":
    sys.exit(run_command(app))
