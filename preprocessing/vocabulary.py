"""The mapping from words to ids, built from training texts only.

Ids are ranked by frequency, so that a smaller vocabulary has the same ids up to a lower number.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

PAD_ID, UNKNOWN_ID = 0, 1
SPECIAL_WORDS = ("<pad>", "<unk>")  # they cannot occur in texts: cleaning cuts the brackets off


@dataclass(frozen=True)
class Vocabulary:
    """`words[i]` has the id `i` and occurs `counts[i]` times in the training texts; the first two are special."""

    words: pa.Array
    counts: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.words)

    @property
    def blank_ids(self) -> frozenset[int]:
        """The ids that carry no information about a text."""
        return frozenset({PAD_ID, UNKNOWN_ID})

    def first(self, words: int) -> "Vocabulary":
        """The words with ids below a number: the most frequent ones."""
        return Vocabulary(self.words.slice(0, words), self.counts[:words])

    def ids(self, words: pa.Array) -> npt.NDArray[np.int32]:
        """The id of each word; `UNKNOWN_ID` for those that are not in the vocabulary."""
        ids: npt.NDArray[np.int32] = pc.fill_null(pc.index_in(words, value_set=self.words), UNKNOWN_ID).to_numpy()
        return ids


def build_vocabulary(words: pa.Array, counts: npt.NDArray[np.int64]) -> Vocabulary:
    """Rank words by frequency, ties alphabetically. Words may be listed repeatedly."""
    occurrences = pa.table({"word": words, "count": counts}).group_by("word").aggregate([("count", "sum")])
    occurrences = occurrences.filter(pc.not_equal(occurrences["word"], ""))
    ranked = occurrences.sort_by([("count_sum", "descending"), ("word", "ascending")])
    return Vocabulary(
        pa.concat_arrays([pa.array(SPECIAL_WORDS, pa.large_string()), ranked["word"].combine_chunks()]),
        np.concatenate([np.zeros(len(SPECIAL_WORDS), np.int64), ranked["count_sum"].to_numpy()]),
    )


def kept_words(counts: npt.NDArray[np.int64], *, vocabulary_size: int, min_frequency: int) -> int:
    """The number of ids that remain of a vocabulary with these counts: all below it."""
    frequent_enough = int((counts[len(SPECIAL_WORDS) :] >= min_frequency).sum())
    return min(vocabulary_size, len(SPECIAL_WORDS) + frequent_enough)
