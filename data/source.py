"""The source of a study's texts: which files they are in, and how these are to be read and split."""

import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.compression import without_compression_suffix
from data.corpus import Columns
from data.dialect import Reading
from data.errors import CorpusError
from data.files import sha256, user_path
from data.standard_corpora import STANDARD_CORPORA, WHEEL
from data.tables import FOLDER_COLUMNS, files_of

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

    A `repeat` splits training and validation texts differently from the search; the test split stays the same. In a
    `whole` one, all other texts are for training; the search's validation texts are among them, as the last ones.
    """

    source: DataSource
    seed: int = 0
    repeat: int | None = None  # None: the search's split
    whole: bool = False


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
    paths = _find_files(names, "--data")
    if paths[0].is_dir():
        if columns_named:
            raise CorpusError(f"{paths[0]} is a folder: its subfolders are the labels, so that no columns are named.")
        label_column, text_column = FOLDER_COLUMNS
    test_path = _find_files([test_data], "--test-data")[0] if test_data else None
    first, *others = map(_absolute, paths)
    source = DataSource(
        _name_of(paths[0]),
        digest_of(paths),
        first,
        label_column,
        text_column,
        tuple(others),
        separator=reading.separator,
        encoding=reading.encoding,
        header=reading.header,
        split_column=split_column,
        group_column=group_column,
        test_path=_absolute(test_path) if test_path else None,
        test_sha256=digest_of([test_path], "--test-data") if test_path else None,
    )
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    tested = f", tested on {test_path}" if test_path else ""
    return source, f"{paths[0]}{more}{tested}: {reason}"


def find_copy(source: DataSource, path: Path) -> DataSource:
    """The same source at another path, with its test texts beside it. Raises `CorpusError` if that file differs."""
    if source.path is None:
        raise CorpusError(f"The study is about the standard corpus {source.name}, which needs no --data.")
    paths = _find_files([str(path)], "--data")
    if (digest := digest_of(paths)) != source.sha256:
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


def _find_files(names: Sequence[str], option: str) -> list[Path]:
    """The files that are named by an option, in order; those that a pattern finds are sorted. Raises `CorpusError`."""
    paths: list[Path] = []
    for name in names:
        if not name.strip():
            raise CorpusError(f"{option} is empty; name a file, or leave it out.")
        path = user_path(name)
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise CorpusError(f"{path} is a pipe or a device; save the texts as a file, and name it.")
        found = [path] if path.exists() or not glob.has_magic(name) else sorted(map(Path, glob.glob(str(path))))  # noqa: PTH207
        if not found:
            raise CorpusError(f"No file is called like {name}. Check the pattern given to {option}.")
        paths += found
    if repeated := [path for path in paths if paths.count(path) > 1]:
        raise CorpusError(f"{repeated[0]} is named twice; its rows would count twice.")
    if option == "--test-data" and len(paths) > 1:
        raise CorpusError(f"{names[0]} are {len(paths)} files; --test-data takes one. Join them first.")
    if folders := [path for path in paths if path.is_dir()]:
        if len(paths) > 1:
            raise CorpusError(f"{folders[0]} is a folder; it cannot be joined with other --data.")
        if folders[0].samefile(Path.cwd()):
            raise CorpusError(f"{folders[0]} is the current folder, where studies are kept; start this beside it.")
        if not files_of(folders[0]):
            raise CorpusError(f"{folders[0]} is a folder without texts: it needs a text a file in LABEL/.")
    return paths


def _name_of(path: Path) -> str:
    name = without_compression_suffix(path).name.rsplit(".", 1)[0] or path.name
    return name.encode("utf-8", "replace").decode()  # a file's name may hold bytes that a study's name may not


def _absolute(path: Path) -> str:
    """An absolute path that does not follow links, since a link's own name may tell how to read the file."""
    return os.path.abspath(path)  # noqa: PTH100  # `Path.absolute` leaves `..` in it


def digest_of(paths: Sequence[Path], option: str = "--data") -> str:
    """The digest of a file, or one of the digests of several, or of those of a folder, with their names."""
    try:
        if len(paths) == 1 and paths[0].is_dir():
            folder = paths[0]
            digests = [f"{path.relative_to(folder).as_posix()} {sha256(path)}" for path in files_of(folder)]
        else:
            digests = [sha256(path) for path in paths]
    except FileNotFoundError as error:
        way_out = f"Check the path given to {option}"
        way_out += f", or name a standard corpus: {', '.join(STANDARD_CORPORA)}" if option == "--data" else ""
        raise CorpusError(f"File {error.filename} not found. {way_out}.") from None
    except OSError as error:
        raise CorpusError(
            f"{error.filename} cannot be read ({error.strerror}); {option} needs a readable file."
        ) from None
    if len(paths) == 1 and not paths[0].is_dir():
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
