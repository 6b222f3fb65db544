"""A report on the search alone, and its rank among the compared studies."""

from dataclasses import replace

import pytest
from rich.console import Console

from data.source import DataSource
from study.configuration import StudyConfig
from study.confirmation.confirm import Confirmation
from study.confirmation.leaderboard import ComparedStudy
from study.model_settings import DEFAULTS
from study.reports.contents import search_report

pytestmark = pytest.mark.usefixtures("few_resamples")

CONFIGURATION = StudyConfig(DataSource("r8", "00", "/r8.csv"), "/cache", DEFAULTS["lstm"])


def test_a_report_on_the_search_alone_has_no_test(confirmation: Confirmation) -> None:
    report = search_report(confirmation.search, CONFIGURATION, Console(quiet=True))
    assert (report.test, report.winner, report.ranking) == (None, None, ())
    assert report.study.study_name == "toy"
    assert report.reproduction.report == "python -m study.report --no-retrain"
    assert report.configuration == CONFIGURATION
    assert report.findings.cost.pruned == 0


def test_the_rank_of_a_study_is_its_place_among_the_compared_studies(confirmation: Confirmation) -> None:
    report = search_report(confirmation.search, CONFIGURATION, Console(quiet=True))
    others = [ComparedStudy(name, "lstm", 1, 1.0, 0.5, {}, None) for name in ("best", "toy", "worst")]
    assert report.rank == 0
    assert replace(report, comparison=tuple(others)).rank == 1
