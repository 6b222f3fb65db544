"""The sentences of a report: the verdict, then its evidence, then other findings of the search."""

from optuna.trial import FrozenTrial

from study.analysis.interaction import Interaction
from study.confirmation.bootstrap import Estimate
from study.confirmation.openings import Opening
from study.confirmation.trainings import Confirmed
from study.formatting import METRIC_TITLES, format_parameters, format_seconds, plural
from study.reports.contents import HoldoutReport, Report
from study.storage.attributes import SUFFIX
from study.storage.queries import best_trial

FEW_TEXTS = 200  # of the test split: with fewer, the standard error of an accuracy of 90 % exceeds two points


def headline(report: Report) -> str:
    if report.test:
        return report.test.verdict.sentence
    if best_trial(report.study, report.configuration.search_space) is None:
        return "This report shows the search alone, in which no trial is complete yet."
    return "This report shows the search alone: its best value is optimistic. Leave --no-retrain out to confirm it."


def paragraphs(report: Report) -> list[str]:
    metric = METRIC_TITLES[report.configuration.metric]
    sentences = _about_winner(report.winner, metric) if report.winner else []
    if report.winner and report.default:
        sentences.append(_about_default(report.winner, report.default))
    if report.winner and (best := best_trial(report.study, report.configuration.search_space)):
        sentences += _about_best_of_search(report, report.winner, best)
    if (most := report.configuration.base.limits.max_training_texts) and report.winner:
        sentences.append(
            f"All that is compared here was fitted on {most:,} training texts at most (--max-training-texts)."
        )
    if (budget := report.configuration.base.training.budget_texts) and report.winner:
        sentences.append(
            f"Each training run of a network reads {budget:,} texts at most, over all its epochs (--budget-texts); the "
            "baselines are fitted on all training texts."
        )
    if report.winner and (reason := report.winner.refit_failure):
        sentences.append(f"Not all refits on all texts but the test's could be trained; the last one failed: {reason}.")
    sentences += [
        f"Left out, since training failed on a fresh repeat: {format_parameters(failed.candidate.parameters)}"
        f"{' (default)' if failed.candidate.is_default else ''}; {failed.reason}."
        for failed in report.left_out
    ]
    if report.test:
        sentences += _about_test(report.test)
    if report.audit and (best := best_trial(report.study, report.configuration.search_space)):
        sentences.append(report.audit.describe(best.value or 0.0))
    return sentences


def comparison_lines(report: Report) -> list[str]:
    """The studies of the database side by side, a line each; empty for a single study."""
    if len(report.comparison) < 2:
        return []
    metric = METRIC_TITLES[report.configuration.metric]
    if not any(study.outcome for study in report.comparison):
        return [
            f"Side by side, by the best validation {metric} of each search, none of them confirmed:",
            *(
                f"  {study.best or 0:.4f}  {study.name}  {format_parameters(study.parameters)}"
                for study in report.comparison
            ),
        ]
    lines = [f"Side by side, by validation {metric} on fresh repeats:"]
    for study in report.comparison:
        score = "not confirmed       " if study.outcome is None else f"{study.outcome.mean:.4f}"
        if study.outcome and study.outcome.deviation is not None:
            score += f" ± {study.outcome.deviation:.4f}"
        lines.append(f"  {score:<20}  {study.name}  {format_parameters(study.parameters)}")
    return lines


def notes(report: Report) -> list[str]:
    findings, cost = report.findings, report.findings.cost
    sentences = list(findings.edges)
    sentences.append(
        f"{plural(len(cost.trial_seconds), 'trial')} took {format_seconds(cost.total_seconds)} of training over all "
        f"workers, the median one {format_seconds(cost.median_seconds)}."
    )
    if cost.pruned:
        sentences.append(
            f"Pruning ended {plural(cost.pruned, 'trial')} early and saved up to {cost.epochs_saved} epochs, "
            f"about {format_seconds(cost.seconds_saved)}; {cost.epochs} epochs were run."
        )
    sentences += interaction_sentences(findings.interaction)
    if findings.importances.reason:
        sentences.append(findings.importances.reason)
    sentences += [
        f"Failed, {plural(len(failure.trials), 'trial')} ({', '.join(map(str, failure.trials))}): {failure.reason}"
        for failure in findings.failures
    ]
    return sentences


def interaction_sentences(interaction: Interaction) -> list[str]:
    """A sentence on the interaction; without a share, the reason, unless the trials are biased."""
    if interaction.share is not None:
        interval = "" if interaction.low is None else f" ({interaction.low:.0%} to {interaction.high:.0%})"
        sentence = (
            f"The interaction of {' and '.join(interaction.parameters)} makes {interaction.share:.0%} of their "
            f"variance{interval}. {interaction.caveat}"
        )
        return [sentence.rstrip()]
    if interaction.reason and not interaction.caveat:
        return [f"No figure for the interaction of parameters: {interaction.reason}"]
    return []


def interval_in_words(estimate: Estimate) -> str:
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"


def _perfection_sentence(texts: int) -> str:
    """An exact bound on the error rate, for the case without a mistake, where the bootstrap interval has no width."""
    bound = 1 - 0.05 ** (1 / texts)  # exact, one-sided, 95 %: Clopper & Pearson 1934
    return (
        f"No test text was misclassified, so the interval is too narrow: {texts:,} texts without a mistake show, "
        f"with 95 % confidence, only that at most {bound:.2%} of new ones are misclassified."
    )


