"""Finds texts that are nearly the same, in time that is nearly linear in their number.

Two texts are compared by their sets of pairs of neighbouring words. Candidates share a band of their MinHash signature
(Broder 1997, https://doi.org/10.1109/SEQUEN.1997.666900); what they really have in common is then counted. SciPy is
imported where it is used, since it would cost every worker time and memory.
"""

import numpy as np
import numpy.typing as npt

from preprocessing.encoding import EncodedTexts

NEARLY_THE_SAME = 0.8  # of the pairs of words of two texts, both have so many
BANDS, ROWS = 4, 4  # texts that share 0.9 are candidates with a probability of 0.99, 0.8 of 0.88, 0.5 of 0.23
PIECE = 2_000_000  # tokens at a time: bounds the memory
MIXER = np.uint64(0x9E3779B97F4A7C15)  # an odd number without a pattern (the golden ratio)

Shingles = npt.NDArray[np.uint64]


def duplicate_groups(texts: EncodedTexts) -> npt.NDArray[np.int64]:
    """The number of the group of each text; texts of a group are nearly the same, some of them through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    shingles = _shingles(texts)
    signatures = np.stack([_signatures(shingles, texts.offsets, band) for band in range(BANDS)])
    whole = np.zeros(len(texts), np.uint64)
    for band in signatures:
        whole = (whole ^ band) * MIXER
    _, first, same = np.unique(whole, return_index=True, return_inverse=True)  # all alike: the same pairs of words
    pairs = np.unique(np.concatenate([_candidates(band[first]) for band in signatures]), axis=0)
    kept = [pair for pair in pairs if _similarity(shingles, texts.offsets, *first[pair]) >= NEARLY_THE_SAME]
    links = np.array(kept, np.int64).reshape(-1, 2).T
    matrix = coo_array((np.ones(links.shape[1], bool), (links[0], links[1])), (len(first), len(first)))
    groups: npt.NDArray[np.int64] = connected_components(matrix, directed=False)[1][same].astype(np.int64)
    return groups


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


def _signatures(shingles: Shingles, offsets: npt.NDArray[np.int64], band: int) -> npt.NDArray[np.uint64]:
    """A number for each text that two texts share with the fourth power of the share of their common shingles."""
    factors = np.random.default_rng(band).integers(1, 2**63, ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    signatures = np.zeros(len(offsets) - 1, np.uint64)
    ends = [*np.searchsorted(offsets, np.arange(0, offsets[-1], PIECE)[1:]), len(offsets) - 1]
    start = 0
    for end in dict.fromkeys(ends):
        if end == start:
            continue
        piece = shingles[offsets[start] : offsets[end]]
        for factor in factors:
            mixed = piece * factor
            mixed ^= mixed >> np.uint64(31)
            lowest = np.minimum.reduceat(mixed * MIXER, offsets[start:end] - offsets[start])
            signatures[start:end] = (signatures[start:end] ^ lowest) * MIXER
        start = end
    return signatures


def _similarity(shingles: Shingles, offsets: npt.NDArray[np.int64], left: int, right: int) -> float:
    """The share of the shingles of two texts that both have (Jaccard)."""
    one, other = (set(shingles[offsets[text] : offsets[text + 1]].tolist()) for text in (left, right))
    return len(one & other) / len(one | other)
