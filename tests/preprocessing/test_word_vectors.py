"""Pretrained vectors for a vocabulary: each word gets its own, looked up once through the shared cache."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data.errors import CorpusError
from preprocessing.vocabulary import SPECIAL_WORDS, Vocabulary
from preprocessing.word_vector_files import VectorsError
from preprocessing.word_vectors import VectorSource, WordVectors, find_vectors, prepare_vectors


def vocabulary(*words: str) -> Vocabulary:
    """A vocabulary of words that occur 10, 9, 8, ... times in the texts."""
    counts = np.concatenate([[0, 0], 10 - np.arange(len(words))])
    return Vocabulary(pa.array([*SPECIAL_WORDS, *words], pa.large_string()), counts)


WORDS = vocabulary("oil", "prices", "qwxz", "rose")


@pytest.fixture
def vector_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.vectors.txt"
    path.write_text("<pad> 9 9\nrose 1 2\nunneeded 3 4\noil 5 6\nprices 0 0\n")
    return path


def prepare(path: Path, words: Vocabulary = WORDS, events: list[str] | None = None) -> WordVectors:
    on_event = (lambda _: None) if events is None else events.append
    return prepare_vectors(find_vectors(str(path)), words, cache_dir=path.parent / "cache", on_event=on_event)


def test_each_word_gets_its_own_vector_or_zeros_if_it_has_none(vector_file: Path) -> None:
    found = prepare(vector_file)
    assert found.vectors.tolist() == [[0, 0], [0, 0], [5, 6], [0, 0], [0, 0], [1, 2]]
    assert found.known.tolist() == [False, False, True, False, False, True]  # a vector of zeros does not count
    assert found.size == 2
    assert isinstance(found.vectors, np.memmap)
    assert found.vectors.dtype == np.float32
    assert not found.vectors.flags.writeable


def test_the_coverage_counts_words_and_running_words(vector_file: Path) -> None:
    found = prepare(vector_file)
    assert found.coverage(WORDS.counts) == "vectors for 2 of 4 words, 50.0 % of running words"  # 10 + 7 of 34
    assert found.coverage(WORDS.counts[:4]) == "vectors for 1 of 2 words, 52.6 % of running words"  # 10 of 19


def test_vectors_are_looked_up_once_for_the_same_file_and_words(vector_file: Path) -> None:
    events: list[str] = []
    first = prepare(vector_file, events=events)
    renamed = vector_file.rename(vector_file.with_name("renamed.txt"))
    again = prepare(renamed, events=events)
    assert events == ["Looking up 4 words in my.vectors.txt."]
    assert first.entry.folder == again.entry.folder
    assert np.array_equal(again.vectors, first.vectors)

    other_words = prepare(renamed, vocabulary("oil", "rose"), events=events)
    renamed.write_text("oil 7 7\n")
    other_vectors = prepare(renamed, events=events)
    assert len({entry.entry.folder for entry in (first, other_words, other_vectors)}) == len(events) == 3
    assert other_vectors.vectors[2].tolist() == [7, 7]


def test_a_file_that_has_changed_since_the_study_started_is_refused(vector_file: Path) -> None:
    source = find_vectors(str(vector_file))
    vector_file.write_text("oil 7 7\n")
    with pytest.raises(VectorsError, match=r"has changed since the study began \(its SHA-256 is now [0-9a-f]{12}\.{3}"):
        prepare_vectors(source, WORDS, cache_dir=vector_file.parent / "cache")


def test_vectors_of_another_language_are_refused(vector_file: Path) -> None:
    with pytest.raises(VectorsError, match=r"my.vectors.txt has a vector for none of the 2 words .* lower case"):
        prepare(vector_file, vocabulary("prix", "pétrole"))
    assert not list((vector_file.parent / "cache" / "prepared").glob("*/"))


def test_the_error_for_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VectorsError, match=r"none.txt cannot be read .*--vectors, or use --vectors glove\."):
        find_vectors(str(tmp_path / "none.txt"))
    with pytest.raises(VectorsError, match=r"cannot be read \(Is a directory\)"):
        find_vectors(str(tmp_path))


def test_glove_knows_english_words(standard_cache: Path) -> None:
    source = find_vectors("glove")
    assert source == VectorSource("glove", source.sha256, size=50)
    try:
        found = prepare_vectors(source, vocabulary("sandberger", "qwxzv", "the"), cache_dir=standard_cache)
    except CorpusError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    assert found.vectors.shape == (5, 50)
    assert found.known.tolist() == [False, False, True, False, True]
    np.testing.assert_allclose(found.vectors[4, :3], [0.418, 0.24968, -0.41242])  # as in the published glove.6B.50d.txt
    assert found.vectors[2].any()
