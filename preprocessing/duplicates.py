"""Finds texts that are nearly the same, in time that is nearly linear in their number.

Two texts are compared by their sets of pairs of neighbouring words. Candidates share a band of their MinHash signature
(Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900); what they really have in common is then counted. SciPy is
imported where it is used, since it would cost every worker time and memory.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from preprocessing.encoding import EncodedTexts

NEARLY_THE_SAME = 0.8  # of the pairs of words of two texts, both have so many
BANDS, ROWS = 4, 4  # texts that share 0.9 are candidates with a probability of 0.99, 0.8 of 0.88, 0.5 of 0.23
PIECE = 2_000_000  # tokens at a time: bounds the memory
MIXER = np.uint64(0x9E3779B97F4A7C15)  # an odd number without a pattern (the golden ratio)

Shingles = npt.NDArray[np.uint64]


def duplicate_groups(texts: EncodedTexts) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The number of the group of each text: of those with the same words, and of those that are nearly the same.

    Some of a group of the latter are nearly the same only through others.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shingles = _shingles(texts)
    keys = np.concatenate([_keys(shingles[part], offsets) for part, offsets in _pieces(texts.offsets)])
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)
    candidates = [_candidates(_signatures(shingles, texts.offsets, band)[first]) for band in range(BANDS)]
    pairs = np.unique(np.concatenate(candidates), axis=0)
    kept = [pair for pair in pairs if _similarity(shingles, texts.offsets, *first[pair]) >= NEARLY_THE_SAME]
    links = np.array(kept, np.int64).reshape(-1, 2).T
    matrix = coo_array((np.ones(links.shape[1], bool), (links[0], links[1])), (len(first), len(first)))
    nearly: npt.NDArray[np.int64] = connected_components(matrix, directed=False)[1][same].astype(np.int64)
    return same, nearly


def _candidates(signatures: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    """Pairs (N, 2) of texts with the same signature: each with the first of them, and with the one before."""
    order = np.argsort(signatures, kind="stable")
    is_first = np.append(True, np.diff(signatures[order]) != 0)
    first = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    before = np.append(order[:1], order[:-1])
    pairs = np.concatenate([np.stack([other, order], axis=1)[~is_first] for other in (first, before)])
    return np.sort(pairs, axis=1)


def _shingles(texts: EncodedTexts) -> Shingles:
    """A number for each word together with the next one of its text."""
    following = np.zeros(len(texts.token_ids), np.uint64)
    following[:-1] = texts.token_ids[1:]
    following[texts.offsets[1:] - 1] = 0  # the last word of a text has none
    pairs = (np.asarray(texts.token_ids).astype(np.uint64) << np.uint64(32)) | following
    return (pairs ^ (pairs >> np.uint64(29))) * MIXER


def _keys(shingles: Shingles, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A number for each text that only texts with the same pairs of words have, each as often."""
    mixed = (shingles ^ (shingles >> np.uint64(31))) * MIXER
    return np.add.reduceat(mixed ^ (mixed >> np.uint64(29)), offsets)


def _signatures(shingles: Shingles, offsets: npt.NDArray[np.int64], band: int) -> npt.NDArray[np.uint64]:
    """A number for each text, which two texts share with a probability: that share of shingles to the power `ROWS`."""
    factors = np.random.default_rng(band).integers(1, 2**63, ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    found = []
    for part, starts in _pieces(offsets):
        signatures = np.zeros(len(starts), np.uint64)
        for factor in factors:
            mixed = shingles[part] * factor
            mixed ^= mixed >> np.uint64(31)
            signatures = (signatures ^ np.minimum.reduceat(mixed * MIXER, starts)) * MIXER
        found.append(signatures)
    return np.concatenate(found)


def _pieces(offsets: npt.NDArray[np.int64]) -> Iterator[tuple[slice, npt.NDArray[np.int64]]]:
    """Whole texts of about `PIECE` tokens together: their tokens, and where in these each text starts."""
    ends = [*np.searchsorted(offsets, np.arange(0, offsets[-1], PIECE)[1:]).tolist(), len(offsets) - 1]
    start = 0
    for end in dict.fromkeys(ends):
        if end > start:
            yield slice(offsets[start], offsets[end]), offsets[start:end] - offsets[start]
            start = end


def _similarity(shingles: Shingles, offsets: npt.NDArray[np.int64], left: int, right: int) -> float:
    """The share of the shingles of two texts that both have (Jaccard)."""
    one, other = (set(shingles[offsets[text] : offsets[text + 1]].tolist()) for text in (left, right))
    return len(one & other) / len(one | other)
