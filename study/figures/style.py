"""The style of a study's figures: markers, axes and hover texts.

Text is grey, readable on white and on nearly black pages; a page with `PAGE_STYLE` gets it in its own text colour.
"""

from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from study.analysis.surrogate import from_unit
from study.figures.colours import BLACK, BLUE, GREY, OCHRE, ORANGE, PINK, TEXT
from study.formatting import STATES, format_parameters

COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
COLOURS = {COMPLETE: BLUE, PRUNED: GREY, FAIL: PINK}
SYMBOLS = {COMPLETE: "circle", PRUNED: "circle-open", FAIL: "x"}
BEST, GRID_LINES = ORANGE, "rgba(128,128,128,0.25)"
QUARTERS = (ORANGE, OCHRE, BLUE, GREY)  # the best quarter of the trials first
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


def show_inline() -> None:
    """Set up Jupyter: figures work in JupyterLab and in exported HTML, without the network and without buttons."""
    plotly.io.renderers.default = "plotly_mimetype+notebook"
    for name in ("plotly_mimetype", "notebook"):
        plotly.io.renderers[name].config = {"displayModeBar": False}


def log_ticks(range_: BaseDistribution) -> list[float]:
    """A few round numbers within a range on a logarithmic scale; none for other ranges."""
    if isinstance(range_, CategoricalDistribution) or not range_.log:  # type: ignore[attr-defined]
        return []
    low, high = from_unit(range_, -MARGIN), from_unit(range_, 1 + MARGIN)
    ticks = [step * 10.0**power for power in range(-9, 10) for step in (1, 2, 5) if low <= step * 10.0**power <= high]
    return ticks if len(ticks) <= 5 else [tick for tick in ticks if not f"{tick:e}".startswith(("2", "5"))]


def new_figure(x_title: str, y_title: str) -> go.Figure:
    return go.Figure(layout={"template": TEMPLATE, "xaxis": {"title": x_title}, "yaxis": {"title": y_title}})


LINE_LENGTH = 45  # characters of a sentence in a figure: a phone has room for no more


def or_empty(figure: go.Figure, shown: Any, reason: str) -> go.Figure:
    """The figure, or instead of an empty one the reason."""
    if len(shown):
        return figure
    axis = {"visible": False}
    empty = go.Figure(layout={"template": TEMPLATE, "height": 100, "xaxis": axis, "yaxis": axis})
    lines = "<br>".join(wrap(reason, LINE_LENGTH))
    return empty.add_annotation(text=lines, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)


def points_of(trials: list[FrozenTrial], x: list[Any], y: list[Any], state: TrialState) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name=STATES[state],
        marker={"symbol": SYMBOLS[state], "color": COLOURS[state], "size": 8},
        text=[hover_text(trial) for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        showlegend=bool(trials),
    )


def marker_on_a_surface(state: TrialState | None) -> dict[str, Any]:
    """The marker of a trial in this state; None: of the best trial."""
    if state is None:
        return {"symbol": "star", "color": BEST, "size": 17, "line": {"color": "white", "width": 1.5}}
    if state == PRUNED:
        return {"symbol": "circle", "color": "white", "size": 6, "line": {"color": BLACK, "width": 1}}
    line = {"color": "white", "width": 1.2}
    return {"symbol": "x" if state == FAIL else "circle", "color": COLOURS[state], "size": 9, "line": line}


def bar_marker(state: TrialState) -> dict[str, Any]:
    pattern = {"shape": {COMPLETE: "", PRUNED: "/", FAIL: "x"}[state], "fillmode": "replace", "size": 6}
    return {"color": COLOURS[state], "pattern": pattern, "line": {"color": COLOURS[state], "width": 1}}


def parameter_axis(range_: BaseDistribution, *, narrow: bool = False) -> dict[str, Any]:
    """The axis of a parameter: its whole range and a little more, with round numbers on a logarithmic scale."""
    if isinstance(range_, CategoricalDistribution):
        return {"type": "category", "categoryorder": "array", "categoryarray": list(map(str, range_.choices))}
    low, high = (from_unit(range_, place) for place in (-MARGIN, 1 + MARGIN))
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


def hover_text(trial: FrozenTrial) -> str:
    value = "" if trial.value is None else f" {trial.value:.4f}"
    reason = [str(trial.user_attrs["failure"])[:80]] if "failure" in trial.user_attrs else []
    lines = [
        f"trial {trial.number}, {STATES[trial.state]}{value}",
        *format_parameters(trial.params).split("  "),
        *reason,
    ]
    return "<br>".join(lines)
