"""A report as files: one HTML page that needs no network, Markdown with pictures, JSON and CSV."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from study.errors import StudyError
from study.figures.report_pictures import PICTURES, save_pictures
from study.figures.style import PAGE_STYLE
from study.markdown import fence_for, markdown_text
from study.reports.best_params import best_params
from study.reports.contents import Report
from study.reports.figures import Figure, all_figures, comparison_figure, reliability_figure
from study.reports.rendering import TEMPLATES, render_page
from study.reports.sentences import headline, notes, paragraphs
from study.reports.tables import CLASSES_OF_A_MATRIX, confused_pairs, tables

FILES = (
    *("report.html", "report.md", "best_params.json", "trials.csv", "confusion.csv", "model"),
    *(f"{name}.png" for name in PICTURES),
)
NO_COLUMNS = ("curve", "worker", "deaths", "beside_others")  # trial attributes without a column in trials.csv


@dataclass(frozen=True)
class DrawnFigure:
    name: str
    title: str
    caption: str
    alt_text: str
    html: Markup


def write_report(report: Report, folder: Path) -> None:
    """Write all files, or none. The folder must be there. Raises `StudyError` when they cannot be written."""
    try:
        figures = all_figures(report.study, report.configuration, report.findings)
        if sum(study.outcome is not None for study in report.comparison) > 1:
            figures.insert(0, comparison_figure(report.comparison, report.configuration))
        if report.test:
            figures.append(reliability_figure(report.test.calibration))
        alt_texts = {figure.name: figure.alt_text for figure in figures}
        paths = save_pictures(report.study, report.configuration, folder, report.findings)
        pictures = [(path.name, alt_texts[path.stem]) for path in paths]
        drawn = list(map(draw, figures))
        content = {
            "name": report.study.study_name,
            "headline": headline(report),
            "paragraphs": paragraphs(report),
            "tables": tables(report),
            "notes": notes(report),
            "reproduction": report.reproduction,
        }
        (folder / "report.html").write_text(_html_page(content, drawn), encoding="utf-8")
        (folder / "report.md").write_text(_markdown_page(content, pictures), encoding="utf-8")
        (folder / "best_params.json").write_text(json.dumps(best_params(report), indent=2) + "\n", encoding="utf-8")
        _trials(report).to_csv(folder / "trials.csv", index=False)
        if report.test and len(report.test.per_class) > CLASSES_OF_A_MATRIX:
            pd.DataFrame(confused_pairs(report.test)).to_csv(folder / "confusion.csv", index=False)
    except OSError as error:
        raise StudyError(
            f"The report cannot be written to {folder.parent}: {error.strerror or error}. Fix that, or name another "
            "--output."
        ) from error


def draw(figure: Figure) -> DrawnFigure:
    """The figure as a part of a page that holds plotly's program."""
    html = Markup(figure.figure.to_html(full_html=False, include_plotlyjs=False, config=PLOTLY_CONFIG))
    return DrawnFigure(figure.name, figure.title, figure.caption, figure.alt_text, html)


def _html_page(content: dict[str, Any], figures: list[DrawnFigure]) -> str:
    styles = {"figure_style": Markup(PAGE_STYLE), "plotly_js": Markup(get_plotlyjs())}
    return render_page("report.html", **content, figures=figures, **styles)


def _markdown_page(content: dict[str, Any], pictures: list[tuple[str, str]]) -> str:
    """The Markdown page; everything that the template prints is escaped, unless it is marked as safe."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=False, finalize=_escaped, keep_trailing_newline=True
    )
    lines = (content["reproduction"].search, content["reproduction"].report)
    fence = fence_for(*lines)
    commands = "\n".join([fence, *lines, fence])
    return environment.get_template("report.md").render(**content, pictures=pictures, commands=commands)


def _escaped(value: object) -> object:
    return value if isinstance(value, Markup) else markdown_text(value)


def _trials(report: Report) -> pd.DataFrame:
    rows = []
    for trial in report.study.get_trials(deepcopy=False):
        attributes = {key: value for key, value in trial.user_attrs.items() if key not in NO_COLUMNS}
        row = {"number": trial.number, "state": trial.state.name, "value": trial.value}
        rows.append(
            {**row, **trial.params, **attributes, **trial.params, **row, "worker": trial.user_attrs.get("worker")}
        )
    return pd.DataFrame(rows)


PLOTLY_CONFIG = {"responsive": True, "displaylogo": False, "displayModeBar": False}
