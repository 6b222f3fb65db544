"""The report on an ensemble across studies: its page, its figures as JSON, and its model."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from data.files import replace_folder
from models.export import save_model
from models.learners.classifier import average
from models.training.calibration import expected_calibration_error
from models.training.scores import METRICS, Metric
from study.confirmation.bootstrap import Estimate, bootstrap_interval
from study.confirmation.confirm import Confirmation
from study.confirmation.ensemble import Ensemble, Part, build_ensemble, groups
from study.confirmation.predictions import ENSEMBLE
from study.errors import StudyError
from study.figures.style import BEST, COLOURS, COMPLETE, PAGE_STYLE, new_figure
from study.formatting import METRIC_TITLES
from study.reports.contents import SEED, HoldoutScores, Report
from study.reports.figures import Figure
from study.reports.folder import folder_name
from study.reports.pages import DrawnFigure, draw
from study.reports.rendering import render_page
from study.reports.sentences import interval_in_words
from study.reports.table import Table
from study.storage.attributes import IDENTITY
from study.storage.studies import joined_study, load_configuration

PAGE, FACTS, MODEL = "ensemble.html", "ensemble.json", "model"
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Plan:
    """The studies of an ensemble, and where it goes."""

    studies: tuple[str, ...]
    identities: tuple[str, ...]  # of the studies: a deleted study's name may be used again
    folder: Path


@dataclass(frozen=True)
class EnsembleReport:
    plan: Plan
    ensemble: Ensemble
    reports: tuple[Report, ...]  # on its studies

    @property
    def metric(self) -> Metric:
        return self.reports[0].configuration.base.training.metric

    @property
    def scores(self) -> dict[Metric, Estimate]:
        """On the test texts."""
        results = self.ensemble.results
        return {
            name: bootstrap_interval(results.labels, self.ensemble.system.predictions, name, seed=SEED)
            for name in METRICS
        }


def plan_ensembles(url: str, names: Sequence[str]) -> list[Plan]:
    """The ensembles of studies that can be combined. Raises `StudyError` if there is none, or no place for one."""
    configurations, identities = {}, {}
    for name in names:
        with joined_study(url, name) as (study, storage):
            configurations[name] = load_configuration(study, storage)
            identities[name] = str(study.user_attrs[IDENTITY])
    plans: list[Plan] = []
    for studies in groups(configurations):
        folder = Path("reports") / f"{folder_name(configurations[studies[0]].source.name)}-ensemble"
        if folder in [plan.folder for plan in plans]:
            folder = folder.with_name(f"{folder.name}-{len(plans) + 1}")
        plans.append(Plan(tuple(studies), tuple(identities[name] for name in studies), folder))
        _check_place(plans[-1])
    if not plans:
        raise StudyError(
            "--ensemble needs at least two finished studies of the same texts, split and metric, for example with "
            "--model lstm and --model linear."
        )
    return plans


def build_ensembles(
    plans: Sequence[Plan], confirmed: Mapping[str, tuple[Report, Confirmation]], console: Console
) -> list[EnsembleReport]:
    """Choose and test the ensembles that were planned, of the studies that could be confirmed."""
    built = []
    for plan in plans:
        there = [confirmed[name] for name in plan.studies if name in confirmed]
        if len(there) > 1:
            console.print("Choosing an ensemble of the studies by their validation texts, and testing it.")
            ensemble = build_ensemble([confirmation for _, confirmation in there])
            built.append(EnsembleReport(plan, ensemble, tuple(report for report, _ in there)))
    return built


def _check_place(plan: Plan) -> None:
    """Raises `StudyError` if something else than an ensemble of these studies would be replaced."""
    if not plan.folder.exists():
        return
    try:
        stored = json.loads((plan.folder / FACTS).read_text())["identities"]
        others = {path.name for path in plan.folder.iterdir()} - {PAGE, FACTS, MODEL}
    except (OSError, ValueError, LookupError, TypeError):
        stored, others = (), set()
    if others or not set(stored) & set(plan.identities):
        raise StudyError(f"{plan.folder} would be replaced, but it is no ensemble of these studies; move it away.")


def write_ensemble(report: EnsembleReport, console: Console) -> None:
    """Write the folder of an ensemble, and print what it has found. Raises `StudyError`."""
    folder, ensemble = report.plan.folder, report.ensemble
    headline, figures = _headline(report), [draw(_pareto_figure(report))]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            written = Path(temporary) / folder.name
            written.mkdir()
            (written / PAGE).write_text(_page(report, headline, figures), encoding="utf-8")
            (written / FACTS).write_text(json.dumps(_facts(report), indent=2) + "\n", encoding="utf-8")
            _export(report, written / MODEL)
            replace_folder(written, folder)
    except OSError as error:
        raise StudyError(f"The ensemble cannot be written to {folder}: {error.strerror or error}.") from error
    console.print(headline)
    for part in ensemble.parts:
        console.print(f"  {part.weight:.2f}  {part.study}  {_in_words(part)}")
    for file in (PAGE, FACTS, MODEL):
        console.print(f"Written: {folder / file}")


def _page(report: EnsembleReport, headline: str, figures: Sequence[DrawnFigure]) -> str:
    tables = [_parts_table(report), _test_table(report)]
    styles = {"figure_style": Markup(PAGE_STYLE), "plotly_js": Markup(get_plotlyjs())}
    return render_page(
        PAGE, name=report.plan.folder.name, headline=headline, paragraphs=[], tables=tables, figures=figures, **styles
    )


def _headline(report: EnsembleReport) -> str:
    ensemble, scores, metric = report.ensemble, report.scores, METRIC_TITLES[report.metric]
    names = [part.study for part in ensemble.chosen]
    if len(names) > 1:
        which = f"The ensemble of {', '.join(names)}"
    else:
        which = f"No ensemble is better on validation than {names[0]} alone, which"
    sentence = (
        f"{which} has a validation {metric} of {ensemble.validation:.4f}, optimistic since its weights were chosen by "
        f"it (the best study alone, {ensemble.best.study}: {ensemble.best.validation:.4f}); on the test split its "
        f"accuracy is {interval_in_words(scores['accuracy'])}, its macro-F1 {interval_in_words(scores['macro_f1'])}."
    )
    if compared := ensemble.against_best:
        p_value = "p < 0.001" if compared.p_value < 0.001 else f"p = {compared.p_value:.4f}"
        sentence += (
            f" Compared with {ensemble.best.study}, its {metric} differs by {compared.difference:+z.4f} (95 % interval "
            f"{compared.low:+z.4f} to {compared.high:+z.4f}, {p_value}); the influence of the seeds is not measured."
        )
    return sentence


def _in_words(part: Part) -> str:
    without = "" if part.without is None else f", without it {part.without:.4f}"
    return (
        f"validation {part.validation:.4f}{without}; {part.seconds:.2f} s per 1,000 texts, "
        f"{part.bytes / MEGABYTE:.1f} MB"
    )


def _parts_table(report: EnsembleReport) -> Table:
    metric, ensemble = METRIC_TITLES[report.metric], report.ensemble
    rows = [
        (
            part.study,
            f"{part.weight:.2f}",
            f"{part.validation:.4f}",
            "-" if part.without is None else f"{part.without:.4f}",
            f"{part.seconds:.2f}",
            f"{part.bytes / MEGABYTE:.1f}",
        )
        for part in ensemble.parts
    ]
    caption = (
        "The weight of each study's probabilities, chosen greedily by the validation scores on the repeats (Caruana et "
        f"al. 2004); the mean {metric} of its single training runs there, and of the ensemble without it (with it "
        f"{ensemble.validation:.4f}). A network has chosen its best epoch by these texts, too. The time of all its "
        "training runs together on the CPU of this machine, and the size of their weights."
    )
    columns = ("Study", "Weight", f"Validation {metric}", "Without it", "Seconds per 1,000 texts", "MB")
    return Table("parts", f"The studies, {len(ensemble.parts)} in all", caption, columns, tuple(rows))


def _averaged(report: Report) -> HoldoutScores:
    """The average of a winner's training runs on the test, or the single one."""
    assert report.test is not None
    averages = (tested for tested in report.test.tested if tested.system.name == ENSEMBLE)
    return next(averages, report.test.tested[0])


