"""The verdict of the test split on a search's winner, in one sentence, whichever way it goes."""

from dataclasses import dataclass
from typing import Literal

from models.training.scores import Metric
from study.confirmation.bootstrap import PairedComparison, holm
from study.formatting import METRIC_TITLES

SIGNIFICANCE = 0.05  # of all comparisons together

Conclusion = Literal["better", "no difference shown", "worse"]
VERBS: dict[Conclusion, str] = {
    "better": "is better than",
    "no difference shown": "is not shown to differ from",
    "worse": "is worse than",
}


@dataclass(frozen=True)
class JudgedComparison:
    """The winner against an opponent; a positive difference is in the winner's favour."""

    opponent: str
    comparison: PairedComparison
    adjusted_p_value: float  # corrected for the number of comparisons
    conclusion: Conclusion


@dataclass(frozen=True)
class Verdict:
    sentence: str
    against_default: JudgedComparison | None  # None: the winner is the default configuration, or that one failed
    against_baseline: JudgedComparison


def judge(
    metric: Metric,
    *,
    default: PairedComparison | None,
    baseline: PairedComparison,
    baseline_title: str,
    is_default: bool,
    rivals: int,
    failed: int = 0,
) -> Verdict:
    """The verdict from the winner's paired comparisons with the default configuration and with the best baseline.

    The baseline must have been chosen on validation texts. `default` is None if the winner is the default configuration
    itself (`is_default`), or if that one failed on fresh repeats: then one comparison remains, without correction.
    Otherwise the p values of both are corrected together (Holm 1979); the 95 % intervals are uncorrected, so that one
    may exclude zero where no difference is shown. `rivals`: how many configurations the winner has beaten in the
    ranking; `failed`: how many others could not be trained.
    """
    opponent = f"the best baseline on validation, {baseline_title}"
    if default is None:
        judged = _judged(opponent, baseline, baseline.p_value)
        if not is_default:
            begin = "The default configuration failed on fresh repeats, so that the winner is not compared with it"
        elif rivals:
            begin = "None of the search's best configurations came before the default one in the ranking"
        elif failed:
            begin = "All but the default configuration failed on fresh repeats"
        else:
            begin = "Only the default configuration was trained on fresh repeats"
        winner = "the default configuration" if is_default else "the winner"
        return Verdict(f"{begin}; on the test split {winner} {_in_words(judged, metric)}.", None, judged)
    default_p_value, baseline_p_value = holm([default.p_value, baseline.p_value])
    first = _judged("the default configuration", default, default_p_value)
    second = _judged(opponent, baseline, baseline_p_value)
    conjunction = "and" if first.conclusion == second.conclusion else "but"
    sentence = (
        f"On the test split the winner {_in_words(first, metric)}, {conjunction} {_in_words(second, metric)}; "
        "the p values, unlike the intervals, are corrected for two comparisons."
    )
    return Verdict(sentence, first, second)


def _judged(opponent: str, comparison: PairedComparison, adjusted_p_value: float) -> JudgedComparison:
    conclusion: Conclusion = "no difference shown"
    if adjusted_p_value < SIGNIFICANCE:
        conclusion = "better" if comparison.difference > 0 else "worse"
    return JudgedComparison(opponent, comparison, adjusted_p_value, conclusion)


def _in_words(judged: JudgedComparison, metric: Metric) -> str:
    """The comparison as in: is worse than X (macro-F1 -0.0120, 95 % interval -0.0200 to -0.0041, p = 0.0044)."""
    comparison, p_value = judged.comparison, judged.adjusted_p_value
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.4f}"
    interval = f"{comparison.low:+z.4f} to {comparison.high:+z.4f}"
    figures = f"{METRIC_TITLES[metric]} {comparison.difference:+z.4f}, 95 % interval {interval}, {p}"
    return f"{VERBS[judged.conclusion]} {judged.opponent} ({figures})"
