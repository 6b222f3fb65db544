"""From texts to token ids: one flat array for all texts, and the offset of each text."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from preprocessing.cleaning import CLEANING_VERSION, RULES, tokenize
from preprocessing.vocabulary import Vocabulary, build_vocabulary

BYTES_PER_PIECE = 16_000_000  # of text: bounds the memory for words


@dataclass(frozen=True)
class EncodedTexts:
    """Text `i` is `token_ids[offsets[i]:offsets[i + 1]]`, at least one id, and has the class `labels[i]`."""

    token_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]  # one more than texts
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens per text."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.intp]) -> "EncodedTexts":
        """Some of the texts, in this order, as a copy."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return EncodedTexts(np.asarray(self.token_ids[positions]), offsets, np.asarray(self.labels[rows]))


@dataclass(frozen=True)
class _Words:
    """The words of some texts: `words[numbers]` in order, `lengths` of them per text."""

    words: pa.Array  # distinct
    numbers: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]


def encode(
    texts: pa.Array, vocabulary: Vocabulary, *, cleaning: int = CLEANING_VERSION
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Token ids and offsets of texts; a text without a known word has at least one `<unk>`.

    `cleaning`: the version of the rule that the vocabulary was built with.
    """
    pieces = _split_into_words(texts, cleaning)
    return join((vocabulary.ids(piece.words)[piece.numbers], piece.lengths) for piece in pieces)


def learn_and_encode(texts: pa.Array) -> tuple[Vocabulary, npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Build the vocabulary of the training texts and encode them with it, in one pass."""
    pieces = list(_split_into_words(texts))
    counts = [np.bincount(piece.numbers, minlength=len(piece.words)) for piece in pieces]
    vocabulary = build_vocabulary(pa.concat_arrays([piece.words for piece in pieces]), np.concatenate(counts))
    return vocabulary, *join((vocabulary.ids(piece.words)[piece.numbers], piece.lengths) for piece in pieces)


def slices(texts: pa.Array, size: int) -> Iterator[pa.Array]:
    """The texts in parts of about `size` bytes."""
    texts_per_slice = max(1, len(texts) * size // max(1, texts.nbytes))
    for start in range(0, len(texts), texts_per_slice):
        yield texts.slice(start, texts_per_slice)


def join(
    parts: Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """Token ids and offsets of all texts, from the token ids and the lengths of the texts of each part."""
    token_ids, lengths = zip(*parts, strict=True)
    return np.concatenate(token_ids), np.concatenate([[0], np.cumsum(np.concatenate(lengths))])


def _split_into_words(texts: pa.Array, cleaning: int = CLEANING_VERSION) -> Iterator[_Words]:
    for part in slices(texts, BYTES_PER_PIECE):
        words = tokenize(RULES[cleaning](part))
        distinct = words.flatten().dictionary_encode()
        yield _Words(
            distinct.dictionary,
            distinct.indices.to_numpy(),
            words.value_lengths().to_numpy(zero_copy_only=False).astype(np.int64),
        )
