"""The page of an ensemble across studies: its headline, its tables and its figure."""

import math
from dataclasses import dataclass
from pathlib import Path

import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from models.training.scores import METRICS, Metric
from study.confirmation.bootstrap import Estimate, bootstrap_interval
from study.confirmation.ensemble import Ensemble, Part
from study.confirmation.predictions import ENSEMBLE
from study.figures.style import BEST, COLOURS, COMPLETE, PAGE_STYLE, new_figure
from study.formatting import METRIC_TITLES
from study.reports.contents import SEED, HoldoutScores, Report
from study.reports.figures import Figure
from study.reports.pages import draw
from study.reports.rendering import render_page
from study.reports.sentences import interval_in_words
from study.reports.table import Table

PAGE = "ensemble.html"
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


def ensemble_page(report: EnsembleReport) -> str:
    tables = [_parts_table(report), _test_table(report)]
    styles = {"figure_style": Markup(PAGE_STYLE), "plotly_js": Markup(get_plotlyjs())}
    content = {
        "headline": headline(report),
        "paragraphs": [],
        "tables": tables,
        "figures": [draw(_pareto_figure(report))],
    }
    return render_page(PAGE, name=report.plan.folder.name, **content, **styles)


def headline(report: EnsembleReport) -> str:
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


def in_words(part: Part) -> str:
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
        "With 95 % bootstrap intervals over texts; those of baselines that are fitted once on each repeat, also over "
        "repeats. The test has chosen nothing: neither the weights nor the studies. The weights were chosen by "
        "training runs that had left validation texts out, and hold for refits, too."
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
