"""Features of texts from a frozen encoder: computed once into the shared cache, so that a head trains in seconds.

The encoder defines the features. The texts of a study are one bank for all splits into training and validation: the row
of a text is found by its token ids.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.training.parallel import one_torch_thread
from preprocessing.batches import make_batch, rows_of_epoch
from preprocessing.cache import OnEvent, OnProgress, ignore, open_or_build
from preprocessing.encoding import EncodedTexts

FEATURES_FILE = "features.npy"
TEXTS_AT_ONCE = 8  # per core; with MiniLM 51 texts per second and core, instead of 41 with 64
EVALUATION_BATCH_SIZE = 1024

Encode = Callable[[Tensor, Tensor], Tensor]  # token ids (B, T), lengths (B,) to features (B, D)


@dataclass(frozen=True)
class TextFeatures:
    """Text `i` has the features `bank[rows[i]]` and the class `labels[i]`."""

    bank: npt.NDArray[np.float32]  # (distinct texts, D), a memory map
    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.labels)


class FeatureBatch(NamedTuple):
    features: Tensor  # (B, D) float32
    lengths: Tensor  # (B,) int64, all 1: a text is one row
    labels: Tensor  # (B,) int64
    rows: npt.NDArray[np.intp]  # (B,) the indices of the texts

    def to(self, device: torch.device) -> "FeatureBatch":
        features, lengths, labels = (tensor.to(device, non_blocking=True) for tensor in self[:3])
        return FeatureBatch(features, lengths, labels, self.rows)


@dataclass(frozen=True)
class FeatureTrainingBatches:
    """The texts of each epoch, in an order that depends only on `seed` and the epoch's number."""

    texts: TextFeatures
    batch_size: int
    seed: int
    epoch_texts: int | None = None  # see `rows_of_epoch`

    def __len__(self) -> int:
        return -(-min(len(self.texts), self.epoch_texts or len(self.texts)) // self.batch_size)

    def epoch(self, number: int) -> Iterator[FeatureBatch]:
        rows = rows_of_epoch(len(self.texts), number, self.epoch_texts, seed=self.seed)
        order = np.random.default_rng([self.seed, number]).permutation(len(rows))
        return _batches(self.texts, rows[order], self.batch_size)


@dataclass(frozen=True)
class FeatureEvaluationBatches:
    """Every text once."""

    texts: TextFeatures

    def __iter__(self) -> Iterator[FeatureBatch]:
        return _batches(self.texts, np.arange(len(self.texts)), EVALUATION_BATCH_SIZE)


def cached_features(
    sides: Sequence[EncodedTexts],
    load_encoder: Callable[[], Encode],
    *,
    encoder: str,
    cache_dir: Path,
    device: torch.device,
    on_event: OnEvent = ignore,
    on_progress: OnProgress | None = None,
) -> list[TextFeatures]:
    """The features of each side's texts, from one bank for all of them, which is computed if it is missing.

    Only then `load_encoder` is called; `encoder` is the identity of its result. The bank does not depend on the split
    into sides. On the CPU, it is computed on all cores that this process may use. Raises `CacheError`.
    """
    hashes = [_hashes(texts) for texts in sides]
    distinct, first = np.unique(np.concatenate(hashes), return_index=True)

    def build(folder: Path) -> None:
        on_event(f"Computing the features of {len(distinct):,} texts.")
        features = _compute(_concatenated(sides), first, load_encoder(), device, on_progress)
        np.save(folder / FEATURES_FILE, features, allow_pickle=False)

    key = {"features of": encoder, "texts": hashlib.sha256(distinct.tobytes()).hexdigest()}
    entry = open_or_build(cache_dir, f"features of {len(distinct):,} texts", key, build, on_event=on_event)
    bank = np.load(entry.folder / FEATURES_FILE, mmap_mode="r", allow_pickle=False)
    return [
        TextFeatures(bank, np.searchsorted(distinct, of_side), texts.labels)
        for of_side, texts in zip(hashes, sides, strict=True)
    ]


def _compute(
    texts: EncodedTexts,
    rows: npt.NDArray[np.intp],
    encode: Encode,
    device: torch.device,
    on_progress: OnProgress | None,
) -> npt.NDArray[np.float32]:
    """The features (len(rows), D) of some of the texts, in batches of similar length."""
    order = np.argsort(texts.lengths[rows], kind="stable")
    parts = [order[start : start + TEXTS_AT_ONCE] for start in range(0, len(order), TEXTS_AT_ONCE)]
    longest, ids = int(texts.lengths.max()), int(texts.token_ids.max()) + 1

    @torch.inference_mode()  # holds for the thread that enters it
    def compute(part: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        token_ids, lengths, _, _ = make_batch(texts, rows[part], max_tokens=longest, vocabulary_size=ids).to(device)
        features: npt.NDArray[np.float32] = encode(token_ids, lengths).float().cpu().numpy()
        return features

    computed: list[npt.NDArray[np.float32]] = []
    done = 0
    with one_torch_thread(), ThreadPoolExecutor(joblib.cpu_count() if device.type == "cpu" else 1) as pool:
        for part in pool.map(compute, parts):
            computed.append(part)
            done += len(part)
            if on_progress:
                on_progress(done, len(rows))
    features = np.concatenate(computed)
    features[order] = features.copy()
    return features


def _hashes(texts: EncodedTexts) -> npt.NDArray[np.uint64]:
    """A hash of the token ids of each text."""
    parts = np.split(texts.token_ids, texts.offsets[1:-1])
    digests = b"".join(hashlib.blake2b(ids.tobytes(), digest_size=8).digest() for ids in parts)
    return np.frombuffer(digests, np.uint64)


def _concatenated(sides: Sequence[EncodedTexts]) -> EncodedTexts:
    lengths = np.concatenate([texts.lengths for texts in sides])
    return EncodedTexts(
        np.concatenate([texts.token_ids for texts in sides]),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate([texts.labels for texts in sides]),
    )


def _batches(texts: TextFeatures, order: npt.NDArray[np.intp], batch_size: int) -> Iterator[FeatureBatch]:
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        yield FeatureBatch(
            torch.from_numpy(texts.bank[texts.rows[rows]]),
            torch.ones(len(rows), dtype=torch.int64),
            torch.from_numpy(texts.labels[rows].astype(int)),
            rows,
        )
