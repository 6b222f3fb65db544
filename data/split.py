"""Training, validation and test: stratified, seeded, no text on two sides."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import LabelledTexts, numbered, text_keys

SPLIT_VERSION = 1  # increase when the rule changes: part of the cache key of prepared texts
HELD_OUT_SHARE = 0.1  # of each class, for each side that is held out
TRAINING, VALIDATION, TEST = 0, 1, 2


def split_sides(
    corpus: LabelledTexts, *, held_out: tuple[int, ...], seed: int | tuple[int, ...], whole: Sequence[str] = ()
) -> npt.NDArray[np.int8]:
    """The side (`TRAINING`, or one of `held_out`) of every row.

    The distinct texts are split, class by class, so that a repeated text is on one side only; a text with several
    labels counts for the first of them. Each held-out side gets a tenth of a class's texts, at least one; a class with
    too few for that stays in training, as do the classes of `whole`. Every label has a row in training. scikit-learn's
    stratified splitters raise for small classes, and for held-out sides smaller than the number of classes.
    """
    texts, labels = numbered(text_keys(corpus.texts)), numbered(corpus.labels)
    _, first_rows = np.unique(texts, return_index=True)
    classes = labels[first_rows]

    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    sizes = np.bincount(classes)
    rank_in_class = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held_out_sizes = np.maximum(1, np.rint(sizes * HELD_OUT_SHARE)).astype(int)
    held_out_sizes[sizes <= len(held_out)] = 0
    is_whole = pc.is_in(corpus.labels, value_set=pa.array(whole, corpus.labels.type)).to_numpy(zero_copy_only=False)
    held_out_sizes[np.intersect1d(classes, labels[is_whole])] = 0
    turn = rank_in_class // np.maximum(1, np.repeat(held_out_sizes, sizes))
    is_held_out = rank_in_class < np.repeat(held_out_sizes * len(held_out), sizes)

    sides = np.full(len(classes), TRAINING, np.int8)
    sides[by_class[is_held_out]] = np.array(held_out, np.int8)[turn[is_held_out]]
    in_training = np.isin(labels, labels[sides[texts] == TRAINING])
    sides[texts[~in_training]] = TRAINING  # labels that occur only beside others, on held-out texts
    return sides[texts]


def classes_only_in_training(corpus: LabelledTexts, sides: npt.NDArray[np.int8]) -> list[str]:
    everywhere = set(corpus.labels.unique().to_pylist())
    return sorted(everywhere - set(corpus.labels.filter(sides != TRAINING).unique().to_pylist()))
