"""The figures hold the data that they should, whatever a study holds."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.analysis.findings import Importance, Importances, find, most_important_pair
from study.configuration import StudyConfig
from study.figures.report_pictures import save_pictures
from study.model_settings import DEFAULTS
from study.reports.figures import all_figures

Fill = Callable[..., None]
BASE = Settings(LSTMConfig(), TrainingConfig(), TextLimits())
DEFAULT = StudyConfig(DataSource("toy", "00"), "/cache", BASE)
RANDOM = replace(DEFAULT, sampler="random", pruner="none")
WIDE = StudyConfig(DataSource("toy", "00"), "/cache", BASE, space="wide")
NAMES = (
    "history",
    "learning-curves",
    "contour",
    "slices",
    "parallel-coordinates",
    "importance",
    "durations",
    "timeline",
)
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL
CASES = {
    "no trial": [],
    "one trial": [COMPLETE],
    "two trials": [COMPLETE, PRUNED],
    "only failed ones": [FAIL] * 3,
    "only pruned ones": [PRUNED] * 3,
    "one that still runs": [TrialState.RUNNING],
    "all kinds": [COMPLETE] * 12 + [PRUNED] * 7 + [FAIL] * 2,
}

pytestmark = pytest.mark.usefixtures("few_resamples")


def draw(study: Study, configuration: StudyConfig = DEFAULT) -> dict[str, go.Figure]:
    return {figure.name: figure.figure for figure in all_figures(study, configuration)}


def traces(figure: go.Figure) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("value", [None, 0.5], ids=["distinct values", "identical values"])
@pytest.mark.parametrize("states", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("configuration", [DEFAULT, WIDE], ids=lambda configuration: configuration.space)
def test_every_figure_can_be_drawn_for_every_study(
    study: Study, configuration: StudyConfig, states: list[TrialState], value: float | None, tmp_path: Path, fill: Fill
) -> None:
    fill(study, configuration, states, value)
    figures = all_figures(study, configuration)
    assert tuple(figure.name for figure in figures) == NAMES
    for figure in figures:
        json.loads(figure.figure.to_json())
        words = f"{figure.title} {figure.caption} {figure.alt_text}"
        assert not re.search(r"\b(nan|inf|None)\b", words)
        assert figure.alt_text.endswith(".")
        assert figure.figure.data or figure.figure.layout.annotations
        assert figure.figure.layout.width is None
    for path in save_pictures(study, configuration, tmp_path, find(study, configuration)):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_the_history_holds_all_trials_the_running_best_and_the_default(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, [COMPLETE, PRUNED, COMPLETE, FAIL], None)
    figure = traces(draw(study)["history"])
    assert {name: list(trace.x) for name, trace in figure.items()} == {
        "complete": [0, 2],
        "pruned": [1],
        "failed": [3],
        "best so far": [0, 2],
        "default configuration": [0, 3],
    }
    assert list(figure["best so far"].y) == [0.3, 0.32]
    assert list(figure["default configuration"].y) == [0.3, 0.3]
    assert figure["pruned"].marker.symbol == "circle-open"
    assert figure["failed"].marker.symbol == "x"


def test_learning_curves_mark_the_pruned_ones_and_the_best(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, CASES["all kinds"])
    figure = traces(draw(study)["learning-curves"])
    assert sum(value is None for value in figure["complete"].y) == 11  # a gap after each, but for the best one
    assert list(figure["best (trial 11)"].y) == pytest.approx([0.41 / 3, 0.41 / 2, 0.41])
    assert sum(value is None for value in figure["pruned"].y) == 7
    assert list(figure["end of a pruned one"].x) == [2] * 7
    assert figure["pruned"].opacity < figure["complete"].opacity


def test_the_contour_has_every_trial_on_it_and_a_surface_near_the_complete_ones(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, CASES["all kinds"])
    figure = draw(study)["contour"]
    surface = figure.data[0]
    assert surface.type == "contour"
    heights = np.array(surface.z, dtype=float)
    assert 0.3 <= np.nanmin(heights) <= np.nanmax(heights) <= 0.41
    counts = {name: len(trace.x) for name, trace in traces(figure).items() if trace.type == "scatter"}
    assert counts == {"complete": 11, "pruned": 7, "failed": 2, "best (trial 11)": 1}
    assert (figure.layout.xaxis.type, figure.layout.yaxis.type) == ("log", "log")


def test_the_contour_of_too_few_trials_shows_the_trials_without_a_surface(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, [COMPLETE, COMPLETE, PRUNED])
    figure = draw(study)["contour"]
    assert {trace.type for trace in figure.data} == {"scatter"}
    assert sum(len(trace.x) for trace in figure.data) == 3


def test_the_contour_of_a_wide_space_is_over_the_two_most_important_numbers() -> None:
    ranked = tuple(Importance(name, 0.3, 0.1, 0.5) for name in ("pooling", "dropout", "learning_rate", "layers"))
    assert most_important_pair(WIDE.search_space, Importances(20, ranked)) == ("dropout", "learning_rate")
    assert most_important_pair(WIDE.search_space, Importances(0, reason="none")) == ("hidden_size", "learning_rate")
    few = tuple(Importance(name, 0.5, 0.1, 0.9) for name in ("learning_rate", "hidden_size"))
    assert most_important_pair(DEFAULT.search_space, Importances(20, few)) == ("hidden_size", "learning_rate")


def test_slices_show_each_parameter_with_its_choices(study: Study, fill: Fill) -> None:
    fill(study, WIDE, CASES["all kinds"])
    figure = draw(study, WIDE)["slices"]
    assert len(figure.data) == 2 * len(WIDE.search_space)
    assert {len(trace.x) for trace in figure.data} == {12, 7}
    assert "max" in {value for trace in figure.data for value in trace.x}


def test_parallel_coordinates_have_a_line_for_each_complete_trial(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, CASES["all kinds"])
    figure = draw(study)["parallel-coordinates"]
    assert [sum(place is None for place in trace.x) for trace in figure.data] == [3, 3, 3, 3]
    places = [place for trace in figure.data for place in trace.y if place is not None]
    assert 0 <= min(places) <= max(places) <= 1


def test_importance_has_a_bar_with_an_interval_for_each_parameter_of_random_trials(study: Study, fill: Fill) -> None:
    fill(study, RANDOM, [COMPLETE] * 30)
    (bars,) = draw(study, RANDOM)["importance"].data
    assert set(bars.y) == {"Hidden size", "Learning rate"}
    assert len(bars.error_x.array) == 2
    assert all(mean + more <= 1 for mean, more in zip(bars.x, bars.error_x.array, strict=True))


def test_the_timeline_has_a_row_for_each_worker(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, CASES["all kinds"])
    figure = draw(study)["timeline"]
    assert {row for trace in figure.data for row in trace.y} == {"Worker 1", "Worker 2"}
    assert sum(len(trace.x) for trace in figure.data) == 21
    assert traces(figure)["failed"].base[0] == 19


def test_the_alt_texts_contain_the_numbers_of_the_study(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, CASES["all kinds"])
    words = {figure.name: figure.alt_text for figure in all_figures(study, DEFAULT)}
    assert words["history"].startswith(
        "21 trials finished: 12 complete, 7 pruned, 2 failed. The best validation macro-F1"
    )
    assert "0.4100, was reached in trial 11" in words["history"]
    assert "default configuration reached 0.3000" in words["history"]
    assert "7 after epoch 2" in words["learning-curves"]
    assert "2 workers ran 21 trials within 21 s" in words["timeline"]
    assert "19 s together" in words["durations"] or "21 s together" in words["durations"]


def test_a_model_without_epochs_has_no_learning_curves(study: Study, tmp_path: Path) -> None:
    linear = replace(DEFAULT, base=DEFAULTS["linear"])
    space = linear.search_space
    study.add_trial(create_trial(params={"C": 1.0, "max_ngram": 2}, distributions=space, value=0.5))
    assert [figure.name for figure in all_figures(study, linear)] == [name for name in NAMES if "curves" not in name]
    paths = save_pictures(study, linear, tmp_path, find(study, linear))
    assert [path.name for path in paths] == ["history.png", "contour.png"]


def test_of_very_many_trials_a_part_is_drawn_and_a_sentence_says_so(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: Fill
) -> None:
    monkeypatch.setattr("study.reports.figures.POINTS", 28)
    monkeypatch.setattr("study.figures.report_pictures.CURVES", 5)
    fill(study, DEFAULT, [COMPLETE, PRUNED] * 50, None)
    figures = {figure.name: figure for figure in all_figures(study, DEFAULT)}
    for name in ("history", "contour", "slices", "durations", "timeline", "learning-curves", "parallel-coordinates"):
        assert "Of 100 trials, " in figures[name].caption
    assert "are drawn" not in figures["importance"].caption
    history = traces(figures["history"].figure)
    assert 28 <= sum(len(history[name].x) for name in ("complete", "pruned")) < 100
    assert all(bar.marker.line.width for bar in figures["timeline"].figure.data)
    monkeypatch.setattr("study.figures.trials.DISTINCT", 10)
    timeline = draw(study)["timeline"]
    assert not any(bar.marker.line.width for bar in timeline.data)  # the gaps would hide the bars
    assert "100 trials finished" in figures["history"].alt_text  # the words tell of all
    save_pictures(study, DEFAULT, tmp_path, find(study, DEFAULT))
