"""The three most important figures as PNG files by matplotlib, for pages that run no scripts."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter
from optuna.distributions import IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.analysis.findings import Findings
from study.analysis.surrogate import from_unit
from study.configuration import StudyConfig
from study.figures.colours import BLACK, GRID, LINE, SCALE
from study.figures.parameters import STEPS
from study.figures.style import BEST, COLOURS, MARGIN, log_ticks
from study.formatting import STATES, axis_title, parameter_title
from study.storage.queries import (
    best_trial,
    curve_of,
    default_value,
    finished_trials,
    height_of,
    running_best,
    with_values,
)
from study.storage.snapshots import thinned

PICTURES = ("history", "learning-curves", "contour")
CURVES = 300  # at most: more cannot be told apart
SIZE, DOTS_PER_INCH = (7.5, 4.2), 160  # 1200 pixels wide: sharp on a phone and on a large screen
MARKERS: dict[TrialState, dict[str, Any]] = {
    TrialState.COMPLETE: {"marker": "o", "color": COLOURS[TrialState.COMPLETE]},
    TrialState.PRUNED: {"marker": "o", "facecolors": "none", "edgecolors": COLOURS[TrialState.PRUNED]},
    TrialState.FAIL: {"marker": "x", "color": COLOURS[TrialState.FAIL]},
}


def save_pictures(study: Study, configuration: StudyConfig, folder: Path, findings: Findings) -> list[Path]:
    """Write the files of `PICTURES`, in this order, into a folder that exists; a model without epochs has no curves."""
    drawn = {name: Figure(figsize=SIZE, layout="constrained") for name in PICTURES}
    draw_history(drawn["history"].subplots(), study, configuration)
    if configuration.base.training.epochs == 1:
        del drawn["learning-curves"]
    else:
        draw_learning_curves(drawn["learning-curves"].subplots(), thinned(study, configuration, CURVES), configuration)
    draw_contour(drawn["contour"].subplots(), study, configuration, findings)
    paths = {name: folder / f"{name}.png" for name in drawn}
    for name, figure in drawn.items():
        figure.savefig(paths[name], dpi=DOTS_PER_INCH, facecolor="white")
    return list(paths.values())


def draw_history(axes: Axes, study: Study, configuration: StudyConfig) -> None:
    _style(axes, "Trial", axis_title(configuration))
    trials = finished_trials(study)
    floor = min((height for trial in trials if (height := height_of(trial)) is not None), default=0.0)
    for state, group in _by_state(trials):
        values = [floor if (height := height_of(trial)) is None else height for trial in group]
        axes.scatter([trial.number for trial in group], values, s=26, label=STATES[state], **MARKERS[state])
    if best := running_best(study, configuration.search_space):
        axes.step(list(best), list(best.values()), where="post", color=BEST, label="best so far")
    if (value := default_value(study, configuration)) is not None:
        axes.axhline(value, color=LINE, linestyle="--", linewidth=1, label="default configuration")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _end_at_one(axes)
    _legend(axes)


def draw_learning_curves(axes: Axes, study: Study, configuration: StudyConfig) -> None:
    _style(axes, "Epoch", axis_title(configuration))
    best = best_trial(study, configuration.search_space)
    for state, group in _by_state(finished_trials(study)):
        colour, label = COLOURS[state], STATES[state]
        for trial in group:
            curve = curve_of(trial, configuration.metric)
            if not curve or trial is best:
                continue
            epochs = range(1, len(curve) + 1)
            opacity = 0.75 if state == TrialState.COMPLETE else 0.5
            axes.plot(epochs, curve, color=colour, alpha=opacity, linewidth=1, label=label)
            label = ""  # once is enough
            if state != TrialState.COMPLETE:
                axes.plot(len(curve), curve[-1], "x", color=colour, markersize=5)
    if best is not None and (curve := curve_of(best, configuration.metric)):
        epochs = range(1, len(curve) + 1)
        axes.plot(epochs, curve, "o-", color=BEST, linewidth=2.5, markersize=4, label=f"best (trial {best.number})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(axes)


def draw_contour(axes: Axes, study: Study, configuration: StudyConfig, findings: Findings) -> None:
    space = configuration.search_space
    names = findings.pair
    _style(axes, *(parameter_title(name) for name in names))
    for name, axis, scale, limit in (
        (names[0], axes.xaxis, axes.set_xscale, axes.set_xlim),
        (names[1], axes.yaxis, axes.set_yscale, axes.set_ylim),
    ):
        limit(from_unit(space[name], -MARGIN), from_unit(space[name], 1 + MARGIN))
        if ticks := log_ticks(space[name]):
            scale("log")
            axis.set_ticks(ticks)
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        elif isinstance(space[name], IntDistribution):
            axis.set_major_locator(MaxNLocator(integer=True))
    if surface := findings.surface:
        levels = np.linspace(surface.low, surface.high, STEPS + 1)
        filled = axes.contourf(surface.x, surface.y, surface.z, levels=levels, cmap=SCALE.lower(), extend="min")
        bar = axes.figure.colorbar(filled, ax=axes, label=axis_title(configuration), format="%.3f")
        bar.outline.set_visible(False)
    best, trials = best_trial(study, configuration.search_space), with_values(finished_trials(study), space, names)
    for state, group in _by_state(trials):
        shown = [trial for trial in group if trial is not best]
        x, y = ([trial.params[name] for trial in shown] for name in names)
        fill, edge = ("white", BLACK) if state == TrialState.PRUNED else (COLOURS[state], "white")
        marker = "X" if state == TrialState.FAIL else "o"
        axes.scatter(x, y, s=40, c=fill, edgecolors=edge, linewidths=1, marker=marker, label=STATES[state], zorder=3)
    if best is not None and best in trials:
        x, y = ([best.params[name]] for name in names)
        label = f"best (trial {best.number})"
        axes.scatter(x, y, s=240, c=BEST, edgecolors="white", marker="*", label=label, zorder=4, clip_on=False)
    _legend(axes)


def _by_state(trials: list[FrozenTrial]) -> list[tuple[TrialState, list[FrozenTrial]]]:
    """The trials grouped by state; pruned ones first, so that complete ones are drawn over them."""
    order = (TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE)
    groups = [(state, [trial for trial in trials if trial.state == state]) for state in order]
    return [(state, group) for state, group in groups if group]


def _end_at_one(axes: Axes) -> None:
    """Show no score above 1, which none can have, except half a marker of those that reach it."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))


def _style(axes: Axes, x_title: str, y_title: str) -> None:
    axes.set_xlabel(x_title)
    axes.set_ylabel(y_title)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing to show yet", transform=axes.transAxes, ha="center")