def _test_table(report: EnsembleReport) -> Table:
    rows = [("the ensemble", *(interval_in_words(report.scores[name]) for name in ("accuracy", "macro_f1")))]
    shown = [(f"{each.study.study_name}: ", _averaged(each)) for each in report.reports]
    first = report.reports[0].test
    shown += [("", tested) for tested in (first.tested if first else ()) if tested.calibration is None]
    for prefix, tested in shown:
        scores = interval_in_words(tested.accuracy), interval_in_words(tested.macro_f1)
        rows.append((f"{prefix}{tested.system.title}", *scores))
    caption = (
        "With 95 % bootstrap intervals over texts; those of baselines, which are fitted once on each repeat, also over "
        "repeats. The test has chosen nothing: neither the weights nor the studies."
    )
    return Table("test", "On the test split", caption, ("System", "Accuracy", "Macro-F1"), tuple(rows))


def _pareto_figure(report: EnsembleReport) -> Figure:
    """The score of each confirmed study and of the ensemble over the time of a prediction."""
    seconds = {part.study: part.seconds for part in report.ensemble.parts}
    points = {
        each.study.study_name: (seconds[each.study.study_name], _averaged(each).score(report.metric).value)
        for each in report.reports
    }
    together = sum(part.seconds for part in report.ensemble.chosen)
    points["the ensemble"] = (together, report.scores[report.metric].value)
    times = [time for time, _ in points.values()]
    figure = new_figure("Seconds per 1,000 texts on this CPU", f"Test {METRIC_TITLES[report.metric]}")
    figure.add_trace(
        go.Scatter(
            x=times,
            y=[value for _, value in points.values()],
            text=list(points),
            mode="markers+text",
            textposition="top center",
            cliponaxis=False,
            marker={"size": 11, "color": [*[COLOURS[COMPLETE]] * len(report.reports), BEST]},
            hovertemplate="%{text}: %{y:.4f}, %{x:.2f} s<extra></extra>",
        )
    )
    figure.update_xaxes(type="log", dtick="D2", range=[math.log10(min(times) / 2), math.log10(2 * max(times))])
    figure.update_layout(showlegend=False)
    words = "; ".join(f"{name} {value:.4f} in {time:.2f} s" for name, (time, value) in points.items())
    caption = "What better predictions cost: up is better, left is faster. Each study with all its training runs."
    return Figure("pareto", "Score and prediction time", caption, f"{words}.", figure)


