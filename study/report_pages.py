"""A report as files: one HTML page that needs no network, Markdown with pictures, JSON and CSV."""

import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from models.statistics import Estimate
from study.display import METRIC_TITLES, format_parameters, format_seconds
from study.errors import StudyError
from study.figure_style import PAGE_STYLE
from study.figures import all_figures
from study.full_report import Report, best_params
from study.interruption import hold_signals, release_signals
from study.pictures import PICTURES, save_pictures
from study.trial_queue import finished_trials

TEMPLATES = Path(__file__).parent / "templates"
CONTENT = {"report.html", "report.md", "best_params.json", "trials.csv", "model", *(f"{name}.png" for name in PICTURES)}
NO_COLUMNS = ("curve", "worker", "deaths")  # trial attributes that are no column of trials.csv


@dataclass(frozen=True)
class Table:
    name: str  # for an anchor
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shades: tuple[tuple[float, ...], ...] = ()  # from 0 to 1, of all cells but those of the first column


@dataclass(frozen=True)
class DrawnFigure:
    name: str
    title: str
    caption: str
    alternative: str
    html: Markup


def write_report(report: Report, folder: Path) -> None:
    """Write all files, or none. The folder must be there. Raises `StudyError` when they cannot be written."""
    try:
        figures = all_figures(report.study, report.configuration, report.findings.importances)
        pictures = [
            (path.name, words)
            for path, words in save_pictures(report.study, report.configuration, folder, report.findings.importances)
        ]
        drawn = [
            DrawnFigure(
                figure.name,
                figure.title,
                figure.caption,
                figure.alternative,
                Markup(figure.figure.to_html(full_html=False, include_plotlyjs=False, config=PLOTLY_CONFIG)),
            )
            for figure in figures
        ]
        content = {
            "name": report.study.study_name,
            "headline": headline(report),
            "paragraphs": paragraphs(report),
            "tables": tables(report),
            "notes": notes(report),
        }
        loader = FileSystemLoader(TEMPLATES)
        html = Environment(loader=loader, autoescape=True, trim_blocks=True).get_template("report.html")
        page = html.render(**content, figures=drawn, figure_style=Markup(PAGE_STYLE), plotly_js=Markup(get_plotlyjs()))
        (folder / "report.html").write_text(page, encoding="utf-8")
        markdown = Environment(loader=loader, autoescape=False, trim_blocks=False).get_template("report.md")
        (folder / "report.md").write_text(markdown.render(**content, pictures=pictures), encoding="utf-8")
        (folder / "best_params.json").write_text(json.dumps(best_params(report), indent=2) + "\n", encoding="utf-8")
        _trials(report).to_csv(folder / "trials.csv", index=False)
    except OSError as error:
        raise StudyError(
            f"The report cannot be written to {folder.parent}: {error.strerror or error}. Mend that, or name another "
            "--output."
        ) from error


def strangers(folder: Path) -> str:
    """What would be lost with a folder that a report replaces, and is not of a report; empty where there is nothing."""
    if not folder.exists():
        return ""
    if not folder.is_dir():
        return "it is a file"
    return ", ".join(sorted(path.name for path in folder.iterdir() if path.name not in CONTENT)[:3])


def publish(written: Path, folder: Path) -> None:
    """Put a folder that is whole in the place of another. Raises `StudyError`."""
    replaced = folder.with_name(f".{folder.name}.replaced")
    hold_signals()  # between the two, there is no report at all
    try:
        shutil.rmtree(replaced, ignore_errors=True)
        if folder.exists():
            folder.rename(replaced)
        written.rename(folder)
    except OSError as error:
        if replaced.exists() and not folder.exists():
            replaced.rename(folder)
        raise StudyError(f"The report cannot be put into {folder}: {error.strerror or error}.") from error
    finally:
        release_signals()
    shutil.rmtree(replaced, ignore_errors=True)


def headline(report: Report) -> str:
    if report.test:
        return report.test.verdict.sentence
    return "This report shows the search alone: its best value is optimistic. Leave --no-retrain away to confirm it."


def paragraphs(report: Report) -> list[str]:
    metric = METRIC_TITLES[report.configuration.metric]
    told = []
    if winner := report.winner:
        which = "The default configuration" if winner.candidate.is_default else "The search's winner"
        deviation = "" if math.isnan(winner.deviation) else f" ± {winner.deviation:.4f}"
        told.append(
            f"{which} ({format_parameters(winner.candidate.parameters)}) has a validation {metric} of "
            f"{winner.mean:.4f}{deviation}, the mean of {len(winner.trials)} fresh seeds and splits."
        )
        if winner.optimism is not None and winner.candidate.trial is not None:
            told.append(
                f"The search claimed {winner.candidate.trial.value:.4f} for it: {winner.optimism:+.4f} of optimism."
            )
    if report.test:
        tested = report.test.tested[0]
        told.append(
            f"On the test split: accuracy {_interval(tested.accuracy)}, macro-F1 {_interval(tested.macro_f1)} "
            "(95 % bootstrap intervals)."
        )
        told.append(_openings_sentence(report))
    return told


