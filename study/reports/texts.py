"""What a report tells about the texts of a study: tables, and for a look at them before any search, sentences."""

from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.analysis.linear_look import LinearLook
from study.analysis.texts import QUANTILES, TextFacts, describe_truncated, text_facts
from study.configuration import StudyConfig
from study.reports.table import Table

QUANTILE_TITLES = {0: "the shortest", 0.5: "the median", 0.95: "95 % have at most", 1: "the longest"}
HARDEST = 3  # mistakes in the lines


def find_text_facts(configuration: StudyConfig) -> TextFacts | None:
    """The facts on the texts of a study, as words whatever its model reads; None if the texts are gone."""
    try:
        prepared = prepare_for_search(configuration.split(), cache_dir=Path(configuration.cache_dir))
    except UserError:
        return None
    return text_facts(prepared, configuration.base.limits)


def text_tables(facts: TextFacts) -> list[Table]:
    """The tables that a report and a look have in common."""
    rows = [
        *((f"Words of a training text: {title}", f"{length:,}") for title, length in _lengths(facts)),
        (
            f"Training texts with more than {facts.truncated.max_tokens:,} words",
            f"{facts.truncated.texts:,} of {facts.truncated.of:,}",
        ),
        ("Words of training texts that are cut off", f"{facts.truncated.lost_words:.1%}"),
        ("Words of validation texts that are known", f"{facts.known_words:.1%}"),
        ("Training texts that are nearly the same as another one", f"{facts.duplicates.training:,}"),
        ("Validation texts that are nearly the same as a training text", f"{facts.duplicates.across:,}"),
        *((f"Training words in {name}", f"{share:.1%}") for name, share in facts.scripts),
    ]
    caption = (
        "Texts are nearly the same if they share at least 80 % of their pairs of neighbouring words. Of the test "
        "split, nothing is looked at but its size and its classes."
    )
    has_test = any(row.test is not None for row in facts.classes)
    counts = [
        (row.name, f"{row.training:,}", f"{row.validation:,}", *([f"{row.test:,}"] if has_test else []))
        for row in facts.classes
    ]
    columns = ("Class", "Training", "Validation", *(["Test"] if has_test else []))
    about = "The number of texts of each class on each side of the split, the largest class first."
    return [
        Table("texts", "The texts", caption, ("", "On these texts"), tuple(rows)),
        Table("class-sizes", "Sizes of the classes", about, columns, tuple(counts)),
    ]


def look_tables(facts: TextFacts, look: LinearLook) -> list[Table]:
    mistakes = tuple((row.actual, row.predicted, f"{row.texts:,}", f"{row.share:.0%}") for row in look.mistakes)
    words = tuple((name, " ".join(look.words[name])) for name in (row.name for row in facts.classes))
    shown = [
        Table(
            "mistakes",
            "Most frequent mistakes",
            "Of the linear model, on validation texts.",
            ("Class", "Predicted", "Texts", "Of the class"),
            mistakes,
        ),
        Table(
            "words",
            "Words that tell the classes",
            "Those with the largest weights of the linear model.",
            ("Class", "Words"),
            words,
        ),
    ]
    return [*text_tables(facts), *(table for table in shown if table.rows)]


def look_sentences(
    prepared: PreparedTexts, facts: TextFacts, look: LinearLook, *, warnings: Sequence[str], estimate: str
) -> list[str]:
    """What there is to know before a search, the most important first."""
    largest, smallest = facts.classes[0], facts.classes[-1]
    total = sum(row.training for row in facts.classes)
    hardest = "; ".join(f"{row.actual} taken for {row.predicted} ({row.texts:,})" for row in look.mistakes[:HARDEST])
    of = "" if look.training_texts == total else f" of {total:,}"
    return [
        f"Texts: {total:,} for training, {len(prepared.validation):,} for validation, {prepared.test_texts:,} held "
        f"back for the test; {len(facts.classes):,} classes.",
        f"Classes: the largest is {largest.name} ({largest.training:,} training texts, "
        f"{largest.training / total:.0%}), the smallest {smallest.name} ({smallest.training:,}).",
        "Words of a training text: " + ", ".join(f"{title} {length:,}" for title, length in _lengths(facts)) + ".",
        *([] if facts.truncated.is_much else [f"{describe_truncated(facts.truncated)}."]),  # else it is a note
        f"Known: {facts.known_words:.1%} of the words of the validation texts; scripts: "
        + ", ".join(f"{name} {share:.1%}" for name, share in facts.scripts)
        + ".",
        f"Nearly the same: {facts.duplicates.training:,} training texts as another one, {facts.duplicates.across:,} "
        "validation texts as a training text.",
        f"A linear model of {look.training_texts:,}{of} training texts has a validation accuracy of "
        f"{look.accuracy:.4f} and a macro-F1 of {look.macro_f1:.4f}."
        + (f" Its most frequent mistakes: {hardest}." if hardest else ""),
        estimate,
        *(f"Note: {note}" for note in (*prepared.notes, *warnings)),
    ]


def _lengths(facts: TextFacts) -> list[tuple[str, int]]:
    lengths = dict(zip(QUANTILES, facts.lengths, strict=True))
    return [(title, lengths[quantile]) for quantile, title in QUANTILE_TITLES.items()]
