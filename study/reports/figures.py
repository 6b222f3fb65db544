"""All figures of a study, in the order of the report, each with its caption and alternative text."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from optuna.study import Study

from models.training.calibration import Bin
from study.analysis.findings import Findings, find
from study.configuration import StudyConfig
from study.confirmation.leaderboard import ComparedStudy
from study.figures.colours import TEXT
from study.figures.parameters import contour, importance, parallel_coordinates, slices
from study.figures.style import BEST, COLOURS, COMPLETE, new_figure
from study.figures.trials import durations, history, learning_curves, timeline
from study.formatting import axis_title, metric_title
from study.reports.captions import describe_figures, figure_titles
from study.reports.contents import Calibration
from study.storage.queries import finished_trials
from study.storage.snapshots import thinned

POINTS, POINTS_OF_LINE = 2_000, 7  # at most, of a figure; a line of a trial has several
CAPTION = (
    "The accuracy on the test texts over the probability of the predicted label. On the diagonal, probabilities are "
    "calibrated; below it, the model is overconfident. The larger a point, the more texts."
)


@dataclass(frozen=True)
class Figure:
    name: str  # for an anchor or a file
    title: str
    caption: str  # a sentence
    alt_text: str  # in words and numbers
    figure: go.Figure


def all_figures(study: Study, configuration: StudyConfig, findings: Findings | None = None) -> list[Figure]:
    """All figures in the order of the report; for a study without trials, they say that there is nothing to show."""
    findings = findings or find(study, configuration)
    importances = findings.importances
    points, lines = (thinned(study, configuration, most) for most in (POINTS, POINTS // POINTS_OF_LINE))
    drawn = {
        "history": (points, history(points, configuration)),
        "learning-curves": (lines, learning_curves(lines, configuration)),
        "contour": (points, contour(points, configuration, findings)),
        "slices": (points, slices(points, configuration)),
        "parallel-coordinates": (lines, parallel_coordinates(lines, configuration, importances)),
        "importance": (study, importance(importances)),
        "durations": (points, durations(points, findings.cost.median_seconds)),
        "timeline": (points, timeline(points)),
    }
    if configuration.base.training.epochs == 1:  # a model without epochs has no curve
        del drawn["learning-curves"]
    alt_texts = describe_figures(study, configuration, findings)
    titles = figure_titles(configuration, findings)
    figures = []
    for name, (shown, figure) in drawn.items():
        title, caption = titles[name]
        figures.append(Figure(name, title, caption + _thinning(shown, study), alt_texts[name], figure))
    return figures


def _thinning(shown: Study, study: Study) -> str:
    """A sentence on the trials that a figure leaves out; empty if it shows all."""
    counts = [len(finished_trials(each)) for each in (shown, study)]
    if counts[0] == counts[1]:
        return ""
    return f" Of {counts[1]:,} trials, {counts[0]:,} are drawn, among them all that were the best so far."


def comparison_figure(studies: Sequence[ComparedStudy], configuration: StudyConfig) -> Figure:
    """The confirmed studies, at least one, side by side; the best one on top."""
    confirmed = [(study.name, study.outcome) for study in studies if study.outcome]
    figure = new_figure(axis_title(configuration), "")
    names = [name for name, _ in confirmed]
    means = [outcome.mean for _, outcome in confirmed]
    deviations = [outcome.deviation or 0.0 for _, outcome in confirmed]
    figure.add_scatter(
        x=means,
        y=names,
        mode="markers",
        marker={"color": [BEST, *[COLOURS[COMPLETE]] * (len(names) - 1)], "size": 12},
        error_x={
            "array": [min(deviation, 1 - mean) for mean, deviation in zip(means, deviations, strict=True)],
            "arrayminus": deviations,  # a score is 1 at most, so that the bars to the right may be shorter
            "symmetric": False,
            "color": COLOURS[COMPLETE],
            "thickness": 2,
        },
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=120 + 36 * len(names), showlegend=False)
    scores = (
        f"{name} {mean:.4f}" + (f" (deviation {deviation:.4f})" if deviation else "")
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    )
    draws = {outcome.draws for _, outcome in confirmed}
    same = "the same for all" if len(draws) == 1 else "not the same number for all"
    return Figure(
        "comparison-figure",
        "Side by side, drawn",
        f"The {metric_title(configuration)} of each study's winner: mean and standard deviation over fresh repeats, "
        f"{same}.",
        f"From best to worst: {'; '.join(scores)}.",
        figure,
    )


def reliability_figure(calibration: Calibration) -> Figure:
    figure = new_figure("Probability of the predicted label", "Accuracy")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": TEXT, "dash": "dot"}, hoverinfo="skip")
    figure.add_scatter(
        x=[bin_.confidence for bin_ in calibration.bins],
        y=[bin_.accuracy for bin_ in calibration.bins],
        mode="lines+markers",
        line={"color": COLOURS[COMPLETE], "width": 1},
        marker={"color": BEST, "size": [7 + 25 * bin_.share**0.5 for bin_ in calibration.bins]},
        customdata=[bin_.share for bin_ in calibration.bins],
        hovertemplate="probability %{x:.3f}: %{y:.3f} right, %{customdata:.1%} of the texts<extra></extra>",
    )
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(range=[-0.03, 1.06])
    figure.update_layout(showlegend=False)
    return Figure("reliability", "Reliability of probabilities", CAPTION, _in_words(calibration), figure)


def _in_words(calibration: Calibration) -> str:
    bins = "; ".join(map(_bin_in_words, calibration.bins))
    return f"Expected calibration error {calibration.expected_error:.4f}. Probability and accuracy: {bins}."


def _bin_in_words(bin_: Bin) -> str:
    return f"{bin_.confidence:.2f}, {bin_.accuracy:.2f} ({bin_.share:.1%} of the texts)"