def tables(report: Report) -> list[Table]:
    found: list[Table] = []
    rows: list[tuple[str, ...]] = []
    columns: tuple[str, ...]
    metric = METRIC_TITLES[report.configuration.metric]
    if report.ranking:
        for one in report.ranking:
            claimed = one.candidate.trial
            rows.append(
                (
                    format_parameters(one.candidate.parameters) + (" (default)" if one.candidate.is_default else ""),
                    "-" if claimed is None else f"{claimed.value:.4f}",
                    f"{one.mean:.4f}",
                    "-" if math.isnan(one.deviation) else f"{one.deviation:.4f}",
                    "-" if one.optimism is None else f"{one.optimism:+.4f}",
                )
            )
        columns = ("Configuration", "In the search", "Fresh mean", "Deviation", "Optimism")
        caption = f"Validation {metric}: what the search claimed, and what fresh seeds and splits give."
        found.append(Table("confirmation", "Confirmation", caption, columns, tuple(rows)))
    if test := report.test:
        rows = [
            (
                one.system.title,
                _interval(one.accuracy),
                _interval(one.macro_f1),
                format_parameters(one.system.parameters),
            )
            for one in test.tested
        ]
        columns = ("System", "Accuracy", "Macro-F1", "Parameters")
        caption = "Means over the draws, with 95 % bootstrap intervals. All are fitted on the same training texts."
        found.append(Table("test", "On the test split", caption, columns, tuple(rows)))
        if test.published:
            rows = [(row.model, f"{row.accuracy:.4f}", row.source) for row in test.published]
            caption = "What others report on the same test split."
            found.append(Table("published", "Published results", caption, ("Model", "Accuracy", "Source"), tuple(rows)))
        rows = [
            (name, f"{one.precision:.3f}", f"{one.recall:.3f}", f"{one.f1:.3f}", f"{one.support:,}")
            for name, one in test.per_class
        ]
        columns = ("Class", "Precision", "Recall", "F1", "Texts")
        found.append(Table("classes", "Class by class", "The winner on the test split.", columns, tuple(rows)))
        names = [name for name, _ in test.per_class]
        rows = [
            (name, *(f"{count:g}" if count == int(count) else f"{count:.1f}" for count in row))
            for name, row in zip(names, test.confusion, strict=True)
        ]
        caption = (
            "The winner: texts of each class (rows) by the class that was predicted, the mean over the draws. The "
            "stronger its colour, the larger a cell's share of the class's texts."
        )
        shades = tuple(tuple(math.sqrt(count / max(sum(row), 1)) for count in row) for row in test.confusion)
        found.append(Table("confusion", "Confusion matrix", caption, ("Class", *names), tuple(rows), shades))
    return found


def notes(report: Report) -> list[str]:
    findings, cost = report.findings, report.findings.cost
    told = list(findings.edges)
    told.append(
        f"{len(finished_trials(report.study))} trials took {format_seconds(cost.total_seconds)} of training over all "
        f"workers, the median one {format_seconds(cost.median_seconds)}."
    )
    if cost.pruned:
        told.append(
            f"Pruning ended {cost.pruned} trials early and saved up to {cost.epochs_saved} epochs, "
            f"about {format_seconds(cost.seconds_saved)}; {cost.epochs} epochs were run."
        )
    interaction = findings.interaction
    if interaction.share is not None:
        first, second = interaction.parameters
        told.append(
            f"The interaction of {first} and {second} makes {interaction.share:.0%} of their variance "
            f"({interaction.low:.0%} to {interaction.high:.0%})."
        )
    elif interaction.reason:
        told.append(f"No figure for the interaction of parameters: {interaction.reason}")
    if findings.importances.reason:
        told.append(f"No importance of parameters: {findings.importances.reason}")
    told += [
        f"Failed, {len(failure.trials)} trials ({', '.join(map(str, failure.trials))}): {failure.reason}"
        for failure in findings.failures
    ]
    return told


def _openings_sentence(report: Report) -> str:
    assert report.test is not None
    stamps = report.test.openings
    if len(stamps) == 1:
        return f"This test split has been opened once, on {stamps[0].moment[:10]}."
    listed = "; ".join(f"{stamp.moment[:10]} by {stamp.study} after {stamp.search_trials} trials" for stamp in stamps)
    return (
        f"Caution: this test split has been opened {len(stamps)} times ({listed}). Each look that guides a choice "
        "makes its figures more optimistic."
    )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _trials(report: Report) -> pd.DataFrame:
    rows = []
    for trial in report.study.get_trials(deepcopy=False):
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in NO_COLUMNS}
        row = {"number": trial.number, "state": trial.state.name, "value": trial.value}
        rows.append(row | trial.params | attributes | {"worker": trial.user_attrs.get("worker")})
    return pd.DataFrame(rows)


PLOTLY_CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}
