"""The tables and sentences of a report, where something is missing or too good."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import FrozenTrial, create_trial

from data.source import DataSource
from models.baselines import PublishedResult
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.calibration import Bin
from models.training.config import TrainingConfig
from models.training.scores import ClassScores
from preprocessing.batches import TextLimits
from study.analysis.findings import find
from study.configuration import StudyConfig
from study.confirmation.bootstrap import Estimate, PairedComparison
from study.confirmation.candidates import Candidate, Ranked
from study.confirmation.leaderboard import ComparedStudy, Outcome
from study.confirmation.openings import Opening
from study.confirmation.predictions import System
from study.confirmation.trainings import Confirmed, LeftOut
from study.confirmation.verdict import judge
from study.reports.contents import Calibration, Exported, HoldoutReport, HoldoutScores, Report
from study.reports.reproduction import Reproduction
from study.reports.sentences import paragraphs
from study.reports.tables import Table, comparison_table, confused_pairs, tables

CONFIGURATION = StudyConfig(
    DataSource("toy", "00"), str(Path.cwd()), Settings(LSTMConfig(), TrainingConfig(), TextLimits())
)
SIZES = IntDistribution(16, 256)
SOME = Estimate(0.5, 0.4, 0.6)
TIE = PairedComparison(0.0, -0.1, 0.1, 1.0)


def report_of(repeats: int, estimate: Estimate = SOME, *, exported: int = 1) -> Report:
    study = optuna.create_study(direction="maximize")
    predictions = np.zeros((repeats, 3), np.int64)
    systems = [
        System("winner", "the winner", {"hidden_size": 64, "dropout": 0.25}, (0.5,) * repeats, predictions),
        System("ensemble", "the winner, averaged", {}, (), predictions[:1]),
        System("linear_svm", "linear SVM", {"C": [1, 1, 0.3][:repeats]}, (0.5,) * repeats, predictions),
    ]
    calibration = Calibration(0.02, 0.3, (Bin(0.9, 0.88, 1.0),))
    test = HoldoutReport(
        tuple(HoldoutScores(system, estimate, estimate, calibration) for system in systems),
        judge("macro_f1", default=None, baseline=TIE, baseline_title="linear SVM", is_default=True, rivals=1),
        (("there", ClassScores(0.5, 1.0, 0.667, 3)), ("nowhere", ClassScores(0.0, 0.0, 0.0, 0))),
        ((3.0, 0.0), (0.0, 0.0)),
        (Opening("00", "toy", "2026-01-01T00:00:00+00:00", 1),),
        (PublishedResult("LSTM", 0.9, "someone"),),
        Exported(systems[exported > 1].name, tuple(range(exported)), 0.25, 0.125),
    )
    findings = find(study, CONFIGURATION)
    return Report(study, CONFIGURATION, findings, NOTHING, test=test)


def tables_of(repeats: int) -> dict[str, Table]:
    return {table.name: table for table in tables(report_of(repeats))}


NOTHING = Reproduction("", "", "", {})


def test_a_baseline_of_an_earlier_version_shows_the_parameters_tuned_on_each_repeat() -> None:
    rows = tables_of(repeats=3)["test"].rows
    assert rows[0][-1] == "hidden_size=64  dropout=0.25"
    assert rows[2][-1] == "C=1, 1, 0.3"


def test_a_class_without_a_text_in_the_test_has_no_scores() -> None:
    rows = tables_of(repeats=3)["classes"].rows
    assert rows == (("there", "0.500", "1.000", "0.667", "3"), ("nowhere", "-", "-", "-", "0"))


def test_of_very_many_classes_only_the_most_frequent_mistakes_are_shown() -> None:
    report = report_of(3)
    assert report.test is not None
    counts = np.diag(np.full(1_000, 9.0))
    counts[np.arange(100), np.arange(100) + 1] = np.linspace(1, 4, 100)
    scores = ClassScores(0.5, 1.0, 0.667, 3)
    test = replace(
        report.test,
        per_class=tuple((f"class {number}", scores) for number in range(1_000)),
        confusion=tuple(map(tuple, counts.tolist())),
    )
    table = next(table for table in tables(replace(report, test=test)) if table.name == "confusion")
    assert len(table.rows) == 60
    assert table.rows[0] == ("class 99", "class 100", "4", "30.8%")
    assert table.rows[1] == ("class 98", "class 99", "4.0", "30.6%")
    assert "the most frequent of 100 kinds of mistakes" in table.caption
    assert "of the 1,000 classes that occur are in confusion.csv" in table.caption
    pairs = confused_pairs(test)
    assert len(pairs) == 1_100
    assert sum(pair.texts for pair in pairs) == pytest.approx(counts.sum())


def test_the_intervals_of_a_single_seed_do_not_claim_to_include_seeds() -> None:
    assert "over texts and seeds" in tables_of(repeats=3)["test"].caption
    assert "they do not include" in tables_of(repeats=1)["test"].caption


def test_intervals_are_said_to_hold_for_this_pool_of_training_texts() -> None:
    assert "hold for this pool of training texts" in tables_of(repeats=3)["test"].caption
    assert "or of other training texts" in tables_of(repeats=1)["test"].caption


def test_the_exported_training_run_and_the_calibration_are_reported_with_the_mean() -> None:
    told = " ".join(paragraphs(report_of(3)))
    assert "the best validation score; its own test accuracy is 0.2500, its macro-F1 0.1250." in told
    assert "expected calibration error is 0.0200, the negative log-likelihood 0.3000." in told
    averaged = " ".join(paragraphs(report_of(3, exported=3)))
    assert "averages the probabilities of these 3 training runs: its accuracy is 0.5000 (0.4000 to 0.6000)" in averaged
    assert "calibrated on its validation texts, their average is not; on the test split" in averaged
    once = " ".join(paragraphs(report_of(1)))
    assert "one of its training runs" not in once
    assert "Each was trained once, so neither intervals nor p values include the influence of the seed." in once


def test_a_report_says_how_many_texts_a_training_run_reads_if_not_all_in_each_epoch() -> None:
    winner = Confirmed(Candidate({"hidden_size": 64}, None, is_default=True), (create_trial(value=0.6),))
    report = replace(report_of(1), winner=winner)
    base = replace(CONFIGURATION.base, training=TrainingConfig(budget_texts=245_000))
    part = replace(report, configuration=replace(CONFIGURATION, base=base))
    assert "reads 245,000 texts at most, over all its epochs" in " ".join(paragraphs(part))
    assert "--budget-texts" not in " ".join(paragraphs(report))


def test_the_ranking_and_the_confirmation_are_shown_separately() -> None:
    def trial(value: float) -> FrozenTrial:
        return create_trial(value=value)

    search = optuna.create_study(direction="maximize")
    search.add_trial(create_trial(params={"hidden_size": 99}, distributions={"hidden_size": SIZES}, value=0.9))
    best = Candidate({"hidden_size": 99}, trial(0.9), is_default=False)
    won = Candidate({"hidden_size": 32}, trial(0.8), is_default=False)
    default = Confirmed(Candidate({"hidden_size": 64}, None, is_default=True), (trial(0.6), trial(0.62)))
    report = replace(
        report_of(3),
        study=search,
        ranking=(Ranked(won, (trial(0.85), trial(0.75))), Ranked(best, (trial(0.5),))),
        winner=Confirmed(won, (trial(0.7), trial(0.72))),
        default=default,
    )
    found = {table.name: table for table in tables(report)}
    assert found["confirmation"].rows == (
        ("hidden_size=32", "0.8000", "0.7100", "0.0141", "+0.0900"),
        ("hidden_size=64 (default)", "-", "0.6100", "0.0141", "-"),
    )
    assert found["ranking"].rows == (
        ("hidden_size=32", "0.8000", "0.8500, 0.7500", "0.8250", "0.8000"),
        ("hidden_size=99", "0.9000", "0.5000", "0.7000", "-"),
    )
    told = " ".join(paragraphs(report))
    assert "The search claimed 0.8000 for it: +0.0900 of optimism." in told
    own = "The search's own best (hidden_size=99), for which it claimed 0.9000, "
    assert f"{own}was ranked 2 of 2." in told
    assert "On the same repeats, the default configuration has 0.6100 ± 0.0141." in told
    failed = replace(report, ranking=report.ranking[:1], left_out=(LeftOut(best, "no memory"),))
    assert f"{own}failed on a fresh repeat." in paragraphs(failed)
    assert f"{own}is nearly identical to the default configuration, which was ranked in its place." in paragraphs(
        replace(report, ranking=report.ranking[:1])
    )
    as_good = replace(default, trials=(trial(0.71),))
    assert "On the same repeats, the default configuration has 0.7100, no less than the winner: there is" in " ".join(
        paragraphs(replace(report, default=as_good))
    )


def test_our_results_are_shown_with_the_published_ones() -> None:
    rows = tables_of(repeats=1)["published"].rows
    assert rows[0] == ("LSTM", "0.9000", "someone")
    assert rows[1] == ("the winner", "0.5000", "this report")


def test_a_perfect_score_does_not_claim_to_be_certain() -> None:
    perfect = [line for line in paragraphs(report_of(3, Estimate(1.0, 1.0, 1.0))) if "interval is too narrow" in line]
    assert len(perfect) == 1
    assert "3 texts without a mistake" in perfect[0]
    assert "63.16% of new ones" in perfect[0]  # 0.368 ** 3 = 0.05
    assert not any("too narrow" in line for line in paragraphs(report_of(3)))


def compared(*outcomes: Outcome | None) -> Table:
    studies = [
        ComparedStudy(f"study {number}", "cnn", 8, 60.0, 0.9, {"filters": 100}, outcome)
        for number, outcome in enumerate(outcomes)
    ]
    return comparison_table(studies, "macro-F1")


def test_the_comparison_shows_what_is_confirmed_for_each_study() -> None:
    outcome = Outcome(
        {"filters": 100}, 0.8, 0.01, 3, 4, 7.0, 1_500_000, Estimate(0.5, 0.4, 0.6), Estimate(0.3, 0.2, 0.4)
    )
    table = compared(outcome, None)
    first, second = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert first["Fresh validation macro-F1"] == "0.8000 ± 0.0100"
    assert (first["Test accuracy"], second["Test accuracy"]) == ("0.5000 (0.4000 to 0.6000)", "-")
    assert (first["Trials"], second["Trials"]) == ("8 (4 when confirmed)", "8")
    assert second["Fresh validation macro-F1"] == "not confirmed"
    assert "on fresh repeats" in table.caption


def test_only_the_searches_are_compared_if_no_study_is_confirmed() -> None:
    table = compared(None, None)
    assert table.columns == ("Study", "Best in search", "Trials", "Search", "Parameters")
    assert table.rows[0] == ("study 0", "0.9000", "8", "1 min 00 s", "filters=100")
    assert "none has been confirmed" in table.caption
    assert "fresh" not in table.caption
