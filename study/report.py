"""`python -m study.report`: confirm a study's result on fresh seeds and the test split; write a report and a model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from data.files import user_path
from study.command_line import DEFAULT_STORAGE, Storage, Workers, count, interruptible, run_command

EXAMPLES = """
Examples:

  python -m study.report                          the studies in study.db, into reports/

  python -m study.report --top 8 --seeds 5        more candidates, more certainty

  python -m study.report --audit 6                whether pruning has cost one of the best

  python -m study.report --ensemble               also one model of all studies of the same texts

  python -m study.report --no-retrain             the search alone, in seconds; the test split stays closed
"""

AS_BEFORE = "or more if the last report had more"

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    help="Rank the best configurations of a study on fresh seeds and splits, confirm the winner on further ones, open "
    f"the test split for it, and write the report and the model.\n{EXAMPLES}"
)
def report(
    storage: Storage = DEFAULT_STORAGE,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name.", show_default="all that are finished")
    ] = None,
    top: Annotated[
        int | None,
        count("How many of the best configurations to rank on fresh repeats.", most=1000, default=f"4, {AS_BEFORE}"),
    ] = None,
    seeds: Annotated[
        int | None,
        count(
            "On how many further repeats (fresh seeds and splits) to train the winner and the default configuration.",
            most=1000,
            default=f"3, {AS_BEFORE}",
        ),
    ] = None,
    audit: Annotated[
        int | None,
        count(
            "How many pruned trials to finish: half of them those nearest to being kept, the others at random.",
            least=0,
            most=1_000_000,
            default=f"0, {AS_BEFORE}",
        ),
    ] = None,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain/--no-retrain", help="With --no-retrain: tables and figures of the search alone, in seconds."
        ),
    ] = True,
    refit: Annotated[
        bool | None,
        typer.Option(
            "--refit/--no-refit",
            help="Export a model that is trained on all texts but the test's, validation texts included.",
            show_default="as in the last report; in the first, --refit for linear models",
        ),
    ] = None,
    single: Annotated[
        bool, typer.Option("--single", help="Export one training of the winner, smaller and faster than their average.")
    ] = False,
    ensemble: Annotated[
        bool,
        typer.Option(
            "--ensemble", help="Also combine the studies of the same texts into one model, chosen on validation."
        ),
    ] = False,
    workers: Workers = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="The folder of the report.",
            show_default="reports/<study>; with --no-retrain reports/<study>-search",
        ),
    ] = None,
) -> None:
    with interruptible("What was trained is kept.", module="study.report") as console:
        from study.reports.build import ReportOptions, report_studies

        options = ReportOptions(top, seeds, audit, retrain, refit, single, ensemble, workers, output)
        report_studies(storage, name, options, console)


def main() -> None:
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
