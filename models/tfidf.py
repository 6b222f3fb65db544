"""Sublinear TF-IDF of n-grams of token ids, as sparse rows: the same code for fitting and for predicting.

The values are those of scikit-learn's `TfidfVectorizer(sublinear_tf=True)` for the same n-grams. An n-gram is encoded
as an integer, with its ids as digits in base `vocabulary_size`; the codes of all lengths differ, since no id is 0.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from preprocessing.encoding import EncodedTexts
from preprocessing.vocabulary import PAD_ID, UNKNOWN_ID


class SparseRows(NamedTuple):
    """The features of B texts: those of text `i` are `columns[offsets[i]:offsets[i + 1]]`, ascending."""

    columns: Tensor  # (N,) int64
    values: Tensor  # (N,) float32, above 0; of L2 norm 1 for each text
    offsets: Tensor  # (B + 1,) int64


class Tfidf(nn.Module):
    """The fitted state: the n-grams of the training texts and their inverse document frequencies."""

    ngrams: Tensor  # (features,) int64, ascending
    idf: Tensor  # (features,) float32

    def __init__(self, *, max_ngram: int, vocabulary_size: int, features: int = 1) -> None:
        """Unfitted: the only feature is 0, which is no n-gram. Raises `ValueError` for too many words."""
        super().__init__()
        if vocabulary_size**max_ngram > 2**63:
            raise ValueError(
                "`vocabulary_size ** max_ngram <= 2 ** 63` must hold, "
                f"got vocabulary_size={vocabulary_size}, max_ngram={max_ngram}."
            )
        self.max_ngram = max_ngram
        self.vocabulary_size = vocabulary_size  # ids from here on are unknown
        self.register_buffer("ngrams", torch.zeros(features, dtype=torch.int64))
        self.register_buffer("idf", torch.zeros(features))

    def forward(self, token_ids: Tensor, lengths: Tensor) -> SparseRows:
        """The rows of texts of `lengths` (B,), concatenated in `token_ids` (tokens,); each depends only on its text."""
        rows, ngrams = self.find_ngrams(token_ids, lengths)
        columns = torch.searchsorted(self.ngrams[1:], ngrams, right=True)  # the last one that is not larger, or 0
        is_learned = self.ngrams[columns] == ngrams
        cells = rows[is_learned] * len(self.ngrams) + columns[is_learned]
        cells, counts = torch.unique(cells, return_counts=True)
        rows, columns = cells // len(self.ngrams), cells % len(self.ngrams)
        values = (1 + counts.log()) * self.idf[columns]
        norms = torch.bincount(rows, weights=values.square(), minlength=len(lengths)).sqrt()
        return SparseRows(columns, values / norms[rows], _starts(torch.bincount(rows, minlength=len(lengths))))

    def find_ngrams(self, token_ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Every n-gram and the text that it occurs in. N-grams neither contain nor skip unknown words."""
        token_ids = token_ids.long()
        rows = torch.repeat_interleave(lengths)
        is_known = (token_ids != PAD_ID) & (token_ids != UNKNOWN_ID) & (token_ids < self.vocabulary_size)
        ngrams, is_ngram = token_ids, is_known  # by their first tokens
        parts = [(rows[is_ngram], ngrams[is_ngram])]
        for length in range(1, self.max_ngram):
            ngrams = ngrams[:-1] * self.vocabulary_size + token_ids[length:]
            is_ngram = is_ngram[:-1] & is_known[length:] & (rows[length:] == rows[:-length])
            parts.append((rows[:-length][is_ngram], ngrams[is_ngram]))
        all_rows, all_ngrams = zip(*parts, strict=True)
        return torch.cat(all_rows), torch.cat(all_ngrams)


def fit_tfidf(
    token_ids: Tensor, lengths: Tensor, *, max_ngram: int, vocabulary_size: int, minimum_texts: int = 1
) -> Tfidf:
    """Fit on these texts; n-grams that occur in fewer than `minimum_texts` of them are left out."""
    tfidf = Tfidf(max_ngram=max_ngram, vocabulary_size=vocabulary_size)
    rows, ngrams = tfidf.find_ngrams(token_ids, lengths)
    ngrams, columns = torch.unique(ngrams, return_inverse=True)
    cells = torch.unique(rows * len(ngrams) + columns)
    texts = torch.bincount(cells % len(ngrams))  # the document frequency of each n-gram
    is_kept = texts >= minimum_texts
    if is_kept.any():
        tfidf.ngrams = ngrams[is_kept]
        tfidf.idf = ((1 + len(lengths)) / (1 + texts[is_kept])).log() + 1
    return tfidf


def flat_tokens(texts: EncodedTexts, max_tokens: int | None = None) -> tuple[Tensor, Tensor]:
    """The token ids of all texts, truncated to `max_tokens`, and the lengths of the texts, for `Tfidf`."""
    lengths = torch.from_numpy(np.array(texts.lengths))
    token_ids = torch.from_numpy(np.array(texts.token_ids))  # copied: memory maps are read-only
    if max_tokens is None:
        return token_ids, lengths
    positions = torch.arange(len(token_ids)) - torch.repeat_interleave(lengths.cumsum(0) - lengths, lengths)
    return token_ids[positions < max_tokens], lengths.clamp(max=max_tokens)


def _starts(counts: Tensor) -> Tensor:
    """Counts (B,) to offsets (B + 1,)."""
    return nn.functional.pad(counts.cumsum(0), (1, 0))
