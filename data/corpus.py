"""Labelled texts, read from a user's files and checked.

Unusable files raise `CorpusError`, with one line; lesser problems are returned as notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.delimited import Reading, normalised
from data.errors import CorpusError, quoted
from data.labels import clean_labels, notes_on_labels
from data.tables import Table, read_table

MINIMUM_ROWS = 20


@dataclass(frozen=True)
class LabelledTexts:
    """Row `i` is the text `texts[i]` with the label `labels[i]`; both are Arrow arrays of `large_string`."""

    texts: pa.Array
    labels: pa.Array

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"Texts and labels must pair up, got {len(self.texts)} and {len(self.labels)}.")

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: npt.NDArray[np.intp]) -> "LabelledTexts":
        return LabelledTexts(self.texts.take(pa.array(rows)), self.labels.take(pa.array(rows)))


def read_corpus(
    paths: Sequence[Path], *, label_column: str, text_column: str, reading: Reading
) -> tuple[LabelledTexts, tuple[str, ...]]:
    """Read and check files of any known kind; returns all their texts, how they were read, and notes on problems.

    Raises `CorpusError` for a file that cannot be read, and for texts that cannot be classified.
    """
    if normalised(label_column) == normalised(text_column):
        raise CorpusError(f"--label-column and --text-column both name {quoted(text_column)}; they must differ.")
    wanted = {label_column: "--label-column", text_column: "--text-column"}
    tables = [read_table(path, wanted, reading) for path in paths]
    labels, texts = (
        pa.concat_arrays([table.columns[column] for table in tables]) for column in (label_column, text_column)
    )
    labels, rows = clean_labels(labels), len(labels)
    filled = pc.and_(_is_filled(labels), _is_filled(texts))
    corpus = LabelledTexts(texts.filter(filled), labels.filter(filled))

    files = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    notes = [f"{rows:,} rows read ({_describe(tables)})."]
    if dropped := rows - len(corpus):
        notes.append(f"{dropped:,} of {rows:,} rows dropped: their text or their label is empty.")
    if len(corpus) < MINIMUM_ROWS:
        raise CorpusError(
            f"{files} has {len(corpus)} usable rows of {rows}; at least {MINIMUM_ROWS} with a text and a label are "
            "needed."
        )
    if len(classes := corpus.labels.unique()) < 2:
        raise CorpusError(
            f"All {len(corpus):,} rows of {files} have the same label {quoted(classes[0])}; there is nothing to "
            "classify. Is --label-column right?"
        )
    if len(text_keys(corpus.texts).unique()) < 2:
        raise CorpusError(f"All {len(corpus):,} rows of {files} have the same text. Is --text-column right?")
    notes += notes_on_labels(corpus.labels)
    if conflicting := count_texts_with_several_labels(corpus):
        notes.append(f"{conflicting:,} distinct texts stand under more than one label; no classifier gets all right.")
    return corpus, tuple(notes)


def _describe(tables: Sequence[Table]) -> str:
    """How tables were read, which is mostly the same for all."""
    kinds = list(dict.fromkeys(table.description for table in tables))
    shown = "; ".join(kinds[:3]) + ("; ..." if len(kinds) > 3 else "")
    return shown if len(tables) == 1 else f"{len(tables)} files: {shown}"


def text_keys(texts: pa.Array) -> pa.Array:
    """The key of each text: texts that differ only in case or white space have the same one, and count as the same."""
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(pc.utf8_lower(texts), pattern=r"\s+", replacement=" "))


def numbered(values: pa.Array) -> npt.NDArray[np.int64]:
    """Number the distinct values in order of first appearance: equal values have equal numbers."""
    return np.asarray(values.dictionary_encode().indices.to_numpy(), np.int64)


def count_texts_with_several_labels(corpus: LabelledTexts) -> int:
    texts, labels = numbered(text_keys(corpus.texts)), numbered(corpus.labels)
    pairs = np.unique(texts * (labels.max() + 1) + labels)
    return int((np.bincount(pairs // (labels.max() + 1)) > 1).sum())


def _is_filled(values: pa.Array) -> pa.Array:
    return pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(values), ""), False)
