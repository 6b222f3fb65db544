"""What a search has found, drawn with plotly, each figure with its caption and what it shows in words.

The colours are told apart by the colour-blind and have a contrast of at least 3:1 on white and on nearly black pages.
The text is grey, readable on both; a page that includes `PAGE_STYLE` gets it in its own text colour.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from plotly.subplots import make_subplots

from study.configuration import StudyConfiguration
from study.display import METRIC_TITLES, best_trial, format_parameters, format_seconds
from study.findings import (
    TRIALS_OF_A_SURROGATE,
    Floats,
    Importances,
    complete_trials,
    encode,
    find_cost,
    find_importances,
    fit_surrogate,
    position,
    trial_seconds,
    value_at,
)
from study.search_space import Space, default_parameters
from study.trial_queue import WORKER, finished_trials

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
STATES = {COMPLETE: "complete", PRUNED: "pruned", FAIL: "failed"}
COLOURS = {COMPLETE: "#2a7fbf", PRUNED: "#8c8c8c", FAIL: "#b5539c"}
SYMBOLS = {COMPLETE: "circle", PRUNED: "circle-open", FAIL: "x"}
BEST, TEXT, GRID_LINES = "#d55e00", "#7d7d7d", "rgba(128,128,128,0.25)"
SCALE = "Cividis"
QUARTERS = ("#d55e00", "#c4820e", "#2a7fbf", "#8c8c8c")  # the best quarter of the trials first
AXES = 5  # parallel ones, at most: more cannot be read on a phone
SURFACE, REACH = 61, 0.25  # grid points per axis; how far from a complete trial, in widths of a range, it is drawn
TRIALS_FOR_SURFACE = 5
STEPS = 8  # of the surface's colours
MARGIN = 0.03  # on either side of a range, in its widths

PAGE_STYLE = """
.js-plotly-plot .main-svg text:not(.hovertext text) { fill: currentColor !important; }
.js-plotly-plot .modebar { display: none !important; }
"""
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": TEXT},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "autosize": True,
        "height": 380,
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "yref": "container", "y": 0, "yanchor": "bottom"},
        "xaxis": {
            "automargin": True,
            "gridcolor": GRID_LINES,
            "zeroline": False,
            "linecolor": TEXT,
            "ticks": "outside",
            "title": {"standoff": 8},
        },
        "yaxis": {
            "automargin": True,
            "gridcolor": GRID_LINES,
            "zeroline": False,
            "title": {"standoff": 6},
            "ticklabelstandoff": 4,
        },
        "hoverlabel": {"align": "left"},
        "dragmode": False,  # so that a finger scrolls the page
    }
)


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
    titles = _titles(configuration, importances)
    return [Figure(name, *titles[name], alternatives[name], figure) for name, figure in drawn.items()]


def history(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = _figure("Trial", axis_title(configuration))
    by_state = {state: [t for t in finished_trials(study) if t.state == state] for state in STATES}
    floor = min((t.value for t in by_state[COMPLETE] + by_state[PRUNED] if t.value is not None), default=0.0)
    for state, trials in by_state.items():
        heights = [floor if trial.value is None else trial.value for trial in trials]  # a failed one has no value
        figure.add_trace(_points(trials, [trial.number for trial in trials], heights, state))
    best = running_best(study)
    figure.add_scatter(
        x=list(best), y=list(best.values()), name="best so far", mode="lines", line={"color": BEST, "shape": "hv"}
    )
    if (value := default_value(study, configuration)) is not None:
        ends = [0, max(trial.number for trial in finished_trials(study))]
        line = {"color": TEXT, "dash": "dash"}
        figure.add_scatter(x=ends, y=[value] * 2, name="default configuration", mode="lines", line=line)
    return _or_empty(figure, finished_trials(study), "No trial has finished yet.")


def learning_curves(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = _figure("Epoch", axis_title(configuration))
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
            texts += [_hover(trial)] * (len(curve) + 1)
        line = {"color": COLOURS[state], "width": 1.2}
        options = {"mode": "lines", "line": line, "opacity": 0.75 if state == COMPLETE else 0.5, "legendgroup": name}
        figure.add_scatter(x=x, y=y, text=texts, hovertemplate="%{text}<extra></extra>", name=name, **options)
        if state != COMPLETE:
            last_epochs = [len(curves[trial.number]) for trial in group]
            figure.add_trace(_points(group, last_epochs, [curves[trial.number][-1] for trial in group], state))
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
    return _or_empty(figure, trials, "No trial has finished an epoch yet.")


def contour(study: Study, configuration: StudyConfiguration, importances: Importances) -> go.Figure:
    space = configuration.search_space
    names = most_important_pair(space, importances)
    figure = _figure(*(parameter_title(name) for name in names))
    for axis, name in zip((figure.layout.xaxis, figure.layout.yaxis), names, strict=True):
        axis.update(_axis(space[name]))
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
        points = _points(group, x, y, state)
        # With an edge, so that they are seen on the surface as well as on a white or a black page.
        points.marker.update(_on_a_surface(state))
        figure.add_trace(points)
    if best is not None and best in trials:
        points = _points([best], [best.params[names[0]]], [best.params[names[1]]], COMPLETE)
        points.update(name=f"best (trial {best.number})", marker=_on_a_surface(None))
        figure.add_trace(points)
    return _or_empty(figure, trials, "No trial has finished yet.")


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
            points = _points(group, values, [trial.value for trial in group], state)
            points.update(showlegend=index == 0, legendgroup=STATES[state])
            figure.add_trace(points, **place)
        figure.update_xaxes(title_text=parameter_title(name), **_axis(range_, narrow=columns > 1), **place)
        if place["col"] == 1:
            figure.update_yaxes(title_text=axis_title(configuration), **place)
    valued = [trial for trial in trials if trial.value is not None]
    return _or_empty(figure, valued, "No trial has a value yet.")


def parallel_coordinates(study: Study, configuration: StudyConfiguration, importances: Importances) -> go.Figure:
    """Of lines, not plotly's own, which needs WebGL and cannot be hovered."""
    space, trials = configuration.search_space, complete_trials(study)
    names = parallel_parameters(space, importances)
    figure = _figure("", "")
    values = [trial.value or 0.0 for trial in trials]
    low, high = min(values, default=0.0), max(values, default=1.0)
    for quarter in reversed(range(4)):
        group = [t for rank, t in enumerate(sorted(trials, key=_rank)) if rank * 4 // len(trials) == quarter]
        if not group:
            continue
        x: list[int | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for trial in group:
            places = [_place(space[name], trial.params[name]) for name in names if name in trial.params]
            x += [*range(len(places) + 1), None]
            y += [*places, ((trial.value or 0.0) - low) / (high - low) if high > low else 0.5, None]
            texts += [_hover(trial)] * (len(places) + 2)
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
    return _or_empty(figure, trials, "No trial is complete yet.")


def importance(importances: Importances) -> go.Figure:
    figure = _figure("Share of the importance", "")
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
    return _or_empty(figure, shown, importances.reason or "")


def durations(study: Study, configuration: StudyConfiguration) -> go.Figure:
    figure = _figure("Trial", "Training time in seconds")
    trials = finished_trials(study)
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                x=[trial.number for trial in group],
                y=[trial_seconds(trial) for trial in group],
                name=name,
                marker=_bar(state),
                text=[_hover(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<br>%{y:.1f} s<extra></extra>",
            )
    if trials:
        median = find_cost(study, configuration).median_seconds
        ends = [trials[0].number - 0.5, trials[-1].number + 0.5]
        line = {"color": BEST, "dash": "dash"}
        figure.add_scatter(x=ends, y=[median] * 2, name=f"median, {median:.1f} s", mode="lines", line=line)
    return _or_empty(figure, trials, "No trial has finished yet.")


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
    figure = _figure(f"{_capital(unit)} since the first trial began", "")
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                base=[starts[trial.number] / seconds for trial in group],
                x=[lengths[trial.number] / seconds for trial in group],
                y=[rows[trial.number] for trial in group],
                orientation="h",
                name=name,
                marker=_bar(state),
                text=[_hover(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(barmode="overlay", height=min(140 + 34 * len(set(rows.values())), 2000))
    figure.update_yaxes(autorange="reversed")
    return _or_empty(figure, trials, "No trial has finished yet.")


def describe_figures(study: Study, configuration: StudyConfiguration, importances: Importances) -> dict[str, str]:
    """What each figure shows, in words and numbers, by its name."""
    metric, space, trials = metric_title(configuration), configuration.search_space, finished_trials(study)
    counts = Counter(trial.state for trial in trials)
    best, default, complete = best_trial(study), default_value(study, configuration), complete_trials(study)
    names = most_important_pair(space, importances)
    reached = with_parameters = f"No trial is complete, so there is no best {metric}."
    if best is not None:
        reached = f"The best {metric}, {best.value:.4f}, was reached in trial {best.number}."
        with_parameters = f"{reached[:-1]} with {format_parameters(best.params).replace('  ', ', ')}."
    finished = f"{_plural(len(trials), 'trial')} finished: " + ", ".join(
        f"{counts[state]} {name}" for state, name in STATES.items()
    )
    against = "" if default is None else f" The default configuration reached {default:.4f}."
    bests = running_best(study)
    if first_good := next((number for number, value in bests.items() if value >= 0.99 * max(bests.values())), None):
        against += f" Within 1 % of the best for the first time: trial {first_good}."
    curve = curve_of(best, configuration.metric) if best else []
    curves = f" Its curve: {', '.join(f'{value:.3f}' for value in curve)}." if curve else ""
    ends = Counter(len(curve_of(trial, configuration.metric)) for trial in trials if trial.state == PRUNED)
    pruned = ", ".join(f"{count} after epoch {epoch}" for epoch, count in sorted(ends.items()))
    cost = find_cost(study, configuration)
    longest = max(cost.trial_seconds, key=lambda number: cost.trial_seconds[number], default=None)
    workers = len(set(workers_of(trials).values()))
    tops = sorted(complete, key=_rank)[: max(1, len(complete) // 4)]

    def best_quarter(parameters: Iterable[str]) -> str:
        if not tops:
            return reached
        spans = (f"{parameter_title(name).lower()} {_span(space[name], name, tops)}" for name in parameters)
        return f"The best quarter of the complete trials ({len(tops)}) has {', '.join(spans)}."

    all_spans = (f"{parameter_title(name).lower()} {_span(space[name], name, complete)}" for name in names)
    return {
        "history": f"{finished}. {with_parameters}{against}",
        "learning-curves": f"{finished}. {reached}{curves}" + (f" Pruned: {pruned}." if pruned else ""),
        "contour": f"{reached} The complete trials lie in {' and '.join(all_spans)}. {best_quarter(names)}"
        if complete
        else reached,
        "slices": best_quarter(space),
        "parallel-coordinates": best_quarter(parallel_parameters(space, importances)),
        "importance": importances.reason
        or "; ".join(
            f"{parameter_title(one.parameter)} {one.mean:.2f} ({one.low:.2f} to {one.high:.2f})"
            for one in importances.parameters
        )
        + f"; shares, with 95 % intervals, from {importances.trials} complete trials.",
        "durations": f"{_plural(len(trials), 'trial')} trained for {format_seconds(cost.total_seconds)} together; the "
        f"median is {cost.median_seconds:.1f} s"
        + ("." if longest is None else f", the longest {cost.trial_seconds[longest]:.1f} s in trial {longest}."),
        "timeline": f"{_plural(workers, 'worker')} ran {_plural(len(trials), 'trial')} within "
        f"{format_seconds(cost.elapsed_seconds)}: {', '.join(f'{counts[s]} {name}' for s, name in STATES.items())}.",
    }


def _titles(configuration: StudyConfiguration, importances: Importances) -> dict[str, tuple[str, str]]:
    """Title and caption of each figure."""
    metric, space = metric_title(configuration), configuration.search_space
    first, second = (parameter_title(name) for name in most_important_pair(space, importances))
    shown = len(parallel_parameters(space, importances))
    some = "" if shown == len(space) else f" Of the {len(space)} parameters, it shows the {shown} most important ones."
    return {
        "history": (
            "Optimisation history",
            f"The {metric} of each trial, the best one so far, and what the default configuration reaches.",
        ),
        "learning-curves": ("Learning curves", f"The {metric} after each epoch; pruned trials end at a cross."),
        "contour": (
            f"{first} and {second.lower()}",
            f"The {metric} over both, a smooth surface (a Gaussian process) near the complete trials.",
        ),
        "slices": (
            "One parameter at a time",
            f"The {metric} over each parameter; that of a pruned trial is its best before it ended.",
        ),
        "parallel-coordinates": (
            "Parallel coordinates",
            f"A line is a complete trial, its colour the quarter that its {metric} lies in.{some}",
        ),
        "importance": ("Parameter importance", importances.about),
        "durations": ("Durations", "The training time of each trial, and the median."),
        "timeline": ("Timeline", "Which worker ran which trial when."),
    }


def metric_title(configuration: StudyConfiguration) -> str:
    return f"validation {METRIC_TITLES[configuration.metric]}"


def axis_title(configuration: StudyConfiguration) -> str:
    return _capital(metric_title(configuration))


def parameter_title(name: str) -> str:
    return _capital(name.replace("_", " "))


def running_best(study: Study) -> dict[int, float]:
    """The best value so far at each complete trial, by its number."""
    best, values = -np.inf, {}
    for trial in complete_trials(study):
        best = max(best, trial.value if trial.value is not None else best)
        values[trial.number] = float(best)
    return values


def default_value(study: Study, configuration: StudyConfiguration) -> float | None:
    """Of the first complete trial with the default configuration."""
    default = default_parameters(configuration.search_space, configuration.base)
    return next((trial.value for trial in complete_trials(study) if trial.params == default), None)


def curve_of(trial: FrozenTrial, metric: str) -> list[float]:
    """A score per epoch; the best one so far where a trial has recorded no more."""
    reported = [value for _, value in sorted(trial.intermediate_values.items())]
    values = trial.user_attrs.get("curve", {}).get(metric) or reported
    return [float(value) for value in values if np.isfinite(value)]


def most_important_pair(space: Space, importances: Importances) -> tuple[str, str]:
    """Of numbers; hidden size and learning rate where these are all that is searched, or nothing is known."""
    numbers = [name for name, range_ in space.items() if not isinstance(range_, CategoricalDistribution)]
    if len(numbers) > 2 and importances.parameters:
        numbers = [one.parameter for one in importances.parameters if one.parameter in numbers]
    return numbers[0], numbers[1]


def parallel_parameters(space: Space, importances: Importances) -> list[str]:
    """As many as can be read, in the order of the space."""
    ranked = [one.parameter for one in importances.parameters] or list(space)
    return [name for name in space if name in ranked[:AXES]]


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


def log_ticks(range_: BaseDistribution) -> list[float]:
    """Few round numbers within a range that is searched on a logarithmic scale; none for another one."""
    if isinstance(range_, CategoricalDistribution) or not range_.log:  # type: ignore[attr-defined]
        return []
    low, high = value_at(range_, -MARGIN), value_at(range_, 1 + MARGIN)
    ticks = [step * 10.0**power for power in range(-9, 10) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    return ticks if len(ticks) <= 5 else [tick for tick in ticks if not f"{tick:e}".startswith(("2", "5"))]


def surface_limits(study: Study) -> tuple[float, float]:
    """Lower quartile and best value of the complete trials: below, differences say little about where the best lies."""
    values = [trial.value for trial in complete_trials(study) if trial.value is not None]
    low, top = float(np.quantile(values, 0.25)), max(values)
    return (low, top) if low < top else (min(values), top)


def workers_of(trials: list[FrozenTrial]) -> dict[int, str]:
    """A short name for the worker of each trial, by the trial's number; the first to begin is worker 1."""
    names = dict.fromkeys(trial.user_attrs.get(WORKER) for trial in sorted(trials, key=lambda trial: trial.number))
    short = {name: f"Worker {number}" for number, name in enumerate(names, start=1)}
    return {trial.number: short[trial.user_attrs.get(WORKER)] for trial in trials}


def _figure(x_title: str, y_title: str) -> go.Figure:
    return go.Figure(layout={"template": TEMPLATE, "xaxis": {"title": x_title}, "yaxis": {"title": y_title}})


def _or_empty(figure: go.Figure, shown: Any, reason: str) -> go.Figure:
    """The figure, or in its place the reason why there is nothing to show."""
    if len(shown):
        return figure
    axis = {"visible": False}
    empty = go.Figure(layout={"template": TEMPLATE, "height": 100, "xaxis": axis, "yaxis": axis})
    lines = reason.replace(", ", ",<br>").replace(". ", ".<br>")
    return empty.add_annotation(text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)


def _points(trials: list[FrozenTrial], x: list[Any], y: list[Any], state: TrialState) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=STATES[state],
        marker={"symbol": SYMBOLS[state], "color": COLOURS[state], "size": 8},
        text=[_hover(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        showlegend=bool(trials),
    )


def _on_a_surface(state: TrialState | None) -> dict[str, Any]:
    """Markers for trials; for the best one with None."""
    if state is None:
        return {"symbol": "star", "color": BEST, "size": 17, "line": {"color": "#ffffff", "width": 1.5}}
    if state == PRUNED:
        return {"symbol": "circle", "color": "#ffffff", "size": 6, "line": {"color": "#222222", "width": 1}}
    line = {"color": "#ffffff", "width": 1.2}
    return {"symbol": "x" if state == FAIL else "circle", "color": COLOURS[state], "size": 9, "line": line}


def _bar(state: TrialState) -> dict[str, Any]:
    pattern = {"shape": {COMPLETE: "", PRUNED: "/", FAIL: "x"}[state], "fillmode": "replace", "size": 6}
    return {"color": COLOURS[state], "pattern": pattern, "line": {"color": COLOURS[state], "width": 1}}


def _axis(range_: BaseDistribution, *, narrow: bool = False) -> dict[str, Any]:
    """Of a parameter: its whole range and a little more, with round numbers on a logarithmic scale."""
    if isinstance(range_, CategoricalDistribution):
        return {"type": "category", "categoryorder": "array", "categoryarray": [str(one) for one in range_.choices]}
    low, high = (value_at(range_, place) for place in (-MARGIN, 1 + MARGIN))
    if not (ticks := log_ticks(range_)):
        whole = isinstance(range_, IntDistribution) and range_.high - range_.low <= 5
        return {"range": [low, high], "nticks": 4 if narrow else 6, "dtick": 1 if whole else None}
    ticks = ticks[::2] if narrow and len(ticks) > 3 else ticks
    texts = [f"{tick:g}" for tick in ticks]
    return {
        "type": "log",
        "range": np.log10([low, high]).tolist(),
        "tickvals": ticks,
        "ticktext": texts,
        "tickangle": 0,
    }


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


def _span(range_: BaseDistribution, name: str, trials: list[FrozenTrial]) -> str:
    values = [trial.params[name] for trial in trials if name in trial.params]
    if not values or isinstance(range_, CategoricalDistribution):
        counts = Counter(map(str, values)).most_common()
        return " or ".join(f"{value} ({count})" for value, count in counts) or "unknown"
    ends = (min(values), max(values))
    return " to ".join(dict.fromkeys(f"{end:.3g}" if isinstance(end, float) else str(end) for end in ends))


def _rank(trial: FrozenTrial) -> tuple[float, int]:
    """The best one first."""
    return -(trial.value or 0.0), trial.number


def _hover(trial: FrozenTrial) -> str:
    value = "" if trial.value is None else f" {trial.value:.4f}"
    reason = [str(trial.user_attrs["failure"])[:80]] if "failure" in trial.user_attrs else []
    lines = [
        f"trial {trial.number}, {STATES[trial.state]}{value}",
        *format_parameters(trial.params).split("  "),
        *reason,
    ]
    return "<br>".join(lines)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
