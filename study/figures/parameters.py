"""Figures of scores over parameters: contour, slices, parallel coordinates, importance."""

from typing import Any

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from plotly.subplots import make_subplots

from study.analysis.findings import Findings, Importances, parallel_parameters
from study.analysis.surrogate import to_unit
from study.configuration import StudyConfig
from study.figures.colours import SCALE, TEXT
from study.figures.style import (
    COLOURS,
    COMPLETE,
    PRUNED,
    QUARTERS,
    TEMPLATE,
    hover_text,
    marker_on_a_surface,
    new_figure,
    or_empty,
    parameter_axis,
    points_of,
)
from study.formatting import STATES, axis_title, metric_title, parameter_title
from study.storage.queries import best_first, best_trial, complete_trials, finished_trials, height_of, with_values

STEPS = 8  # of the surface's colours


def contour(study: Study, configuration: StudyConfig, findings: Findings) -> go.Figure:
    space = configuration.search_space
    names = findings.pair
    figure = new_figure(*(parameter_title(name) for name in names))
    for axis, name in zip((figure.layout.xaxis, figure.layout.yaxis), names, strict=True):
        axis.update(parameter_axis(space[name]))
    if surface := findings.surface:
        low, high = surface.low, surface.high
        title = f"{axis_title(configuration)}<br>(darkest: {low:.3f} or less)"
        bar = {"title": title, "title_side": "top", "orientation": "h", "thickness": 12, "outlinewidth": 0, "nticks": 5}
        bar |= {"y": 1.0, "yanchor": "bottom", "tickformat": ".3f"}
        steps = {"start": low, "end": high, "size": (high - low) / STEPS}
        figure.add_contour(
            x=surface.x, y=surface.y, z=surface.z, zmin=low, zmax=high, contours=steps, colorscale=SCALE, colorbar=bar,
            line_width=0.5, hoverinfo="skip",
        )  # fmt: skip
        # A note instead of a colour bar, with which plotly would draw the title of the axis into the plot.
        figure.update_layout(height=440, xaxis_title="", legend={"yref": "paper", "y": -0.22, "yanchor": "top"})
        note = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0, "yshift": -26, "yanchor": "top", "showarrow": False}
        figure.add_annotation(text=parameter_title(names[0]), font_size=14, **note)
    best = best_trial(study, configuration.search_space)
    trials = with_values(finished_trials(study), space, names)
    for state in STATES:
        group = [trial for trial in trials if trial.state == state and trial is not best]
        x, y = ([trial.params[name] for trial in group] for name in names)
        points = points_of(group, x, y, state)
        # With an edge, to be visible on the surface as well as on a white or a black page.
        points.marker.update(marker_on_a_surface(state))
        figure.add_trace(points)
    if best is not None and best in trials:
        points = points_of([best], [best.params[names[0]]], [best.params[names[1]]], COMPLETE)
        points.update(name=f"best (trial {best.number})", marker=marker_on_a_surface(None))
        figure.add_trace(points)
    return or_empty(figure, trials, "No trial has finished yet.")


