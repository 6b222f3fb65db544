"""What a report tells about the texts of a study: tables, and for a look at them before any search, sentences."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.console import Console

from data.errors import UserError
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.adaptation import rules_for
from study.analysis.linear_look import LinearLook
from study.analysis.texts import QUANTILES, TextFacts, describe_truncated
from study.configuration import StudyConfig
from study.downloads import downloading
from study.reports.table import Table

QUANTILE_TITLES = {0: "the shortest", 0.5: "the median", 0.95: "95 % have at most", 1: "the longest"}
HARDEST = 3  # mistakes in the lines


def find_texts(configuration: StudyConfig, console: Console) -> PreparedTexts | None:
    """The texts of a study, as words whatever its model reads; None if they are gone."""
    if not all(map(os.path.exists, configuration.source.paths)):
        return None
    with downloading(console) as on_download:
        try:
            return prepare_for_search(
                configuration.split(),
                cache_dir=Path(configuration.cache_dir),
                on_event=console.print,
                on_download=on_download,
            )
        except UserError:
            return None


def rules_of(prepared: PreparedTexts | None, configuration: StudyConfig) -> Collection[str] | None:
    """The rules by which a new study of the texts would have its defaults; None if the texts are gone."""
    return None if prepared is None else rules_for(configuration.base, prepared)


def text_tables(facts: TextFacts) -> list[Table]:
    """The tables that a report and a look have in common."""
    rows = [
        *((f"Words of a training text: {title}", f"{length:,}") for title, length in _lengths(facts)),
        *_limited(facts),
        ("Training texts with the same words as an earlier one", f"{facts.duplicates.same:,}"),
        ("Training texts that are nearly the same as an earlier one, these included", f"{facts.duplicates.training:,}"),
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


def look_tables(look: LinearLook) -> list[Table]:
    """What a linear model makes of the texts."""
    mistakes = tuple((row.actual, row.predicted, f"{row.texts:,}", f"{row.share:.0%}") for row in look.mistakes)
    words = tuple((name, " ".join(telling)) for name, telling in look.words.items())
    shown = [
        Table(
            "mistakes",
            "Most frequent mistakes of a linear model",
            f"On {look.validation_texts:,} validation texts; fitted on {look.training_texts:,} training texts, it has "
            f"an accuracy of {look.accuracy:.4f} and a macro-F1 of {look.macro_f1:.4f}.",
            ("Class", "Predicted", "Texts", "Of the class"),
            mistakes,
        ),
        Table(
            "words",
            "Words that tell the classes",
            "The words with the largest weights of the linear model.",
            ("Class", "Words"),
            words,
        ),
    ]
    return [table for table in shown if table.rows]


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
        *(f"Note: {note}" for note in prepared.notes),
        f"Classes: the largest is {largest.name} ({largest.training:,} training texts, "
        f"{largest.training / total:.0%}), the smallest {smallest.name} ({smallest.training:,}).",
        "Words of a training text: " + ", ".join(f"{title} {length:,}" for title, length in _lengths(facts)) + ".",
        *([f"{describe_truncated(cut)}."] if (cut := facts.truncated) and not cut.is_much else []),  # else it is a note
        f"Known: {facts.known_words:.1%} of the words of the validation texts; scripts: "
        + ", ".join(f"{name} {share:.1%}" for name, share in facts.scripts)
        + ".",
        f"Duplicates: {facts.duplicates.same:,} training texts have the words of an earlier one; nearly the same are "
        f"{facts.duplicates.training:,} as an earlier one, and {facts.duplicates.across:,} validation texts as a "
        "training text.",
        f"A linear model of {look.training_texts:,}{of} training texts has a validation accuracy of "
        f"{look.accuracy:.4f} and a macro-F1 of {look.macro_f1:.4f}."
        + (f" Its most frequent mistakes: {hardest}." if hardest else ""),
        estimate,
        *(f"Note: {note}" for note in warnings),
    ]


def _limited(facts: TextFacts) -> list[tuple[str, str]]:
    """What the limits of the model leave of the texts; nothing for a model with its own word pieces."""
    if facts.truncated is None or facts.known_words is None:
        return []
    cut = facts.truncated
    return [
        (f"Training texts with more than {cut.max_tokens:,} words", f"{cut.texts:,} of {cut.of:,}"),
        ("Words of training texts that are cut off", f"{cut.lost_words:.1%}"),
        ("Words of validation texts that are known", f"{facts.known_words:.1%}"),
    ]


def _lengths(facts: TextFacts) -> list[tuple[str, int]]:
    lengths = dict(zip(QUANTILES, facts.lengths, strict=True))
    return [(title, lengths[quantile]) for quantile, title in QUANTILE_TITLES.items()]
