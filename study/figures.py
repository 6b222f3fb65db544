"""What a search has found, drawn with plotly, each figure with its caption and what it shows in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from plotly.subplots import make_subplots

from study.configuration import StudyConfiguration
from study.display import best_trial
from study.figure_style import (
    BEST,
    COLOURS,
    COMPLETE,
    PRUNED,
    QUARTERS,
    SCALE,
    TEMPLATE,
    TEXT,
    bar_marker,
    hover_text,
    marker_on_a_surface,
    new_figure,
    or_empty,
    parameter_axis,
    points_of,
)
from study.figure_words import (
    STATES,
    axis_title,
    best_first,
    capital,
    curve_of,
    default_value,
    describe_figures,
    figure_titles,
    metric_title,
    most_important_pair,
    parallel_parameters,
    parameter_title,
    running_best,
    workers_of,
)
from study.findings import Importances, find_cost, find_importances, trial_seconds
from study.search_space import Space
from study.surrogate import TRIALS_OF_A_SURROGATE, Floats, encode, fit_surrogate, position, value_at
from study.trial_queue import complete_trials, finished_trials

SURFACE, REACH = 61, 0.25  # grid points per axis; how far from a complete trial, in widths of a range, it is drawn
TRIALS_FOR_SURFACE = 5
STEPS = 8  # of the surface's colours


@dataclass(frozen=True)
class Figure:
    name: str  # for an anchor or a file
    title: str
    caption: str  # a sentence
    alternative: str  # what it shows, in words and numbers
    figure: go.Figure


def all_figures(
    study: Study, configuration: StudyConfiguration, importances: Importances | None = None
) -> list[Figure]:
    """In the order of a report; also of a study without any trials, where they say so."""
    importances = importances or find_importances(study, configuration)
    drawn = {
        "history": history(study, configuration),
        "learning-curves": learning_curves(study, configuration),
        "contour": contour(study, configuration, importances),
        "slices": slices(study, configuration),
        "parallel-coordinates": parallel_coordinates(study, configuration, importances),
        "importance": importance(importances),
        "durations": durations(study, configuration),
        "timeline": timeline(study),
    }
    alternatives = describe_figures(study, configuration, importances)
    titles = figure_titles(configuration, importances)
    return [Figure(name, *titles[name], alternatives[name], figure) for name, figure in drawn.items()]


def history(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = new_figure("Trial", axis_title(configuration))
    by_state = {state: [t for t in finished_trials(study) if t.state == state] for state in STATES}
    floor = min((t.value for t in by_state[COMPLETE] + by_state[PRUNED] if t.value is not None), default=0.0)
    for state, trials in by_state.items():
        heights = [floor if trial.value is None else trial.value for trial in trials]  # a failed one has no value
        figure.add_trace(points_of(trials, [trial.number for trial in trials], heights, state))
    best = running_best(study)
    figure.add_scatter(
        x=list(best), y=list(best.values()), name="best so far", mode="lines", line={"color": BEST, "shape": "hv"}
    )
    if (value := default_value(study, configuration)) is not None:
        ends = [0, max(trial.number for trial in finished_trials(study))]
        line = {"color": TEXT, "dash": "dash"}
        figure.add_scatter(x=ends, y=[value] * 2, name="default configuration", mode="lines", line=line)
    return or_empty(figure, finished_trials(study), "No trial has finished yet.")


def learning_curves(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = new_figure("Epoch", axis_title(configuration))
    figure.update_xaxes(dtick=max(1, configuration.base.training.epochs // 8))
    best = best_trial(study)
    curves = {trial.number: curve_of(trial, configuration.metric) for trial in finished_trials(study)}
    trials = [trial for trial in finished_trials(study) if curves[trial.number]]
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state and trial is not best]
        if not group:
            continue
        x, y, texts = [], [], []
        for trial in group:  # one trace, with a gap after each trial
            curve = curves[trial.number]
            x += [*range(1, len(curve) + 1), None]
            y += [*curve, None]
            texts += [hover_text(trial)] * (len(curve) + 1)
        line = {"color": COLOURS[state], "width": 1.2}
        options = {"mode": "lines", "line": line, "opacity": 0.75 if state == COMPLETE else 0.5, "legendgroup": name}
        figure.add_scatter(x=x, y=y, text=texts, hovertemplate="%{text}<extra></extra>", name=name, **options)
        if state != COMPLETE:
            last_epochs = [len(curves[trial.number]) for trial in group]
            figure.add_trace(points_of(group, last_epochs, [curves[trial.number][-1] for trial in group], state))
            figure.data[-1].update(name=f"end of a {name} one", marker_symbol="x-thin", marker_line_width=1.5)
            figure.data[-1].update(marker_line_color=COLOURS[state], marker_size=7, legendgroup=name)
    if best is not None and curves[best.number]:
        curve = curves[best.number]
        figure.add_scatter(
            x=list(range(1, len(curve) + 1)),
            y=curve,
            name=f"best (trial {best.number})",
            mode="lines+markers",
            line={"color": BEST, "width": 3},
        )
    return or_empty(figure, trials, "No trial has finished an epoch yet.")


def contour(study: Study, configuration: StudyConfiguration, importances: Importances) -> go.Figure:
    space = configuration.search_space
    names = most_important_pair(space, importances)
    figure = new_figure(*(parameter_title(name) for name in names))
    for axis, name in zip((figure.layout.xaxis, figure.layout.yaxis), names, strict=True):
        axis.update(parameter_axis(space[name]))
    if surface := smooth_surface(study, space, names):
        x, y, z = surface
        floor, top = surface_limits(study)
        title = f"{axis_title(configuration)}<br>(darkest: {floor:.3f} or less)"
        bar = {"title": title, "title_side": "top", "orientation": "h", "thickness": 12, "outlinewidth": 0, "nticks": 5}
        bar |= {"y": 1.0, "yanchor": "bottom", "tickformat": ".3f"}
        steps = {"start": floor, "end": top, "size": (top - floor) / STEPS}
        figure.add_contour(
            x=x, y=y, z=z, zmin=floor, zmax=top, contours=steps, colorscale=SCALE, colorbar=bar, line_width=0.5,
            hoverinfo="skip",
        )  # fmt: skip
        # With a colour bar, plotly would draw the title of the axis into the plot: in its place, a note.
        figure.update_layout(height=440, xaxis_title="", legend={"yref": "paper", "y": -0.22, "yanchor": "top"})
        note = {"xref": "paper", "yref": "paper", "x": 0.5, "y": 0, "yshift": -26, "yanchor": "top", "showarrow": False}
        figure.add_annotation(text=parameter_title(names[0]), font_size=14, **note)
    best = best_trial(study)
    trials = [trial for trial in finished_trials(study) if all(name in trial.params for name in names)]
    for state in STATES:
        group = [trial for trial in trials if trial.state == state and trial is not best]
        x, y = ([trial.params[name] for trial in group] for name in names)
        points = points_of(group, x, y, state)
        # With an edge, so that they are seen on the surface as well as on a white or a black page.
        points.marker.update(marker_on_a_surface(state))
        figure.add_trace(points)
    if best is not None and best in trials:
        points = points_of([best], [best.params[names[0]]], [best.params[names[1]]], COMPLETE)
        points.update(name=f"best (trial {best.number})", marker=marker_on_a_surface(None))
        figure.add_trace(points)
    return or_empty(figure, trials, "No trial has finished yet.")


def slices(study: Study, configuration: StudyConfiguration) -> go.Figure:
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
            group = [trial for trial in trials if trial.state == state and name in trial.params]
            values = [_number(range_, trial.params[name]) for trial in group]
            points = points_of(group, values, [trial.value for trial in group], state)
            points.update(showlegend=index == 0, legendgroup=STATES[state])
            figure.add_trace(points, **place)
        figure.update_xaxes(title_text=parameter_title(name), **parameter_axis(range_, narrow=columns > 1), **place)
        if place["col"] == 1:
            figure.update_yaxes(title_text=axis_title(configuration), **place)
    valued = [trial for trial in trials if trial.value is not None]
    return or_empty(figure, valued, "No trial has a value yet.")


def parallel_coordinates(study: Study, configuration: StudyConfiguration, importances: Importances) -> go.Figure:
    """Of lines, not plotly's own, which needs WebGL and cannot be hovered."""
    space, trials = configuration.search_space, complete_trials(study)
    names = parallel_parameters(space, importances)
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
            places = [_place(space[name], trial.params[name]) for name in names if name in trial.params]
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
        x=[one.mean for one in shown],
        y=[parameter_title(one.parameter) for one in shown],
        mode="markers",
        marker={"color": COLOURS[COMPLETE], "size": 12},
        error_x={
            "array": [one.high - one.mean for one in shown],
            "arrayminus": [one.mean - one.low for one in shown],
            "color": COLOURS[COMPLETE],
            "thickness": 2,
        },
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    figure.update_xaxes(range=[-0.02, 1.02])
    figure.update_yaxes(range=[-0.6, len(shown) - 0.4])
    figure.update_layout(height=110 + 34 * len(shown), showlegend=False)
    return or_empty(figure, shown, importances.reason or "")


