"""All figures of a study, in the order of a report, each with its caption and what it shows in words."""

from dataclasses import dataclass

import plotly.graph_objects as go
from optuna.study import Study

from study.analysis.findings import Importances, find_importances
from study.configuration import StudyConfiguration
from study.figure_words import (
    describe_figures,
    figure_titles,
)
from study.figures.parameters import contour, importance, parallel_coordinates, slices
from study.figures.trials import durations, history, learning_curves, timeline


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
