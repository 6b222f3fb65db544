"""The texts of a study, loaded and split by two functions: one for the search, one for the test split."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import TEST, TRAINING, VALIDATION, LabelledTexts, check_corpus, read_corpus, text_keys
from data.errors import CorpusError, listed, quoted
from data.labels import all_are_numbers
from data.source import DataSource, Split, digest_of
from data.split import classes_only_in_training, split_sides
from data.standard_corpora import STANDARD_CORPORA, read_official_split
from data.wheels import OnDownload


@dataclass(frozen=True)
class SearchTexts:
    """The texts that a search may see, and the size of the test split."""

    training: LabelledTexts
    validation: LabelledTexts
    test_texts: int  # how many are held back
    notes: tuple[str, ...]
    test_classes: dict[str, int] | None = None  # how many of each class, where no test text must be read to know it


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
        undivided = classes_only_in_training(corpus, sides)  # a repeat scores the same classes as the search
        seed = (split.seed, 1 + split.repeat)  # (seed, 0) is the search's
        sides = split_sides(corpus, held_out=(VALIDATION,), seed=seed, undivided=undivided)
    if lonely := classes_only_in_training(corpus, sides):
        shown = ", ".join(lonely[:5]) + (", ..." if len(lonely) > 5 else "")
        notes += (f"classes with too few distinct texts to be split, all in training: {len(lonely)} ({shown}).",)
    training_rows, validation_rows = (np.flatnonzero(sides == side) for side in (TRAINING, VALIDATION))
    validation = corpus.take(validation_rows)
    training = corpus.take(np.concatenate([training_rows, validation_rows]) if split.whole else training_rows)
    if len(in_validation := validation.labels.unique()) == 1 and split.repeat is None:
        sizes = sorted(_count_classes(corpus).items(), key=lambda pair: pair[1])
        rare = ", ".join(f"{quoted(name)} ({size})" for name, size in sizes[:3] if name != in_validation[0].as_py())
        why = f"others have too few distinct texts to be split: {rare}"
        why = f"column {quoted(source.split_column)} puts no others there" if source.split_column else why
        raise CorpusError(
            f"Validation has texts of one class, {quoted(in_validation[0])}, so that all scores would mean nothing: "
            f"{why}."
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
    _check_there(source)
    corpus, notes = read_corpus(source.paths, source.columns, reading=source.reading)
    seen = corpus if corpus.sides is None else corpus.take(np.flatnonzero(corpus.sides != TEST))
    notes += check_corpus(seen, str(source.path))
    _check_unchanged(source)
    held_out = (VALIDATION,) if source.has_own_test else (VALIDATION, TEST)
    sides = corpus.sides
    if sides is None:
        sides = split_sides(corpus, held_out=held_out, seed=split.seed)
    elif not (sides == VALIDATION).any():
        training = np.flatnonzero(sides == TRAINING)
        sides = sides.copy()
        sides[training] = split_sides(corpus.take(training), held_out=held_out, seed=split.seed)
    if not (sides == VALIDATION).any():
        if corpus.groups is not None:
            raise CorpusError(
                f"Column {quoted(source.group_column)} of {source.path} has {len(corpus.groups.unique())} groups: a "
                f"class needs texts of {len(held_out) + 1} groups to be split."
            )
        raise CorpusError(
            f"No class of {source.path} has {len(held_out) + 1} distinct texts, so none can be split (there are "
            f"{len(corpus):,} rows and {len(corpus.labels.unique()):,} labels). Are --label-column and --text-column "
            "right?"
        )
    test = corpus.take(np.flatnonzero(sides == TEST))
    if source.test_paths:
        if len(test):
            raise CorpusError(f"{source.path} has rows for the test, and there is --test-data. Leave out one of them.")
        columns, are_numbers = replace(source.columns, split=None), all_are_numbers(corpus.labels)
        test, of_test = read_corpus(
            source.test_paths, columns, reading=source.reading, least=1, are_numbers=are_numbers
        )
        notes += tuple(f"test: {note}" for note in of_test)
    elif source.split_column and not len(test):
        raise CorpusError(
            f"Column {quoted(source.split_column)} of {source.path} has no row of the test. Name one with --test-data."
        )
    searched = replace(corpus.take(np.flatnonzero(sides != TEST)), sides=sides[sides != TEST])
    _check_labels(searched, test)
    if not source.has_own_test:
        return searched, test, notes
    return searched, test, (*notes, *_notes_on_own_split(searched, test))


def _check_there(source: DataSource) -> None:
    """Raises `CorpusError` for a file that is gone; one that belongs to another user counts as gone, too."""
    if missing := [path for path in (*source.paths, *source.test_paths) if not os.path.exists(path)]:  # noqa: PTH110
        raise CorpusError(
            f"{missing[0]} is not there. Put it back, or beside the study's database; study.worker also takes --data."
        )


def _check_unchanged(source: DataSource) -> None:
    """Raises `CorpusError` for a file with another content than when the study began."""
    for paths, expected in ((source.paths, source.sha256), (source.test_paths, source.test_sha256)):
        if paths and (digest := digest_of(paths)) != expected:
            raise CorpusError(f"{paths[0]} has changed since the study began (its SHA-256 is now {digest[:12]}...).")


def _check_labels(searched: LabelledTexts, test: LabelledTexts) -> None:
    """Raises `CorpusError` for labels that training has not, which only a split of the user's own can have."""
    known = searched.labels.filter(pa.array(searched.sides == TRAINING)).unique()
    validation = searched.labels.filter(pa.array(searched.sides == VALIDATION))
    for side, labels in (("Validation", validation), ("The test", test.labels)):
        if unknown := labels.filter(pc.invert(pc.is_in(labels, value_set=known))).unique().to_pylist():
            raise CorpusError(f"{side} has labels that training has not: {listed(sorted(unknown))}.")


def _notes_on_own_split(searched: LabelledTexts, test: LabelledTexts) -> list[str]:
    """What stands on two sides of a split of the user's own: texts, and groups."""
    notes = []
    overlap = pc.sum(pc.is_in(text_keys(test.texts), value_set=text_keys(searched.texts))).as_py()
    if overlap:
        notes.append(f"{overlap:,} of {len(test):,} test texts also stand among those of the search.")
    if searched.groups is not None and test.groups is not None:
        sides = [searched.groups.filter(pa.array(searched.sides == side)) for side in (TRAINING, VALIDATION)]
        groups = [set(side.unique().drop_null().to_pylist()) for side in (*sides, test.groups)]
        if several := (groups[0] & groups[1]) | (groups[0] & groups[2]) | (groups[1] & groups[2]):
            notes.append(
                f"{len(several):,} groups stand on several sides of the split that was given, which flatters scores."
            )
    return notes


def _count_classes(texts: LabelledTexts) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in texts.labels.value_counts().to_pylist()}