def durations(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = new_figure("Trial", "Training time in seconds")
    trials = finished_trials(study)
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                x=[trial.number for trial in group],
                y=[trial_seconds(trial) for trial in group],
                name=name,
                marker=bar_marker(state),
                text=[hover_text(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<br>%{y:.1f} s<extra></extra>",
            )
    if trials:
        median = find_cost(study, configuration).median_seconds
        ends = [trials[0].number - 0.5, trials[-1].number + 0.5]
        line = {"color": BEST, "dash": "dash"}
        figure.add_scatter(x=ends, y=[median] * 2, name=f"median, {median:.1f} s", mode="lines", line=line)
    return or_empty(figure, trials, "No trial has finished yet.")


def timeline(study: Study) -> go.Figure:
    """A trial that was interrupted has its last part."""
    trials = finished_trials(study)
    times = ((trial.number, trial.datetime_start, trial.datetime_complete) for trial in trials)
    begun = [(number, start, end) for number, start, end in times if start and end]
    first = min((start for _, start, _ in begun), default=datetime.min)
    starts = {number: (start - first).total_seconds() for number, start, _ in begun}
    lengths = {number: (end - start).total_seconds() for number, start, end in begun}
    last = max((starts[number] + lengths[number] for number in starts), default=0.0)
    unit, seconds = ("seconds", 1) if last < 180 else ("minutes", 60) if last < 3 * 3600 else ("hours", 3600)
    trials = [trial for trial in trials if trial.number in starts]
    rows = workers_of(trials)
    figure = new_figure(f"{capital(unit)} since the first trial began", "")
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                base=[starts[trial.number] / seconds for trial in group],
                x=[lengths[trial.number] / seconds for trial in group],
                y=[rows[trial.number] for trial in group],
                orientation="h",
                name=name,
                marker=bar_marker(state) | {"line": {"color": "#ffffff", "width": 1}},  # between trials
                text=[hover_text(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(barmode="overlay", height=min(140 + 34 * len(set(rows.values())), 2000))
    figure.update_yaxes(autorange="reversed")
    return or_empty(figure, trials, "No trial has finished yet.")


def smooth_surface(
    study: Study, space: Space, names: tuple[str, str]
) -> tuple[list[float], list[float], Floats] | None:
    """Values of both parameters, and the expected score over them (second, first): NaN far from any complete trial."""
    trials = [trial for trial in complete_trials(study) if all(name in trial.params for name in names)]
    if len(trials) < TRIALS_FOR_SURFACE or len({trial.value for trial in trials}) == 1:
        return None
    trials = trials[:: -(-len(trials) // TRIALS_OF_A_SURROGATE)]
    both = {name: space[name] for name in names}
    points = encode([trial.params for trial in trials], both)
    places = np.linspace(0, 1, SURFACE)
    grid = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    values = np.array([trial.value for trial in trials], dtype=np.float64)
    z = np.clip(fit_surrogate(points, values).predict(grid), values.min(), values.max())
    distances = np.linalg.norm(grid[:, None] - points[None], axis=-1).min(axis=1)
    z[distances > REACH] = np.nan
    x, y = ([value_at(space[name], place) for place in places] for name in names)
    return x, y, z.reshape(SURFACE, SURFACE)


def surface_limits(study: Study) -> tuple[float, float]:
    """Lower quartile and best value of the complete trials: below, differences say little about where the best lies."""
    values = [trial.value for trial in complete_trials(study) if trial.value is not None]
    low, top = float(np.quantile(values, 0.25)), max(values)
    return (low, top) if low < top else (min(values), top)


def _number(range_: BaseDistribution, value: Any) -> Any:
    return str(value) if isinstance(range_, CategoricalDistribution) else value


def _place(range_: BaseDistribution, value: Any) -> float:
    if isinstance(range_, CategoricalDistribution):
        return range_.choices.index(value) / max(len(range_.choices) - 1, 1)
    return position(range_, value)


def _ends(range_: BaseDistribution) -> tuple[str, str]:
    if isinstance(range_, CategoricalDistribution):
        return str(range_.choices[0]), str(range_.choices[-1])
    return f"{range_.low:g}", f"{range_.high:g}"  # type: ignore[attr-defined]