def slices(study: Study, configuration: StudyConfig) -> go.Figure:
    space, trials = configuration.search_space, finished_trials(study)
    columns = 1 if len(space) <= 2 else 2
    rows = -(-len(space) // columns)
    height = 240 * rows + 40
    gap = 70 / height
    figure = make_subplots(rows, columns, shared_yaxes=True, vertical_spacing=gap, horizontal_spacing=0.08)
    figure.update_layout(template=TEMPLATE, height=height)
    for index, (name, range_) in enumerate(space.items()):
        place = {"row": index // columns + 1, "col": index % columns + 1}
        for state in (COMPLETE, PRUNED):
            group = [trial for trial in with_values(trials, space, [name]) if trial.state == state]
            values = [_number(range_, trial.params[name]) for trial in group]
            points = points_of(group, values, [height_of(trial) for trial in group], state)
            points.update(showlegend=index == 0, legendgroup=STATES[state])
            figure.add_trace(points, **place)
        figure.update_xaxes(title_text=parameter_title(name), **parameter_axis(range_, narrow=columns > 1), **place)
        if place["col"] == 1:
            figure.update_yaxes(title_text=axis_title(configuration), **place)
    valued = [trial for trial in trials if height_of(trial) is not None]
    return or_empty(figure, valued, "No trial has a value yet.")


def parallel_coordinates(study: Study, configuration: StudyConfig, importances: Importances) -> go.Figure:
    """Parallel coordinates drawn as lines; plotly's own need WebGL and have no hover texts."""
    space = configuration.search_space
    names = parallel_parameters(space, importances)
    trials = with_values(complete_trials(study), space, names)
    figure = new_figure("", "")
    values = [trial.value or 0.0 for trial in trials]
    low, high = min(values, default=0.0), max(values, default=1.0)
    for quarter in reversed(range(4)):
        group = [t for rank, t in enumerate(sorted(trials, key=best_first)) if rank * 4 // len(trials) == quarter]
        if not group:
            continue
        x: list[int | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for trial in group:
            places = [_place(space[name], trial.params[name]) for name in names]
            x += [*range(len(places) + 1), None]
            y += [*places, ((trial.value or 0.0) - low) / (high - low) if high > low else 0.5, None]
            texts += [hover_text(trial)] * (len(places) + 2)
        span = [f"{trial.value:.3f}" for trial in (group[-1], group[0])]
        name = f"{metric_title(configuration)} {' to '.join(dict.fromkeys(span))}"
        line = {
            "color": QUARTERS[quarter],
            "width": 2 if quarter == 0 else 1.2,
            "dash": "dot" if quarter == 3 else None,
        }
        figure.add_scatter(
            x=x, y=y, name=name, mode="lines", line=line, text=texts, hovertemplate="%{text}<extra></extra>"
        )
    ends = [_ends(space[name]) for name in names] + [(f"{low:.3f}", f"{high:.3f}")]
    for place, (bottom, top) in enumerate(ends):
        figure.add_vline(x=place, line={"color": TEXT, "width": 1})
        for height, text, anchor in ((0, bottom, "top"), (1, top, "bottom")):
            figure.add_annotation(x=place, y=height, text=text, showarrow=False, yanchor=anchor, font_size=11)
    titles = [parameter_title(name) for name in names] + [axis_title(configuration)]
    ticks = {"tickvals": list(range(len(titles))), "ticktext": ["<br>".join(title.split()) for title in titles]}
    figure.update_xaxes(**ticks, showgrid=False, tickangle=0, range=[-0.4, len(titles) - 0.6], ticks="")
    figure.update_yaxes(visible=False, range=[-0.1, 1.1])
    return or_empty(figure, trials, "No trial is complete yet.")


def importance(importances: Importances) -> go.Figure:
    figure = new_figure("Share of the importance", "")
    shown = importances.parameters[::-1]
    figure.add_scatter(
        x=[share.mean for share in shown],
        y=[parameter_title(share.parameter) for share in shown],
        mode="markers",
        marker={"color": COLOURS[COMPLETE], "size": 12},
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    intervals = [
        (share.mean - share.low, share.high - share.mean)
        for share in shown
        if share.low is not None and share.high is not None
    ]
    if intervals:  # for all parameters, or for none
        below, above = zip(*intervals, strict=True)
        bars = {"array": above, "arrayminus": below, "color": COLOURS[COMPLETE], "thickness": 2}
        figure.update_traces(error_x=bars)
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.6, len(shown) - 0.4])
    figure.update_layout(height=110 + 34 * len(shown), showlegend=False)
    return or_empty(figure, shown, importances.reason or "")


def _number(range_: BaseDistribution, value: Any) -> Any:
    return str(value) if isinstance(range_, CategoricalDistribution) else value


def _place(range_: BaseDistribution, value: Any) -> float:
    if isinstance(range_, CategoricalDistribution):
        return range_.choices.index(value) / max(len(range_.choices) - 1, 1)
    return to_unit(range_, value)


def _ends(range_: BaseDistribution) -> tuple[str, str]:
    if isinstance(range_, CategoricalDistribution):
        return str(range_.choices[0]), str(range_.choices[-1])
    return f"{range_.low:g}", f"{range_.high:g}"  # type: ignore[attr-defined]
