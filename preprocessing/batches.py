"""Length-bucketed batches, padded on the right to the batch's longest text.

Texts of similar length share a batch, so that there is little padding.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch

from preprocessing.encoding import EncodedTexts
from preprocessing.vocabulary import PAD_ID, UNKNOWN_ID, kept_words

LENGTH_NOISE = 0.1  # relative: texts whose lengths differ by less are shuffled between batches
BATCH_TOKENS = 2_700  # tokens per batch by default: those of 32 texts of R8
LARGEST_SMALL_BATCH = 32  # texts: a batch may be as large, however few steps an epoch has then
STEPS_PER_EPOCH = 150  # with larger ones at least so many, as R8 has: rare classes are not learned in fewer
EARLY_VALIDATION_TEXTS = 5_000  # at most, after an epoch that cannot be a training's best
TEXTS_AT_A_TIME = 10_000  # when all are truncated: bounds the memory
EVALUATION_BATCH_SIZE = 128  # larger ones are slower: they fit the processor's caches less well
EVALUATION_BATCH_TOKENS = 25_600  # with padding; long texts have smaller batches, which bounds the memory


Truncation = Literal["head", "tail", "both"]


@dataclass(frozen=True)
class TextLimits:
    """Limits on the prepared texts that a model sees; of word ids, they need no cache entry of their own."""

    max_tokens: int = 200  # per text; longer ones are truncated
    vocabulary_size: int = 30_000  # ids at most, including <pad> and <unk>
    min_frequency: int = 2  # rarer words of the training texts are <unk>, so that <unk> is trained
    max_training_texts: int | None = None  # a stratified part of them; None: all
    truncate: Truncation = "head"  # which part of a longer text is kept; both: its first and its last half

    def __post_init__(self) -> None:
        for name, minimum in (("max_tokens", 1), ("vocabulary_size", 3), ("min_frequency", 1)):
            if getattr(self, name) < minimum:
                raise ValueError(f"`{name} >= {minimum}` must hold, got {getattr(self, name)}.")
        if self.truncate not in get_args(Truncation):
            raise ValueError(f"`truncate` must be head, tail or both, got {self.truncate!r}.")
        if self.max_training_texts is not None and self.max_training_texts < 1:
            raise ValueError(f"`max_training_texts >= 1` must hold, got {self.max_training_texts}.")

    def kept_words(self, word_counts: npt.NDArray[np.int64]) -> int:
        return kept_words(word_counts, vocabulary_size=self.vocabulary_size, min_frequency=self.min_frequency)


class Batch(NamedTuple):
    token_ids: torch.Tensor  # (B, T) int32, `PAD_ID` behind a text's end
    lengths: torch.Tensor  # (B,) int64, at least 1
    labels: torch.Tensor  # (B,) int64
    rows: npt.NDArray[np.intp]  # (B,) the indices of the texts

    def to(self, device: torch.device) -> "Batch":
        token_ids, lengths, labels = (tensor.to(device, non_blocking=True) for tensor in self[:3])
        return Batch(token_ids, lengths, labels, self.rows)


@dataclass(frozen=True)
class TrainingBatches:
    """The texts of each epoch; the batches depend only on `seed` and the epoch's number."""

    texts: EncodedTexts
    batch_size: int
    max_tokens: int
    vocabulary_size: int  # ids from here on are `UNKNOWN_ID`
    seed: int
    epoch_texts: int | None = None  # see `rows_of_epoch`

    def __len__(self) -> int:
        return -(-min(len(self.texts), self.epoch_texts or len(self.texts)) // self.batch_size)

    def epoch(self, number: int) -> Iterator[Batch]:
        generator = np.random.default_rng([self.seed, number])
        rows = rows_of_epoch(len(self.texts), number, self.epoch_texts, seed=self.seed)
        lengths = np.minimum(self.texts.lengths[rows], self.max_tokens)
        noisy = lengths * (1 + LENGTH_NOISE * generator.random(len(lengths)))
        buckets = _cut(rows[np.argsort(noisy, kind="stable")], self.batch_size)
        for bucket in generator.permutation(len(buckets)):
            yield make_batch(
                self.texts, buckets[bucket], max_tokens=self.max_tokens, vocabulary_size=self.vocabulary_size
            )


@dataclass(frozen=True)
class EvaluationBatches:
    """Every text once, in order of length; `Batch.rows` has the original indices."""

    texts: EncodedTexts
    max_tokens: int
    vocabulary_size: int

    def __iter__(self) -> Iterator[Batch]:
        for rows in _cut(np.argsort(self.texts.lengths, kind="stable"), EVALUATION_BATCH_SIZE):
            longest = min(int(self.texts.lengths[rows[-1]]), self.max_tokens)
            for part in _cut(rows, max(1, EVALUATION_BATCH_TOKENS // longest)):
                yield make_batch(self.texts, part, max_tokens=self.max_tokens, vocabulary_size=self.vocabulary_size)


def rows_of_epoch(texts: int, number: int, epoch_texts: int | None, *, seed: int) -> npt.NDArray[np.intp]:
    """The indices of the texts of an epoch: all, or the next `epoch_texts` of an order that comes to each text once.

    When all have come, they are shuffled again.
    """
    if epoch_texts is None or epoch_texts >= texts:
        return np.arange(texts)
    start, rows = number * epoch_texts, np.zeros(0, np.intp)
    for turn in range(start // texts, (start + epoch_texts - 1) // texts + 1):
        shuffled = np.random.default_rng([seed, turn, 1]).permutation(texts)
        rows = np.append(rows, shuffled[max(start - turn * texts, 0) : start + epoch_texts - turn * texts])
    return rows


def texts_per_batch(texts: EncodedTexts, max_tokens: int, batch_tokens: int, epoch_texts: int | None = None) -> int:
    """The number of texts that have `batch_tokens` tokens on average.

    Where `BATCH_TOKENS` would leave an epoch too few steps, a batch of so many tokens has fewer texts, and all others
    in proportion.
    """
    mean = max(float(np.minimum(texts.lengths, max_tokens).mean()), 1.0)
    per_epoch = min(len(texts), epoch_texts or len(texts))
    usual = min(BATCH_TOKENS / mean, max(LARGEST_SMALL_BATCH, per_epoch // STEPS_PER_EPOCH))
    return max(1, round(usual * batch_tokens / BATCH_TOKENS))


def limited_training_texts(texts: EncodedTexts, limits: TextLimits) -> EncodedTexts:
    """The part of the texts that the limits allow, as `stratified_part` chooses it; all texts without a limit."""
    return texts if limits.max_training_texts is None else stratified_part(texts, limits.max_training_texts)


def truncated(texts: EncodedTexts, max_tokens: int, truncate: Truncation) -> EncodedTexts:
    """The texts without the tokens that are to be cut out; for "head" all of them, since batches cut the rest off."""
    lengths = texts.lengths
    if truncate == "head" or len(texts) == 0 or lengths.max() <= max_tokens:
        return texts
    kept = np.minimum(lengths, max_tokens)
    head = (max_tokens + 1) // 2 if truncate == "both" else 0  # tokens before the cut
    offsets = np.concatenate([[0], np.cumsum(kept)])
    token_ids = np.empty(offsets[-1], texts.token_ids.dtype)
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        part = slice(start, start + TEXTS_AT_A_TIME)
        counts = kept[part]
        places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)  # in the truncated text
        skipped = np.repeat(lengths[part] - counts, counts) * (places >= head)
        chosen = np.repeat(texts.offsets[:-1][part], counts) + places + skipped
        token_ids[offsets[start] : offsets[start] + len(chosen)] = texts.token_ids[chosen]
    return EncodedTexts(token_ids, offsets, texts.labels)


def stratified_part(texts: EncodedTexts, size: int) -> EncodedTexts:
    """At most `size` of the texts, chosen at random within each class, always the same ones."""
    if size >= len(texts):
        return texts
    shuffled = np.random.default_rng(0).permutation(len(texts))
    by_class = shuffled[np.argsort(texts.labels[shuffled], kind="stable")]
    sizes = np.bincount(texts.labels)
    ranks = np.arange(len(texts)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within the class
    quantiles = (ranks + 0.5) / np.repeat(sizes, sizes)
    quantiles[ranks == 0] = 0  # each class keeps at least one text
    return texts.take(np.sort(by_class[np.argsort(quantiles, kind="stable")[:size]]))


def make_batch(texts: EncodedTexts, rows: npt.NDArray[np.intp], *, max_tokens: int, vocabulary_size: int) -> Batch:
    starts = texts.offsets[rows]
    lengths = np.minimum(texts.offsets[rows + 1] - starts, max_tokens)
    positions = np.arange(lengths.max())
    mask = positions < lengths[:, None]  # (B, T)
    token_ids = np.full(mask.shape, PAD_ID, np.int32)
    token_ids[mask] = texts.token_ids[(starts[:, None] + positions)[mask]]
    token_ids[token_ids >= vocabulary_size] = UNKNOWN_ID
    return Batch(
        torch.from_numpy(token_ids), torch.from_numpy(lengths), torch.from_numpy(texts.labels[rows].astype(int)), rows
    )


def _cut(order: npt.NDArray[np.intp], batch_size: int) -> list[npt.NDArray[np.intp]]:
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
