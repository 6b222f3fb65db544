"""Figures of the scores and the costs of trials: history, learning curves, durations, timeline."""

from datetime import datetime

import plotly.graph_objects as go
from optuna.study import Study

from study.configuration import StudyConfig
from study.figures.colours import TEXT
from study.figures.style import (
    BEST,
    COLOURS,
    COMPLETE,
    bar_marker,
    hover_text,
    new_figure,
    or_empty,
    points_of,
)
from study.formatting import STATES, axis_title, capital
from study.storage.queries import (
    best_trial,
    curve_of,
    default_value,
    finished_trials,
    height_of,
    running_best,
    seconds_of,
    workers_of,
)

DISTINCT = 200  # bars of a timeline; of more, the gaps between them would hide all


FEW_TRIALS = 10  # with no more, each has a tick


def history(study: Study, configuration: StudyConfig) -> go.Figure:
    figure = new_figure("Trial", axis_title(configuration))
    figure.update_xaxes(dtick=1 if len(finished_trials(study)) <= FEW_TRIALS else None)
    by_state = {state: [t for t in finished_trials(study) if t.state == state] for state in STATES}
    known = [height for trial in finished_trials(study) if (height := height_of(trial)) is not None]
    floor = min(known, default=0.0)
    for state, trials in by_state.items():
        heights = [floor if (height := height_of(trial)) is None else height for trial in trials]
        figure.add_trace(points_of(trials, [trial.number for trial in trials], heights, state))
    best = running_best(study, configuration.search_space)
    figure.add_scatter(
        x=list(best), y=list(best.values()), name="best so far", mode="lines", line={"color": BEST, "shape": "hv"}
    )
    if (value := default_value(study, configuration)) is not None:
        ends = [0, max(trial.number for trial in finished_trials(study))]
        line = {"color": TEXT, "dash": "dash"}
        figure.add_scatter(x=ends, y=[value] * 2, name="default configuration", mode="lines", line=line)
    return or_empty(figure, finished_trials(study), "No trial has finished yet.")


def learning_curves(study: Study, configuration: StudyConfig) -> go.Figure:
    figure = new_figure("Epoch", axis_title(configuration))
    figure.update_xaxes(dtick=max(1, configuration.base.training.epochs // 8))
    best = best_trial(study, configuration.search_space)
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


def durations(study: Study, median: float) -> go.Figure:
    """`median`: of all trials, in seconds."""
    figure = new_figure("Trial", "Training time in seconds")
    figure.update_xaxes(dtick=1 if len(finished_trials(study)) <= FEW_TRIALS else None)
    trials = finished_trials(study)
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                x=[trial.number for trial in group],
                y=[seconds_of(trial) for trial in group],
                name=name,
                marker=bar_marker(state),
                text=[hover_text(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<br>%{y:.1f} s<extra></extra>",
            )
    if trials:
        ends = [trials[0].number - 0.5, trials[-1].number + 0.5]
        line = {"color": BEST, "dash": "dash"}
        figure.add_scatter(x=ends, y=[median] * 2, name=f"median, {median:.1f} s", mode="lines", line=line)
    return or_empty(figure, trials, "No trial has finished yet.")


def timeline(study: Study) -> go.Figure:
    """Which worker ran which trial when; of an interrupted trial, the last part."""
    trials = finished_trials(study)
    times = ((trial.number, trial.datetime_start, trial.datetime_complete) for trial in trials)
    started = [(number, start, end) for number, start, end in times if start and end]
    first = min((start for _, start, _ in started), default=datetime.min)
    starts = {number: (start - first).total_seconds() for number, start, _ in started}
    lengths = {number: (end - start).total_seconds() for number, start, end in started}
    last = max((starts[number] + lengths[number] for number in starts), default=0.0)
    unit, seconds = ("seconds", 1) if last < 180 else ("minutes", 60) if last < 3 * 3600 else ("hours", 3600)
    trials = [trial for trial in trials if trial.number in starts]
    rows = workers_of(trials)
    gap = 1 if len(trials) <= DISTINCT else 0  # between trials
    figure = new_figure(f"{capital(unit)} since the first trial started", "")
    for state, name in STATES.items():
        group = [trial for trial in trials if trial.state == state]
        if group:
            figure.add_bar(
                base=[starts[trial.number] / seconds for trial in group],
                x=[lengths[trial.number] / seconds for trial in group],
                y=[rows[trial.number] for trial in group],
                orientation="h",
                name=name,
                marker=bar_marker(state) | {"line": {"color": "white", "width": gap}},
                text=[hover_text(trial) for trial in group],
                textposition="none",
                hovertemplate="%{text}<extra></extra>",
            )
    figure.update_layout(barmode="overlay", height=min(140 + 34 * len(set(rows.values())), 2000))
    figure.update_yaxes(autorange="reversed")
    return or_empty(figure, trials, "No trial has finished yet.")
