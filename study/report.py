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

from study.command_line import INTERRUPTED, command_again, run_command
from study.options import DEFAULT_STORAGE, ExistingStudy, Storage, Workers, count

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = """
Examples:

  python -m study.report                          the study in study.db, into reports/

  python -m study.report --top 5 --seeds 5        more certainty

  python -m study.report --audit 5                whether pruning has cost one of the best

  python -m study.report --no-retrain             the search alone, in seconds; the test split stays closed
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    help="Confirm the best configurations of a study on fresh seeds and splits, open the test split for the winner, "
    f"and write the report and the model.\n{EXAMPLES}"
)
def report(
    storage: Storage = DEFAULT_STORAGE,
    name: ExistingStudy = None,
    top: Annotated[int, count("How many of the best configurations to train again.", most=1000)] = 3,
    seeds: Annotated[int, count("On how many fresh seeds and splits each.", most=1000)] = 3,
    audit: Annotated[
        int, count("How many pruned trials to finish, those that were best.", least=0, most=1_000_000)
    ] = 0,
    retrain: Annotated[
        bool, typer.Option("--retrain/--no-retrain", help="Without it: tables and figures of the search alone.")
    ] = True,
    workers: Workers = None,
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
        _report(
            storage,
            name,
            top=top,
            seeds=seeds,
            audit=audit,
            retrain=retrain,
            workers=workers,
            output=output,
            console=console,
        )
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
    audit: int,
    retrain: bool,
    workers: int | None,
    output: Path | None,
    console: "Console",
) -> None:
    from study.errors import StudyError
    from study.full_confirmation import confirmed_search
    from study.full_report import confirmed_report, export_winner, search_report
    from study.report_pages import publish, write_report
    from study.report_words import headline, paragraphs
    from study.stored_study import joined_study, load_configuration

    if audit and not retrain:
        raise StudyError("--audit finishes pruned trials, --no-retrain trains nothing: leave one of them away.")
    if retrain:
        with (
            confirmed_search(
                url, name, top=top, draws=seeds, audits=audit, workers=workers, console=console
            ) as confirmation,
            _new_folder(output or Path("reports") / _folder_name(confirmation.search.study_name)) as (folder, written),
        ):
            found = confirmed_report(confirmation, console)
            write_report(found, written)
            export_winner(confirmation, written / "model")
            publish(written, folder)
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


@contextmanager
def _new_folder(folder: Path) -> Iterator[tuple[Path, Path]]:
    """The folder to write to in the end, and one beside it to write to now, which is gone afterwards.

    Raises `StudyError` where that cannot be, or the folder holds what no report has written: it would be replaced.
    """
    from study.errors import StudyError
    from study.report_pages import strangers

    if folder.name in ("", ".."):
        folder = folder.resolve()
    if found := strangers(folder):
        raise StudyError(f"{folder} would be replaced, but {found[0]} is no part of a report; name another --output.")
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
