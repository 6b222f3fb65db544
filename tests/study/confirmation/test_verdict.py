"""Constructed cases: clear wins, ties and losses, and a winner that is the default configuration."""

import re

import numpy as np
import pytest

from study.confirmation.bootstrap import PairedComparison, paired_bootstrap
from study.confirmation.verdict import judge

WIN = PairedComparison(0.012, 0.004, 0.02, 0.0022)
TIE = PairedComparison(-0.001, -0.008, 0.006, 0.81)
LOSS = PairedComparison(-0.03, -0.041, -0.019, 0.0002)
CLOSE = PairedComparison(0.005, 0.0002, 0.01, 0.04)


def test_a_clear_win_over_both_is_reported_with_its_figures() -> None:
    verdict = judge("macro_f1", default=WIN, baseline=WIN, baseline_title="linear SVM", is_default=False, rivals=3)
    assert verdict.sentence == (
        "On the test split the winner is better than the default configuration (macro-F1 +0.0120, "
        "95 % interval +0.0040 to +0.0200, p = 0.0044), and is better than the best baseline on validation, linear SVM "
        "(macro-F1 +0.0120, 95 % interval +0.0040 to +0.0200, p = 0.0044); the p values, unlike the intervals, are "
        "corrected for two comparisons."
    )


def test_a_win_over_the_default_does_not_hide_that_the_baseline_is_better() -> None:
    verdict = judge("accuracy", default=WIN, baseline=LOSS, baseline_title="linear SVM", is_default=False, rivals=3)
    assert "winner is better than the default configuration (accuracy +0.0120" in verdict.sentence
    assert (
        "but is worse than the best baseline on validation, linear SVM (accuracy -0.0300, 95 % interval -0.0410 to "
        "-0.0190, p < 0.001)" in verdict.sentence
    )
    assert verdict.against_baseline.conclusion == "worse"


def test_a_tie_is_reported_as_not_shown_to_differ() -> None:
    verdict = judge("macro_f1", default=TIE, baseline=TIE, baseline_title="linear SVM", is_default=False, rivals=3)
    assert "winner is not shown to differ from the default configuration (macro-F1 -0.0010" in verdict.sentence
    assert "and is not shown to differ from the best baseline on validation, linear SVM" in verdict.sentence
    assert "better" not in verdict.sentence
    assert "worse" not in verdict.sentence


def test_the_average_of_the_training_runs_is_compared_with_the_baseline_too_and_all_are_corrected_together() -> None:
    verdict = judge(
        "accuracy", default=TIE, baseline=CLOSE, baseline_title="SVM", ensemble=WIN, is_default=False, rivals=3
    )
    assert verdict.of_ensemble is not None
    assert verdict.of_ensemble.adjusted_p_value == pytest.approx(3 * WIN.p_value)
    assert verdict.against_baseline.adjusted_p_value == pytest.approx(2 * CLOSE.p_value)
    assert verdict.sentence.endswith(
        "is not shown to differ from the best baseline on validation, SVM (accuracy +0.0050, 95 % interval +0.0002 to "
        "+0.0100, p = 0.0800); the exported average of its training runs, one system, is better than that baseline "
        "(accuracy +0.0120, 95 % interval +0.0040 to +0.0200, p = 0.0066); the p values, unlike the intervals, are "
        "corrected for three comparisons."
    )
    verdict = judge(
        "accuracy", default=None, baseline=CLOSE, baseline_title="SVM", ensemble=WIN, is_default=True, rivals=3
    )
    assert verdict.against_baseline.adjusted_p_value == CLOSE.p_value
    assert verdict.sentence.endswith("corrected for two comparisons.")


@pytest.mark.parametrize("other", [CLOSE, TIE])
def test_a_close_win_is_lost_by_the_correction_for_two_comparisons(other: PairedComparison) -> None:
    verdict = judge("macro_f1", default=CLOSE, baseline=other, baseline_title="linear SVM", is_default=False, rivals=3)
    assert verdict.against_default is not None
    assert verdict.against_default.conclusion == "no difference shown"
    assert verdict.against_default.adjusted_p_value == pytest.approx(0.08)


