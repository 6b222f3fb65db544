"""The tables of a report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from study.confirmation.candidates import Candidate
from study.confirmation.leaderboard import ComparedStudy
from study.confirmation.predictions import System
from study.confirmation.pruning_audit import Audit
from study.formatting import METRIC_TITLES, capital, format_parameters, format_seconds
from study.reports.contents import HoldoutReport, Report
from study.reports.sentences import interval_in_words
from study.reports.table import Table
from study.reports.texts import look_tables, text_tables

CLASSES_OF_A_MATRIX = 40  # with more, a table of all pairs cannot be read
MISTAKES = 60  # rows of the table instead


def tables(report: Report) -> list[Table]:
    metric = METRIC_TITLES[report.configuration.metric]
    shown = [_confirmation_table(report, metric)] if report.winner else []
    if len(report.ranking) > 1:
        shown.append(_ranking_table(report, metric))
    if report.test:
        shown += _test_tables(report.test)
    if report.audit and report.audit.audited:
        shown.append(_audit_table(report.audit, metric))
    if len(report.comparison) > 1:
        shown.append(comparison_table(report.comparison, metric))
    if report.texts:
        shown += text_tables(report.texts) + (look_tables(report.look) if report.look else [])
    return shown


def comparison_table(studies: Sequence[ComparedStudy], metric: str) -> Table:
    rows = []
    for study in studies:
        outcome = study.outcome
        deviation = f" ± {outcome.deviation:.4f}" if outcome and outcome.deviation is not None else ""
        rows.append(
            (
                study.name,
                f"{outcome.mean:.4f}{deviation}" if outcome else "not confirmed",
                "-" if study.best is None else f"{study.best:.4f}",
                interval_in_words(outcome.accuracy) if outcome else "-",
                interval_in_words(outcome.macro_f1) if outcome else "-",
                str(outcome.draws) if outcome else "-",
                _trials_in_words(study),
                format_seconds(study.seconds),
                f"{outcome.seconds:.1f} s" if outcome else "-",
                f"{outcome.weights / 1e6:.2f} M" if outcome else "-",
                format_parameters(study.parameters),
            )
        )
    ranked_by = f"their winners' validation {metric} on fresh repeats; the test decides nothing here"
    if not any(study.outcome for study in studies):
        ranked_by = f"the best validation {metric} of each search, an optimistic number: none has been confirmed"
    caption = (
        f"The studies of this database on the same texts and splits, ranked by {ranked_by}. Times are of training on "
        "one worker, without what is computed once for all trials, such as the features of a frozen encoder."
    )
    columns = (
        *("Study", f"Fresh validation {metric}", "Best in search", "Test accuracy", "Test macro-F1"),
        *("Seeds", "Trials", "Search", "One training", "Weights", "Parameters"),
    )
    filled = [index for index in range(len(columns)) if {row[index] for row in rows} - {"-", "not confirmed"}]
    shown, *shown_rows = [tuple(cells[index] for index in filled) for cells in (columns, *rows)]
    return Table("comparison", "Side by side", caption, shown, tuple(shown_rows))


def _trials_in_words(study: ComparedStudy) -> str:
    if study.outcome is None or study.outcome.search_trials == study.trials:
        return str(study.trials)
    return f"{study.trials} ({study.outcome.search_trials} when confirmed)"


def _confirmation_table(report: Report, metric: str) -> Table:
    rows = [
        (
            _configuration(confirmed.candidate),
            "-" if confirmed.candidate.claimed is None else f"{confirmed.candidate.claimed:.4f}",
            f"{confirmed.mean:.4f}",
            "-" if math.isnan(confirmed.deviation) else f"{confirmed.deviation:.4f}",
            "-" if confirmed.optimism is None else f"{confirmed.optimism:+z.4f}",
        )
        for confirmed in (report.winner, report.default)
        if confirmed
    ]
    caption = (
        f"Validation {metric}: in the search, and on further repeats (fresh seeds and splits), which have ranked "
        "nothing: no fresh mean in this table was chosen for being high."
    )
    columns = ("Configuration", "In the search", "Fresh mean", "Deviation", "Optimism")
    return Table("confirmation", "Confirmation", caption, columns, tuple(rows))


def _ranking_table(report: Report, metric: str) -> Table:
    rounds = max(len(ranked.trials) for ranked in report.ranking)
    rows = [
        (
            _configuration(ranked.candidate),
            "-" if ranked.candidate.claimed is None else f"{ranked.candidate.claimed:.4f}",
            ", ".join(f"{value:.4f}" for value in ranked.values),
            *(f"{mean:.4f}" for mean in ranked.means),
            *["-"] * (rounds - len(ranked.trials)),
        )
        for ranked in report.ranking
    ]
    caption = (
        f"Validation {metric} of the best configurations: each round trains the remaining ones on one more repeat, "
        "the same for all, and keeps the better half by the mean of all training runs, including that of the search. "
        "These scores are optimistic, since they chose the winner."
    )
    means = (f"Mean after round {round_ + 1}" for round_ in range(rounds))
    return Table("ranking", "Ranking", caption, ("Configuration", "In search", "On each repeat", *means), tuple(rows))


def _configuration(candidate: Candidate) -> str:
    return format_parameters(candidate.parameters) + (" (default)" if candidate.is_default else "")


def _test_tables(test: HoldoutReport) -> list[Table]:
    test_tables = [_systems_table(test)]
    if test.published:
        rows = [(row.model, f"{row.accuracy:.4f}", row.source) for row in test.published]
        rows += [(tested.system.title, f"{tested.accuracy.value:.4f}", "this report") for tested in test.tested]
        caption = "What others report on the same test split, and what this report has found."
        test_tables.append(
            Table("published", "Published results", caption, ("Model", "Accuracy", "Source"), tuple(rows))
        )
    classes = [
        (name, f"{scores.precision:.3f}", f"{scores.recall:.3f}", f"{scores.f1:.3f}", f"{scores.support:,}")
        if scores.support
        else (name, "-", "-", "-", "0")
        for name, scores in test.per_class
    ]
    which = capital(test.tested[0].system.title)
    caption = f"{which} on the test split, the mean of its training runs. Macro-F1 leaves out a class without a text."
    columns = ("Class", "Precision", "Recall", "F1", "Texts")
    test_tables.append(Table("classes", "Class by class", caption, columns, tuple(classes)))
    test_tables.append(_mistakes_table(test) if len(test.per_class) > CLASSES_OF_A_MATRIX else _matrix_table(test))
    return test_tables


def _matrix_table(test: HoldoutReport) -> Table:
    names = [name for name, _ in test.per_class]
    counts = tuple((name, *map(_count, row)) for name, row in zip(names, test.confusion, strict=True))
    which = capital(test.tested[0].system.title)
    caption = f"{which}: texts by class (rows) and predicted class (columns), the mean of its training runs."
    shades = tuple(tuple(math.sqrt(count / max(sum(row), 1)) for count in row) for row in test.confusion)
    return Table("confusion", "Confusion matrix", caption, ("Class", *names), counts, shades)


def _mistakes_table(test: HoldoutReport) -> Table:
    mistakes = [pair for pair in confused_pairs(test) if pair.actual != pair.predicted]
    which = capital(test.tested[0].system.title)
    caption = (
        f"{which}: the most frequent of {len(mistakes):,} kinds of mistakes, the mean of its training runs; all pairs "
        f"of the {len(test.per_class):,} classes that occur are in confusion.csv."
    )
    rows = tuple((pair.actual, pair.predicted, _count(pair.texts), f"{pair.share:.1%}") for pair in mistakes[:MISTAKES])
    return Table("confusion", "Most frequent mistakes", caption, ("Class", "Predicted", "Texts", "Of the class"), rows)


@dataclass(frozen=True)
class ConfusedPair:
    actual: str
    predicted: str
    texts: float  # the mean over the training runs
    share: float  # of the class's texts


def confused_pairs(test: HoldoutReport) -> list[ConfusedPair]:
    """The pairs of a class and a predicted class that occur on the test split, the most frequent first."""
    names = [name for name, _ in test.per_class]
    counts = np.array(test.confusion)
    actual, predicted = counts.nonzero()
    sizes = counts.sum(axis=1)
    pairs = [
        ConfusedPair(names[row], names[column], float(counts[row, column]), float(counts[row, column] / sizes[row]))
        for row, column in zip(actual, predicted, strict=True)
    ]
    return sorted(pairs, key=lambda pair: -pair.texts)


def _count(texts: float) -> str:
    return f"{texts:g}" if texts == int(texts) else f"{texts:.1f}"


def _systems_table(test: HoldoutReport) -> Table:
    rows = [
        (
            tested.system.title,
            interval_in_words(tested.accuracy),
            interval_in_words(tested.macro_f1),
            _parameters(tested.system),
        )
        for tested in test.tested
    ]
    if len(test.tested[0].system.predictions) > 1:
        caption = (
            "Means over the repeats, with 95 % intervals over texts and seeds. On each repeat all are fitted on the "
            "same training texts, the baselines with the parameters that were best on validation. The intervals hold "
            "for this pool of training texts, most of which the repeats share; they do not show what other training "
            "texts would give. An average is one system, as is what is fitted on all texts but the test's: its "
            "intervals are over texts alone."
        )
    else:
        caption = (
            "Scores of one training run each, with 95 % bootstrap intervals over texts; they do not include the "
            "influence of the seed or of other training texts. All are fitted on the same training texts, or on all "
            "but the test's."
        )
    columns = ("System", "Accuracy", "Macro-F1", "Parameters")
    return Table("test", "On the test split", caption, columns, tuple(rows))


def _audit_table(audit: Audit, metric: str) -> Table:
    rows = [
        (
            str(audited.pruned.number),
            format_parameters(audited.pruned.params),
            "random" if audited.is_random else "nearest",
            f"{audited.pruned.value:.4f} after epoch {len(audited.pruned.intermediate_values)}",
            "failed" if audited.rank is None else f"{audited.finished.value:.4f}",
            "-" if audited.rank is None else str(audited.rank),
        )
        for audited in audit.audited
    ]
    caption = (
        f"Validation {metric} of pruned trials that were trained again to the end, on the search's own seed and "
        "split, and their rank among all of them and the configurations that the search has completed. They are the "
        "nearest to being kept at the epoch of pruning, and a random sample of the others."
    )
    columns = ("Trial", "Configuration", "Chosen as", "When pruned", "Finished", "Rank")
    return Table("audit", "Audit of pruning", caption, columns, tuple(rows))


def _parameters(system: System) -> str:
    """The parameters of a system; those of a baseline as C=1, 1, 3: a value per repeat, or one if all are equal."""
    return format_parameters(
        {
            name: ", ".join(f"{number:g}" for number in (value if len(set(value)) > 1 else value[:1]))
            if isinstance(value, list)
            else value
            for name, value in system.parameters.items()
        }
    )
