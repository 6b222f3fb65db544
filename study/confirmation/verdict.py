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
    of_ensemble: JudgedComparison | None = None  # the winner's trainings as one system, against the baseline


def judge(
    metric: Metric,
    *,
    default: PairedComparison | None,
    baseline: PairedComparison,
    baseline_title: str,
    ensemble: PairedComparison | None = None,
    is_refitted: bool = False,
    is_default: bool,
    rivals: int,
    failed: int = 0,
) -> Verdict:
    """The verdict from the winner's paired comparisons with the default configuration and with the best baseline.

    The baseline must have been chosen on validation texts. `default` is None if the winner is the default configuration
    itself (`is_default`), or if that one failed on fresh repeats. `ensemble`: the winner's trainings, averaged as one
    system, against the baseline; with `is_refitted`, both fitted on all texts but the test's. The p values of all
    comparisons are corrected together (Holm 1979); the 95 % intervals are uncorrected, so that one may exclude zero
    where no difference is shown. `rivals`: how many configurations the winner has beaten in the ranking; `failed`: how
    many others could not be trained.
    """
    compared = {
        "the default configuration": default,
        f"the best baseline on validation, {baseline_title}": baseline,
        f"that baseline{' on the same texts' if is_refitted else ''}": ensemble,
    }
    there = {opponent: comparison for opponent, comparison in compared.items() if comparison}
    p_values = holm([comparison.p_value for comparison in there.values()])
    judged = {
        opponent: _judged(opponent, comparison, p_value)
        for (opponent, comparison), p_value in zip(there.items(), p_values, strict=True)
    }
    against_default, against_baseline, of_ensemble = (judged.get(opponent) for opponent in compared)
    assert against_baseline is not None
    if against_default:
        conjunction = "and" if against_default.conclusion == against_baseline.conclusion else "but"
        sentence = (
            f"On the test split the winner {_in_words(against_default, metric)}, {conjunction} "
            f"{_in_words(against_baseline, metric)}"
        )
    else:
        winner = "the default configuration" if is_default else "the winner"
        begin = _without_default(is_default=is_default, rivals=rivals, failed=failed)
        sentence = f"{begin}; on the test split {winner} {_in_words(against_baseline, metric)}"
    if of_ensemble:
        which = "average of its training runs, one system,"
        which = "model, trained on all texts but the test's," if is_refitted else which
        sentence += f"; the exported {which} {_in_words(of_ensemble, metric)}"
    if len(judged) > 1:
        count = {2: "two", 3: "three"}[len(judged)]
        sentence += f"; the p values, unlike the intervals, are corrected for {count} comparisons"
    return Verdict(f"{sentence}.", against_default, against_baseline, of_ensemble)


def _without_default(*, is_default: bool, rivals: int, failed: int) -> str:
    """Why the winner is not compared with the default configuration."""
    if not is_default:
        return "The default configuration failed on fresh repeats, so that the winner is not compared with it"
    if rivals:
        return "None of the search's best configurations came before the default one in the ranking"
    if failed:
        return "All but the default configuration failed on fresh repeats"
    return "Only the default configuration was trained on fresh repeats"


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