def test_a_close_win_survives_the_correction_if_the_other_difference_is_certain() -> None:
    """Holm's second step: the larger of two p values is not multiplied."""
    verdict = judge("macro_f1", default=CLOSE, baseline=LOSS, baseline_title="linear SVM", is_default=False, rivals=3)
    assert verdict.against_default is not None
    assert verdict.against_default.conclusion == "better"
    assert verdict.against_default.adjusted_p_value == 0.04


def test_a_winner_that_is_the_default_is_compared_with_the_baseline_only_and_not_corrected() -> None:
    verdict = judge("macro_f1", default=None, baseline=CLOSE, baseline_title="linear SVM", is_default=True, rivals=3)
    assert verdict.against_default is None
    assert verdict.against_baseline.adjusted_p_value == CLOSE.p_value
    assert verdict.sentence == (
        "None of the search's best configurations came before the default one in the ranking; on the test split "
        "the default configuration is better than the best baseline on validation, linear SVM (macro-F1 +0.0050, 95 % "
        "interval +0.0002 to +0.0100, p = 0.0400)."
    )


def test_the_default_is_not_said_to_beat_rivals_if_it_alone_was_trained_again() -> None:
    verdict = judge("macro_f1", default=None, baseline=LOSS, baseline_title="linear SVM", is_default=True, rivals=0)
    assert verdict.sentence.startswith(
        "Only the default configuration was trained on fresh repeats; on the test split the default configuration is "
        "worse than the best baseline on validation"
    )


def test_the_verdict_says_if_every_rival_of_the_default_failed() -> None:
    verdict = judge(
        "macro_f1", default=None, baseline=TIE, baseline_title="linear SVM", is_default=True, rivals=0, failed=2
    )
    assert verdict.sentence.startswith(
        "All but the default configuration failed on fresh repeats; on the test split the default configuration is not "
        "shown to differ from the best baseline on validation"
    )


def test_a_default_configuration_that_failed_is_not_mistaken_for_the_winner() -> None:
    verdict = judge("macro_f1", default=None, baseline=WIN, baseline_title="linear SVM", is_default=False, rivals=1)
    assert verdict.against_default is None
    assert verdict.sentence.startswith(
        "The default configuration failed on fresh repeats, so that the winner is not compared with it; on the "
        "test split the winner is better than the best baseline on validation, linear SVM (macro-F1 +0.0120"
    )


@pytest.mark.parametrize(
    ("p_value", "told"),
    [
        (0.0499, "is better than .* p = 0.0499"),
        (0.05, "is not shown to differ from .* p = 0.0500"),
        (0.0009, "p < 0.001"),
        (0.001, "p = 0.0010"),
    ],
)
def test_a_p_value_passes_a_threshold_only_below_it(p_value: float, told: str) -> None:
    edge = PairedComparison(0.012, 0.0, 0.02, p_value)
    verdict = judge("macro_f1", default=None, baseline=edge, baseline_title="linear SVM", is_default=True, rivals=3)
    assert re.search(told, verdict.sentence)


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    tiny = PairedComparison(-0.00001, -0.00004, 0.0, 0.5)
    verdict = judge("accuracy", default=None, baseline=tiny, baseline_title="linear SVM", is_default=True, rivals=3)
    assert "accuracy +0.0000, 95 % interval +0.0000 to +0.0000" in verdict.sentence


@pytest.mark.parametrize(("errors", "conclusion"), [(60, "better"), (20, "no difference shown"), (2, "worse")])
def test_the_verdict_follows_from_the_predictions(errors: int, conclusion: str) -> None:
    """A winner with 20 mistakes in 400 texts against baselines with more, as many and fewer, on other texts."""
    labels = np.arange(400) % 4
    winner, baseline = labels.copy(), labels.copy()
    winner[:20] += 1
    baseline[-errors:] += 1
    compared = paired_bootstrap(labels, winner[None] % 4, baseline[None] % 4, "macro_f1", seed=0, rounds=2000)
    verdict = judge("macro_f1", default=None, baseline=compared, baseline_title="linear SVM", is_default=True, rivals=3)
    assert verdict.against_baseline.conclusion == conclusion
