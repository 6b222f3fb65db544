"""Labelled texts, read from a user's files and checked.

Unusable files raise `CorpusError`, with one line; lesser problems are returned as notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.dialect import Reading
from data.errors import CorpusError, listed, quoted
from data.labels import clean_labels, notes_on_labels
from data.tables import Table, read_table

MINIMUM_ROWS = 20
VISIBLE = r"[^\s\p{Z}\p{Cc}\p{Cf}]"  # a character that can be seen
TRAINING, VALIDATION, TEST = 0, 1, 2  # the sides of a split


SIDES = {  # what a split column may hold, in any case
    **dict.fromkeys(("train", "training"), TRAINING),
    **dict.fromkeys(("validation", "valid", "val", "dev"), VALIDATION),
    **dict.fromkeys(("test", "testing"), TEST),
}


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a user's files."""

    label: str
    text: str
    split: str | None = None  # says on which side each row is
    group: str | None = None  # rows with the same value stay on one side

    def wanted(self) -> dict[str, str]:
        """The columns to be read, which map to the options that name them. Raises `CorpusError` for one named twice."""
        wanted: dict[str, str] = {}
        for field in fields(self):
            if (column := getattr(self, field.name)) is None:
                continue
            option = f"--{field.name}-column"
            if column in wanted:
                raise CorpusError(f"{wanted[column]} and {option} both name {quoted(column)}; they must differ.")
            wanted[column] = option
        return wanted


@dataclass(frozen=True)
class LabelledTexts:
    """Row `i` is the text `texts[i]` with the label `labels[i]`; both are Arrow arrays of `large_string`."""

    texts: pa.Array
    labels: pa.Array
    groups: pa.Array | None = None  # what each text belongs with, null for none
    sides: npt.NDArray[np.int8] | None = None  # on which the file says that each text is

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"Texts and labels must pair up, got {len(self.texts)} and {len(self.labels)}.")

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def text_numbers(self) -> npt.NDArray[np.int64]:
        """The number of each text; texts that count as the same have the same one."""
        return numbered(text_keys(self.texts))

    def take(self, rows: npt.NDArray[np.intp]) -> "LabelledTexts":
        indices = pa.array(rows)
        return LabelledTexts(
            self.texts.take(indices),
            self.labels.take(indices),
            None if self.groups is None else self.groups.take(indices),
            None if self.sides is None else self.sides[rows],
        )


def read_corpus(
    paths: Sequence[Path],
    columns: Columns,
    *,
    reading: Reading,
    least: int = MINIMUM_ROWS,
    are_numbers: bool | None = None,
) -> tuple[LabelledTexts, tuple[str, ...]]:
    """Read and check files of any known kind; returns all their texts, and how they were read and what was left out.

    `are_numbers`: whether the labels are numbers, as those of other texts of the corpus tell. Raises `CorpusError` for
    a file that cannot be read, and for fewer than `least` texts.
    """
    wanted = columns.wanted()
    tables = [read_table(path, wanted, reading) for path in paths]

    def column(name: str) -> pa.Array:
        return pa.concat_arrays([table.columns[name] for table in tables])

    raw, texts = column(columns.label), column(columns.text)
    labels = clean_labels(raw, are_numbers=are_numbers)
    filled = pc.and_(_is_filled(labels), _is_filled(texts))
    files = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    corpus = LabelledTexts(
        texts.filter(filled),
        labels.filter(filled),
        _groups(column(columns.group).filter(filled)) if columns.group else None,
        _sides(column(columns.split).filter(filled), columns.split, files) if columns.split else None,
    )
    rows = len(filled)
    notes = [f"{rows:,} rows read ({_describe(tables)})."]
    if joined := len(clean_labels(raw, are_numbers=False).unique()) - len(labels.unique()):
        notes.append(f"labels are numbers: 1 and 1.0 are the same one, which joins {joined:,} of them.")
    if dropped := rows - len(corpus):
        notes.append(f"{dropped:,} of {rows:,} rows dropped: their text or their label is empty.")
    if len(corpus) < least:
        raise CorpusError(
            f"{files} has {len(corpus)} usable rows of {rows}; at least {least} with a text and a label are needed."
        )
    return corpus, tuple(notes)


def check_corpus(corpus: LabelledTexts, files: str) -> tuple[str, ...]:
    """Notes on labels and texts that may be wrong. Raises `CorpusError` for texts that cannot be classified."""
    if len(classes := corpus.labels.unique()) < 2:
        raise CorpusError(
            f"All {len(corpus):,} rows of {files} have the same label {quoted(classes[0])}; there is nothing to "
            "classify. Is --label-column right?"
        )
    if corpus.text_numbers.max() == 0:
        raise CorpusError(f"All {len(corpus):,} rows of {files} have the same text. Is --text-column right?")
    notes = notes_on_labels(corpus.labels)
    if conflicting := count_texts_with_several_labels(corpus):
        notes.append(f"{conflicting:,} distinct texts stand under more than one label; no classifier gets all right.")
    return tuple(notes)


def _groups(values: pa.Array) -> pa.Array:
    """Group values that look the same as the same one, and empty ones as none."""
    cleaned = clean_labels(values)
    return pc.if_else(pc.equal(cleaned, ""), None, cleaned)


def _sides(values: pa.Array, column: str, files: str) -> npt.NDArray[np.int8]:
    """The side that each value of a split column names. Raises `CorpusError` for one that names none."""
    names = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(values, ""))).dictionary_encode()
    if unknown := [name for name in names.dictionary.to_pylist() if name not in SIDES]:
        raise CorpusError(
            f"Column {quoted(column)} of {files} must hold train, validation or test; it holds {listed(unknown)}."
        )
    sides = np.array([SIDES[name] for name in names.dictionary.to_pylist()], np.int8)
    return sides[names.indices.to_numpy()] if len(sides) else np.zeros(0, np.int8)


def _describe(tables: Sequence[Table]) -> str:
    """How tables were read, which is mostly the same for all."""
    kinds = list(dict.fromkeys(table.description for table in tables))
    shown = "; ".join(kinds[:3]) + ("; ..." if len(kinds) > 3 else "")
    return shown if len(tables) == 1 else f"{len(tables)} files: {shown}"


def text_keys(texts: pa.Array) -> pa.Array:
    """The key of each text: texts that differ only in case or white space have the same one, and count as the same."""
    lowered = pc.utf8_lower(texts)
    is_uneven = pc.match_substring_regex(lowered, pattern=r"\s\s|[^\S ]")  # most texts are not, which saves time
    even = pc.replace_substring_regex(lowered.filter(is_uneven), pattern=r"\s+", replacement=" ")
    return pc.utf8_trim_whitespace(pc.replace_with_mask(lowered, is_uneven, even))


def numbered(values: pa.Array) -> npt.NDArray[np.int64]:
    """Number the distinct values in order of first appearance: equal values have equal numbers."""
    return np.asarray(values.dictionary_encode().indices.to_numpy(), np.int64)


def count_texts_with_several_labels(corpus: LabelledTexts) -> int:
    texts, labels = corpus.text_numbers, numbered(corpus.labels)
    pairs = np.unique(texts * (labels.max() + 1) + labels)
    return int((np.bincount(pairs // (labels.max() + 1)) > 1).sum())


def _is_filled(values: pa.Array) -> pa.Array:
    return pc.fill_null(pc.match_substring_regex(values, pattern=VISIBLE), False)