def _facts(report: EnsembleReport) -> dict[str, Any]:
    ensemble = report.ensemble
    probabilities = ensemble.system.probabilities
    assert probabilities is not None
    is_right = ensemble.system.predictions[0] == ensemble.results.labels
    return {
        "identities": report.plan.identities,
        "weights": {part.study: part.weight for part in ensemble.parts},
        "validation": ensemble.validation,
        "parts": {
            part.study: {
                "validation": part.validation,
                "without": part.without,
                "seconds_per_1000_texts": part.seconds,
                "bytes": part.bytes,
            }
            for part in ensemble.parts
        },
        "test": {name: vars(estimate) for name, estimate in report.scores.items()},
        "against_best": vars(ensemble.against_best) if ensemble.against_best else None,
        "calibration": {
            "expected_calibration_error": expected_calibration_error(probabilities.confidences[0], is_right),
            "negative_log_likelihood": probabilities.log_losses[0],
        },
    }


def _export(report: EnsembleReport, folder: Path) -> None:
    chosen = report.ensemble.chosen
    about = {
        "studies": {part.study: part.weight for part in chosen},
        "text_column": report.reports[0].configuration.source.text_column,
        "test": {name: estimate.value for name, estimate in report.scores.items()},
    }
    save_model(folder, average([part.classifier for part in chosen], about, [part.weight for part in chosen]))