def _about_winner(winner: Confirmed, metric: str) -> list[str]:
    which = "The default configuration" if winner.candidate.is_default else "The winner"
    parameters = format_parameters(winner.candidate.parameters)
    sentences = [f"{which} ({parameters}) has a validation {metric} of {_score_in_words(winner)}."]
    if winner.candidate.claimed is not None:
        sentences.append(f"The search claimed {winner.candidate.claimed:.4f} for it: {_optimism_in_words(winner)}.")
    return sentences


def _about_default(winner: Confirmed, default: Confirmed) -> str:
    score = f"{default.mean:.4f}" + (f" ± {default.deviation:.4f}" if len(default.trials) > 1 else "")
    is_as_good = default.mean >= winner.mean
    return (
        f"On the same repeats, the default configuration has {score}"
        f"{', no less than the winner: there is no reason to change it' if is_as_good else ''}."
    )


def _about_best_of_search(report: Report, winner: Confirmed, best: FrozenTrial) -> list[str]:
    """What became of the search's best configuration, if it is not the winner."""
    if winner.candidate.parameters == best.params:
        return []
    places = [ranked.candidate.parameters for ranked in report.ranking]
    if best.params in places:
        end = f"was ranked {places.index(best.params) + 1} of {len(places)}"
    elif best.params in [failed.candidate.parameters for failed in report.left_out]:
        end = "failed on a fresh repeat"
    else:
        end = "is nearly identical to the default configuration, which was ranked in its place"
    parameters = format_parameters(best.params)
    return [f"The search's own best ({parameters}), for which it claimed {best.value:.4f}, {end}."]


def _score_in_words(confirmed: Confirmed) -> str:
    if len(confirmed.trials) == 1:
        return f"{confirmed.mean:.4f} on one further repeat, a fresh seed and split"
    return (
        f"{confirmed.mean:.4f} ± {confirmed.deviation:.4f}, mean and standard deviation of {len(confirmed.trials)} "
        "further repeats (fresh seeds and splits), which played no part in the ranking"
    )


def _about_test(test: HoldoutReport) -> list[str]:
    first, exported = test.tested[0], test.exported
    is_refitted = test.is_refitted
    sentences = [
        f"On the test split, {first.system.title} has accuracy {interval_in_words(first.accuracy)} and macro-F1 "
        f"{interval_in_words(first.macro_f1)} (95 % bootstrap intervals)."
    ]
    texts = sum(scores.support for _, scores in test.per_class)
    if texts < FEW_TEXTS:
        sentences.append(
            f"The test split has only {plural(texts, 'text')}: with other texts, the figures may differ a lot."
        )
    system = test.exported_system
    if is_refitted:
        sentences.append(
            f"The exported model is {system.system.title}, with nothing left to validate it: its accuracy is "
            f"{interval_in_words(system.accuracy)}, its macro-F1 {interval_in_words(system.macro_f1)}. It is one "
            "system, so that the influence of the seeds is not measured."
        )
    elif len(exported.trainings) > 1:
        sentences.append(
            f"The exported model averages the probabilities of these {len(exported.trainings)} training runs: its "
            f"accuracy is {interval_in_words(system.accuracy)}, its macro-F1 {interval_in_words(system.macro_f1)}. It "
            "is one system, so that the influence of the seeds is not measured; and its training runs together have "
            "seen the training texts of all repeats, a fit of a baseline those of one."
        )
    elif len(first.system.predictions) > 1:
        sentences.append(
            "The exported model is from one of its training runs, the one with the best validation score; its own test "
            f"accuracy is {exported.accuracy:.4f}, its macro-F1 {exported.macro_f1:.4f}."
        )
    if len(first.system.predictions) == 1:
        sentences.append("Each was trained once, so neither intervals nor p values include the influence of the seed.")
    also = ", their average is not" if len(exported.trainings) > 1 else ""
    also = ", the exported ones on those of other runs" if is_refitted else also
    sentences.append(
        f"The probabilities of each training run are calibrated on its validation texts{also}; on the test split, the "
        f"expected calibration error is {test.calibration.expected_error:.4f}, the negative log-likelihood "
        f"{test.calibration.log_loss:.4f}."
    )
    if first.accuracy.value == 1:
        sentences.append(_perfection_sentence(texts))
    return [*sentences, _openings_sentence(test.openings)]


def _optimism_in_words(confirmed: Confirmed) -> str:
    optimism = confirmed.optimism or 0.0
    return f"{optimism:+z.4f} of optimism" if optimism >= 0 else f"{-optimism:.4f} too little"


def _openings_sentence(openings: tuple[Opening, ...]) -> str:
    if len(openings) == 1:
        return f"This test split has been opened once, on {openings[0].moment[:10]}, as far as this database knows."
    listed = "; ".join(
        f"{stamp.moment[:10]} by {stamp.study.removesuffix(SUFFIX)} after {stamp.search_trials} trials"
        for stamp in openings
    )
    looks = {stamp.study if stamp.study.endswith(SUFFIX) else "an ensemble" for stamp in openings}
    if len(looks) == len(openings):
        also = " and the ensemble" if "an ensemble" in looks else ""
        return (
            f"This test split has been opened {len(openings)} times, once for each study{also} ({listed}). So the "
            "figures of each are as good as those of a first look, as long as none of the studies is chosen by them."
        )
    return (
        f"Caution: this test split has been opened {len(openings)} times ({listed}). Each look that guides a choice "
        "makes its figures more optimistic."
    )
