"""The texts of a study as arrays in the cache: one entry for the search, another one for the test split."""

import json
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data.compression import without_compression_suffix
from data.corpus import LabelledTexts
from data.labels import ordered
from data.source import Split
from data.split import SPLIT_VERSION
from data.texts import load_search_texts, load_test_texts
from data.wheels import OnDownload
from preprocessing.cache import CacheEntry, OnEvent, ignore, open_entry, open_or_build
from preprocessing.cleaning import CLEANING_VERSION
from preprocessing.encoding import EncodedTexts, encode, learn_and_encode
from preprocessing.vocabulary import Vocabulary
from preprocessing.word_pieces import WordPieces

REPEAT_VERSION = 2  # increase when the split of a repeat changes
READER_VERSION = 2  # increase when files may be read as other texts
RULES = f"split {SPLIT_VERSION}, cleaning {CLEANING_VERSION}"
ABOUT_FILE = "about.json"
VOCABULARY_FILE = "vocabulary.txt"  # a word a line; the line's number from 0 is the word's id

Encode = Callable[[pa.Array], tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]]  # texts to token ids, offsets


@dataclass(frozen=True, eq=False)  # compared by identity, so hashable
class PreparedTexts:
    """The training and validation texts of a split as memory maps, without the test split."""

    entry: CacheEntry
    training: EncodedTexts
    validation: EncodedTexts
    word_counts: npt.NDArray[np.int64]  # in the training texts, by id; for a pretrained encoder, of word pieces
    classes: tuple[str, ...]
    test_texts: int  # how many are held out
    notes: tuple[str, ...]  # what was noticed while reading
    test_classes: dict[str, int] | None = None  # the number of test texts of each class, where it is known
    is_whole: bool = False  # whether the validation texts are for training, too, as the last of the training texts

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the training texts; not available for texts prepared as word pieces."""
        words = (self.entry.folder / VOCABULARY_FILE).read_text(encoding="utf-8").split("\n")
        return Vocabulary(pa.array(words, pa.large_string()), np.asarray(self.word_counts))


def prepare_for_search(
    split: Split,
    *,
    cache_dir: Path,
    pieces: WordPieces | None = None,
    on_event: OnEvent = ignore,
    on_download: OnDownload | None = None,
) -> PreparedTexts:
    """Prepare the training and validation texts, or open them in the cache.

    With `pieces`, they are encoded as word pieces of a pretrained encoder, otherwise as words, in separate entries.
    Raises `data.errors.CorpusError` for texts that cannot be used, `CacheError` for a cache that cannot be written.
    """

    def build(folder: Path) -> None:
        steps = "split into word pieces" if pieces else "clean, tokenize, build the vocabulary, encode"
        on_event(f"Preparing {split.source.name}: read, {steps}.")
        texts = load_search_texts(split, cache_dir=cache_dir, on_download=on_download)
        encode_texts: Encode
        if pieces:
            encode_texts = pieces.encode
            token_ids, offsets = encode_texts(texts.training.texts)
            counts = np.bincount(token_ids, minlength=len(pieces))
        else:
            vocabulary, token_ids, offsets = learn_and_encode(texts.training.texts)
            encode_texts, counts = partial(encode, vocabulary=vocabulary), vocabulary.counts
            (folder / VOCABULARY_FILE).write_text("\n".join(vocabulary.words.to_pylist()), encoding="utf-8")
        classes = ordered(set(texts.training.labels.unique().to_pylist()))
        np.save(folder / "word_counts.npy", counts)
        _save(folder, "training", EncodedTexts(token_ids, offsets, _class_numbers(texts.training, classes)))
        _save(folder, "validation", _encode(texts.validation, encode_texts, classes))
        about = {
            "classes": classes,
            "notes": texts.notes,
            "test_texts": texts.test_texts,
            "test_classes": texts.test_classes,
            "whole": split.whole,
        }
        (folder / ABOUT_FILE).write_text(json.dumps(about, indent=1))

    name = _name(split, pieces) + ("" if split.repeat is None else f" repeat {split.repeat}")
    name += " whole" if split.whole else ""
    return _open(open_or_build(cache_dir, name, _key(split, pieces), build, on_event=on_event))


def open_prepared(folder: Path) -> PreparedTexts:
    """Open texts that another process has prepared and verified, without reading them all."""
    return _open(open_entry(folder))


def prepare_test(
    split: Split,
    prepared: PreparedTexts,
    *,
    cache_dir: Path,
    pieces: WordPieces | None = None,
    on_event: OnEvent = ignore,
) -> EncodedTexts:
    """The test texts, encoded like the `prepared` texts of the same split, in a cache entry of their own.

    Only the command that confirms a finished search may call this (a test checks it).
    """

    def build(folder: Path) -> None:
        texts = load_test_texts(split, cache_dir=cache_dir)
        encode_texts: Encode = pieces.encode if pieces else partial(encode, vocabulary=prepared.vocabulary)
        _save(folder, "test", _encode(texts, encode_texts, prepared.classes))

    name, key = f"{_name(split, pieces)} test", {**_key(split, pieces), "side": "test"}
    return _load(open_or_build(cache_dir, name, key, build, on_event=on_event).folder, "test")


def _name(split: Split, pieces: WordPieces | None) -> str:
    return f"{split.source.name} word pieces" if pieces else split.source.name


def _key(split: Split, pieces: WordPieces | None) -> dict[str, Any]:
    """The key of the cache entry: what the arrays depend on, without the path of the file."""
    source = split.source
    key: dict[str, Any] = {
        "sha256": source.sha256,
        "suffixes": [without_compression_suffix(path).suffix.lower() for path in source.paths],
        "columns": astuple(source.columns),
        "reading": astuple(source.reading),
        "test": source.test_sha256,
        "split_seed": split.seed,
        "rules": RULES,
        "reader": READER_VERSION,
    }
    if split.repeat is not None:
        key |= {"draw": split.repeat, "draw_rule": REPEAT_VERSION}
    if split.whole:
        key["whole"] = True
    if pieces is not None:
        key["word_pieces"] = pieces.identity
    return key


def _open(entry: CacheEntry) -> PreparedTexts:
    counts = np.load(entry.folder / "word_counts.npy", mmap_mode="r", allow_pickle=False)
    about = json.loads((entry.folder / ABOUT_FILE).read_text())
    return PreparedTexts(
        entry,
        _load(entry.folder, "training"),
        _load(entry.folder, "validation"),
        counts,
        tuple(about["classes"]),
        about["test_texts"],
        tuple(about["notes"]),
        about.get("test_classes"),
        about.get("whole", False),
    )


def _save(folder: Path, side: str, texts: EncodedTexts) -> None:
    for field in fields(texts):
        np.save(folder / f"{side}_{field.name}.npy", getattr(texts, field.name), allow_pickle=False)


def _load(folder: Path, side: str) -> EncodedTexts:
    files = (folder / f"{side}_{field.name}.npy" for field in fields(EncodedTexts))
    return EncodedTexts(*(np.load(file, mmap_mode="r", allow_pickle=False) for file in files))


def _encode(texts: LabelledTexts, encode_texts: Encode, classes: Sequence[str]) -> EncodedTexts:
    return EncodedTexts(*encode_texts(texts.texts), _class_numbers(texts, classes))


def _class_numbers(texts: LabelledTexts, classes: Sequence[str]) -> npt.NDArray[np.int32]:
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[label] for label in texts.labels.to_pylist()], np.int32)
