"""The captions of figures say why an interval or a surface is missing."""

from collections.abc import Callable

import pytest
from optuna.study import Study
from optuna.trial import TrialState

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.configuration import StudyConfig
from study.reports.figures import all_figures

Fill = Callable[..., None]
DEFAULT = StudyConfig(DataSource("toy", "00"), "/cache", Settings(LSTMConfig(), TrainingConfig(), TextLimits()))
COMPLETE = TrialState.COMPLETE

pytestmark = pytest.mark.usefixtures("few_resamples")


def test_importance_has_no_interval_if_a_sampler_chose_the_trials(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, [COMPLETE] * 30)
    (figure,) = (one for one in all_figures(study, DEFAULT) if one.name == "importance")
    (bars,) = figure.figure.data
    assert set(bars.y) == {"Hidden size", "Learning rate"}
    assert bars.error_x.array is None
    assert "Computed from the trials that TPE chose, it shows where this search has looked" in figure.caption
    assert "interval" not in figure.alt_text
    assert figure.alt_text.endswith("; shares from 30 complete trials.")


def test_the_caption_of_the_contour_says_why_there_is_no_surface(study: Study, fill: Fill) -> None:
    fill(study, DEFAULT, [COMPLETE] * 4)
    captions = [{figure.name: figure.caption for figure in all_figures(study, DEFAULT)}["contour"]]
    fill(study, DEFAULT, [COMPLETE] * 4)
    captions.append({figure.name: figure.caption for figure in all_figures(study, DEFAULT)}["contour"])
    assert "for each trial; a surface takes 5 complete trials" in captions[0]
    assert "a smooth surface" in captions[1]
