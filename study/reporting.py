"""Reports from beginning to end: of one study, or of all in a database, which are then seen side by side."""

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from study.command_line import browse_command
from study.comparison import compare
from study.errors import StudyError
from study.full_confirmation import Confirmation, confirmed_search
from study.full_report import Report, confirmed_report, export_winner, search_report
from study.notes import note_verdict
from study.report_folder import folder_name, new_folder, publish
from study.report_pages import write_report
from study.report_words import comparison_lines, headline, paragraphs
from study.storage import PatientStorage
from study.stored_study import check_name, joined_study, load_configuration, reportable_studies

MAIN_FILES = ("report.html", "report.md", "best_params.json", "trials.csv", "model")


def report_studies(
    url: str,
    name: str | None,
    *,
    top: int,
    seeds: int,
    audit: int,
    retrain: bool,
    workers: int | None,
    output: Path | None,
    console: Console,
) -> None:
    """Confirm what is not confirmed yet, then write; without a name, for all studies of the database.

    The best one by validation is written last, so that its model is the newest. Raises `UserError`; `Interrupted`,
    after which it can go on.
    """
    if audit and not retrain:
        raise StudyError("--audit finishes pruned trials, --no-retrain trains nothing: leave one of them away.")
    if name is not None:
        check_name(name)
    names, unready = reportable_studies(url) if name is None else ([name], [])
    if not names:
        raise StudyError(f"Study '{unready[0]}' has no complete trial yet; go on with study.run first.")
    if output and len(names) > 1:
        raise StudyError(f"--output is the folder of one report; say with --name which study: {', '.join(names)}.")
    for one in unready:
        console.print(f"Note: study '{one}' has no complete trial yet and is left out.")
    with ExitStack() as stack:
        found: list[tuple[Report, PatientStorage, Confirmation | None]] = []
        for one in names:
            if len(names) > 1:
                console.print(f"Study: {one}")
            if retrain:
                confirmation = stack.enter_context(
                    confirmed_search(url, one, top=top, draws=seeds, audits=audit, workers=workers, console=console)
                )
                found.append((confirmed_report(confirmation, console), confirmation.storage, confirmation))
            else:
                study, storage = stack.enter_context(joined_study(url, one))
                found.append((search_report(study, load_configuration(study)), storage, None))
        compared = [
            (replace(report, comparison=tuple(compare(storage, report.configuration))), confirmation)
            for report, storage, confirmation in found
        ]
        for report, own in sorted(compared, key=lambda one: -one[0].rank):
            _write(report, own, output, console)
    report = compared[0][0]
    for line in comparison_lines(report):
        console.print(line)
    console.print(f"Browse: {browse_command(url, report.configuration.artifact_dir)}")


def _write(report: Report, confirmation: Confirmation | None, output: Path | None, console: Console) -> None:
    # What the search alone tells never replaces a whole report.
    name = folder_name(report.study.study_name) + ("" if confirmation else "-search")
    with new_folder(output or Path("reports") / name) as (folder, written):
        write_report(report, written)
        if confirmation:
            export_winner(confirmation, written / "model")
        publish(written, folder)
    told = [headline(report), *paragraphs(report)]
    if confirmation:
        note_verdict(confirmation.search, told, folder / "report.html")
    for sentence in told:
        console.print(sentence)
    for file in MAIN_FILES:
        if (folder / file).exists():
            console.print(f"Written: {folder / file}")
