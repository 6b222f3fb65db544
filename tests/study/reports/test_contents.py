"""What a report says about the test split, from predictions made by hand."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from optuna.study import Study
from rich.console import Console
from sklearn.metrics import f1_score

from data.source import DataSource
from models.baselines import PUBLISHED
from models.training.calibration import Bin
from models.training.scores import Metric, macro_f1
from study.configuration import StudyConfig
from study.confirmation.confirm import Confirmation
from study.confirmation.openings import Opening, split_hash
from study.confirmation.predictions import HoldoutResults, Probabilities, System
from study.confirmation.trainings import Confirmed
from study.model_settings import DEFAULTS
from study.reports.contents import Exported, HoldoutScores, Report, confirmed_report
from study.storage.attributes import OPENINGS, OUTCOME

pytestmark = pytest.mark.usefixtures("few_resamples")

CONFIGURATION = StudyConfig(DataSource("r8", "00", "/r8.csv"), "/cache", DEFAULTS["lstm"])
LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
WINNER = np.array([[0, 0, 1, 1, 1, 1, 2, 0], [0, 0, 0, 1, 1, 0, 2, 2]])
DEFAULT = np.array([[0, 0, 1, 1, 1, 0, 2, 0], [0, 0, 0, 1, 0, 0, 2, 2]])
PERFECT, WRONG = np.stack([LABELS] * 2), np.stack([(LABELS + 1) % 3] * 2)
PROBABILITIES = Probabilities((1.5, 2.0), (0.2, 0.4), np.full((2, 8), 0.9))
ONE = Probabilities((1.0,), (0.1,), np.full((1, 8), 0.75))
SYSTEMS = (
    System("winner", "the winner", {"hidden_size": 99}, (0.5, 0.7), WINNER, 1234, PROBABILITIES),
    System("ensemble", "the winner, 2 training runs averaged", {"hidden_size": 99}, (), WINNER[:1], 2468, ONE),
    System("default", "the default configuration", {"hidden_size": 64}, (0.4, 0.4), DEFAULT, 99, PROBABILITIES),
    System("linear_svm", "linear SVM", {"C": [1, 1]}, (0.8, 0.9), PERFECT),
    System("majority", "majority class", {}, (0.9, 0.85), WRONG),  # the best one by validation
)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[HoldoutResults]:
    """The results that the confirmation seems to have stored: the last one of the list."""
    results = [HoldoutResults(LABELS, ("a", "b", "c"), SYSTEMS)]

    def load(study: Study, compared: list[Confirmed], *, checkpoints: Path) -> HoldoutResults:
        assert study.study_name == "toy/confirmation"
        assert compared[0].candidate.parameters == {"hidden_size": 99}
        assert checkpoints.is_dir()
        return results[-1]

    monkeypatch.setattr("study.reports.contents.load_results", load)
    return results


def report_on(confirmation: Confirmation) -> Report:
    return confirmed_report(confirmation, Console(file=StringIO()))


@pytest.mark.usefixtures("stored")
def test_scores_are_the_means_over_the_repeats(confirmation: Confirmation) -> None:
    test = report_on(confirmation).test
    assert test is not None
    winner = test.tested[0]
    assert [scores.system.name for scores in test.tested] == [system.name for system in SYSTEMS]
    assert winner.accuracy.value == winner.score("accuracy").value == pytest.approx((6 / 8 + 7 / 8) / 2)
    expected = np.mean([f1_score(LABELS, row, average="macro") for row in WINNER])
    assert winner.macro_f1.value == winner.score("macro_f1").value == pytest.approx(expected)
    assert 0 <= winner.accuracy.low <= winner.accuracy.value <= winner.accuracy.high <= 1
    again = report_on(confirmation).test
    assert again is not None
    assert (again.tested[0].accuracy, again.tested[0].macro_f1) == (winner.accuracy, winner.macro_f1)  # the same
    assert again.verdict == test.verdict
    assert test.confusion == ((2.5, 0.5, 0.0), (0.5, 2.5, 0.0), (0.5, 0.0, 1.5))  # texts, the mean over repeats
    assert [name for name, _ in test.per_class] == ["a", "b", "c"]
    assert test.per_class[0][1].recall == pytest.approx(2.5 / 3)
    assert [scores.support for _, scores in test.per_class] == [3, 3, 2]


@pytest.mark.usefixtures("stored")
def test_the_average_of_the_trainings_is_exported_with_its_own_scores(confirmation: Confirmation) -> None:
    test = report_on(confirmation).test
    assert test is not None
    assert test.exported == Exported("ensemble", (7, 8), 6 / 8, macro_f1(LABELS, WINNER[0]))
    assert test.exported_system.system == SYSTEMS[1]
    assert test.calibration.expected_error == pytest.approx(0)
    assert test.calibration.log_loss == 0.1
    assert test.verdict.of_ensemble is not None
    assert test.verdict.of_ensemble.comparison.difference == pytest.approx(
        test.tested[1].macro_f1.value - test.tested[4].macro_f1.value
    )


@pytest.mark.usefixtures("stored")
def test_a_single_training_that_is_exported_is_the_one_that_is_best_on_validation(confirmation: Confirmation) -> None:
    test = confirmed_report(confirmation, Console(file=StringIO()), single=True).test
    assert test is not None
    assert test.exported == Exported("winner", (8,), 7 / 8, macro_f1(LABELS, WINNER[1]))
    assert "average" not in test.verdict.sentence
    assert test.verdict.of_ensemble is None
    assert test.exported_system.system == SYSTEMS[0]


@pytest.mark.usefixtures("stored")
def test_the_calibration_of_a_single_model_is_the_mean_over_the_training_runs(confirmation: Confirmation) -> None:
    test = confirmed_report(confirmation, Console(file=StringIO()), single=True).test
    assert test is not None
    assert test.calibration.expected_error == pytest.approx((abs(6 / 8 - 0.9) + abs(7 / 8 - 0.9)) / 2)
    assert test.calibration.log_loss == pytest.approx(0.3)
    (bin_,) = test.calibration.bins
    assert (bin_.confidence, bin_.accuracy, bin_.share) == pytest.approx((0.9, 13 / 16, 1.0))
    assert isinstance(bin_, Bin)


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
@pytest.mark.usefixtures("stored")
def test_the_winner_is_compared_with_the_default_and_with_the_baseline_best_on_validation(
    metric: Metric, confirmation: Confirmation
) -> None:
    base = replace(CONFIGURATION.base, training=replace(CONFIGURATION.base.training, metric=metric))
    test = report_on(replace(confirmation, configuration=replace(CONFIGURATION, base=base))).test
    assert test is not None
    assert test.verdict.against_default is not None
    winner, _, default, _, majority = (scores.score(metric).value for scores in test.tested)
    assert test.verdict.against_default.comparison.difference == pytest.approx(winner - default)
    assert test.verdict.against_default.comparison.difference > 0
    assert test.verdict.against_baseline.comparison.difference == pytest.approx(winner - majority)
    assert test.verdict.against_baseline.opponent == "the best baseline on validation, majority class"


def test_a_verdict_without_a_default_configuration_says_why(
    confirmation: Confirmation, stored: list[HoldoutResults]
) -> None:
    stored.append(replace(stored[0], systems=(*SYSTEMS[:2], *SYSTEMS[3:])))
    itself = replace(confirmation.winner, candidate=replace(confirmation.winner.candidate, is_default=True))
    for changed, reason in (
        (replace(confirmation, default=None), "The default configuration failed on fresh repeats"),
        (replace(confirmation, winner=itself), "None of the search's best configurations came before the default one"),
        (
            replace(confirmation, winner=itself, ranking=confirmation.ranking[:1]),
            "All but the default configuration failed on fresh repeats",
        ),
        (
            replace(confirmation, winner=itself, ranking=confirmation.ranking[:1], left_out=()),
            "Only the default configuration was trained on fresh repeats",
        ),
    ):
        test = report_on(changed).test
        assert test is not None
        assert test.verdict.against_default is None
        assert test.verdict.sentence.startswith(reason)


@pytest.mark.usefixtures("stored")
def test_published_results_are_shown_for_standard_corpora_only(confirmation: Confirmation) -> None:
    test = report_on(confirmation).test
    assert test is not None
    assert test.published == ()  # a file of the same name
    standard = replace(CONFIGURATION, source=DataSource("r8", "00"))
    test = report_on(replace(confirmation, configuration=standard)).test
    assert test is not None
    assert test.published == PUBLISHED["r8"]
    unknown = replace(CONFIGURATION, source=DataSource("of nobody", "00"))
    test = report_on(replace(confirmation, configuration=unknown)).test
    assert test is not None
    assert test.published == ()


@pytest.mark.usefixtures("stored")
def test_every_opening_of_this_test_split_is_in_the_report(confirmation: Confirmation) -> None:
    own = Opening(split_hash(CONFIGURATION), "toy/confirmation", "2026-01-02T00:00:00+00:00", 2)
    others = Opening("of another split", "toy/confirmation", "2026-01-01T00:00:00+00:00", 1)
    confirmation.study.set_user_attr(OPENINGS, [vars(own), vars(others)])
    test = report_on(confirmation).test
    assert test is not None
    assert test.openings == (own,)


@pytest.mark.usefixtures("stored")
def test_the_outcome_is_stored_with_the_confirmation(confirmation: Confirmation) -> None:
    report = report_on(confirmation)
    assert report.test is not None
    outcome = confirmation.study.user_attrs[OUTCOME]
    winner = report.test.tested[0]
    assert outcome["parameters"] == {"hidden_size": 99}
    assert (outcome["mean"], outcome["draws"], outcome["search_trials"]) == (pytest.approx(0.6), 2, 2)
    assert outcome["deviation"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert (outcome["seconds"], outcome["weights"]) == (3.0, 1234)
    assert outcome["accuracy"] == vars(winner.accuracy)
    assert outcome["macro_f1"] == vars(winner.macro_f1)


def test_a_single_repeat_has_no_deviation(confirmation: Confirmation, stored: list[HoldoutResults]) -> None:
    probabilities = replace(PROBABILITIES, confidences=PROBABILITIES.confidences[:1])
    systems = [replace(system, predictions=system.predictions[:1]) for system in (SYSTEMS[0], *SYSTEMS[2:])]
    systems[:2] = [replace(system, probabilities=probabilities) for system in systems[:2]]
    stored.append(replace(stored[0], systems=tuple(systems)))
    report_on(replace(confirmation, winner=replace(confirmation.winner, trials=confirmation.winner.trials[:1])))
    assert confirmation.study.user_attrs[OUTCOME]["deviation"] is None


def test_the_test_split_is_opened_where_no_results_are_stored(
    confirmation: Confirmation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def open_test_split(*arguments: object, **options: object) -> HoldoutResults:
        asked.append((arguments, options))
        return HoldoutResults(LABELS, ("a", "b", "c"), SYSTEMS)

    monkeypatch.setattr("study.reports.contents.load_results", lambda *_, **__: None)
    monkeypatch.setattr("study.reports.contents.open_test_split", open_test_split)
    text = StringIO()
    report = confirmed_report(confirmation, Console(file=text, width=200))
    assert (
        text.getvalue() == "Predicting the test split with the winner, the default configuration and the baselines.\n"
    )
    assert report.test is not None
    ((arguments, options),) = asked
    assert arguments == (confirmation.study, confirmation.storage, CONFIGURATION, confirmation.compared)
    assert options["search_trials"] == 2
    assert callable(options["on_event"])
    assert (options["device"], options["checkpoints"]) == (confirmation.device, confirmation.checkpoints)


@pytest.mark.usefixtures("stored")
def test_a_report_holds_what_the_confirmation_has_found(confirmation: Confirmation) -> None:
    report = report_on(confirmation)
    found = (report.ranking, report.winner, report.default, report.left_out, report.audit)
    parts = (confirmation.ranking, confirmation.winner, confirmation.default, confirmation.left_out, confirmation.audit)
    assert found == parts
    assert report.study.study_name == "toy"
    assert report.configuration == CONFIGURATION
    assert report.findings.cost.total_seconds == 0
    assert "--seeds 2" in report.reproduction.report
    assert report.study is confirmation.search  # a snapshot


def test_a_score_can_be_looked_up_by_its_metric(confirmation: Confirmation, stored: list[HoldoutResults]) -> None:
    test = report_on(confirmation).test
    assert test is not None
    scores = test.tested[1]
    assert isinstance(scores, HoldoutScores)
    assert scores.score("accuracy") == scores.accuracy != scores.macro_f1 == scores.score("macro_f1")
    assert stored[0].systems[1] == scores.system
