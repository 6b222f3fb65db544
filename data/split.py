"""Training, validation and test: stratified, seeded, no text on two sides."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.corpus import TRAINING, LabelledTexts, numbered

SPLIT_VERSION = 1  # increase when the rule changes: part of the cache key of prepared texts
HELD_OUT_SHARE = 0.1  # of each class, for each side that is held out


def split_sides(
    corpus: LabelledTexts, *, held_out: tuple[int, ...], seed: int | tuple[int, ...], undivided: Sequence[str] = ()
) -> npt.NDArray[np.int8]:
    """The side (`TRAINING`, or one of `held_out`) of every row.

    The distinct texts are split, class by class, so that a repeated text is on one side only; a text with several
    labels counts for the first of them. Texts of a group are split together, as one of the class of its first text.
    Each held-out side gets a tenth of a class's texts, at least one; a class with too few for that stays in training,
    as do the classes of `undivided`. Every label has a row in training. scikit-learn's stratified splitters raise for
    small classes, and for held-out sides smaller than the number of classes.
    """
    units, labels = _units(corpus), numbered(corpus.labels)
    _, first_rows, sizes = np.unique(units, return_index=True, return_counts=True)
    if corpus.groups is None:
        sizes = np.ones_like(sizes)  # however often a text is repeated
    classes = labels[first_rows]

    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    is_undivided = pc.is_in(corpus.labels, value_set=pa.array(undivided, corpus.labels.type)).to_numpy(
        zero_copy_only=False
    )
    stay = set(np.intersect1d(classes, labels[is_undivided]).tolist())

    sides = np.full(len(classes), TRAINING, np.int8)
    ends = np.cumsum(np.bincount(classes))
    for number, members in enumerate(np.split(by_class, ends[:-1])):
        if number not in stay and len(members) > len(held_out):
            _hold_out(members, sizes[members], held_out, sides)
    in_training = np.isin(labels, labels[sides[units] == TRAINING])
    sides[units[~in_training]] = TRAINING  # labels that occur only beside others, on held-out texts
    return sides[units]


def _hold_out(
    units: npt.NDArray[np.intp], sizes: npt.NDArray[np.int64], held_out: tuple[int, ...], sides: npt.NDArray[np.int8]
) -> None:
    """Put units of a class, which are shuffled, on the held-out sides, until each has its share or there are too few.

    Units that are larger than a share come last, the smallest of them first.
    """
    share = max(1, round(float(sizes.sum()) * HELD_OUT_SHARE))
    order = np.argsort(np.maximum(sizes - share, 0), kind="stable")
    place = 0
    for turn, side in enumerate(held_out):
        still_needed, filled = len(held_out) - turn, 0  # units: one for each of the other sides, and for training
        while filled < share and (filled == 0 or len(units) - place > still_needed):
            sides[units[order[place]]] = side
            filled += int(sizes[order[place]])
            place += 1


def _units(corpus: LabelledTexts) -> npt.NDArray[np.int64]:
    """The number of what each row is split with: its text, and all texts of its group, and theirs."""
    texts = corpus.text_numbers
    if corpus.groups is None:
        return texts
    from scipy.sparse import coo_array  # here, since it would cost every worker time and memory
    from scipy.sparse.csgraph import connected_components

    has_group = corpus.groups.is_valid().to_numpy(zero_copy_only=False)
    groups = texts.max() + 1 + numbered(corpus.groups.drop_null())
    nodes = int(groups.max(initial=texts.max())) + 1
    links = coo_array((np.ones(len(groups), bool), (texts[has_group], groups)), (nodes, nodes))
    components = connected_components(links, directed=False)[1][texts]
    return numbered(pa.array(components))


def classes_only_in_training(corpus: LabelledTexts, sides: npt.NDArray[np.int8]) -> list[str]:
    everywhere = set(corpus.labels.unique().to_pylist())
    return sorted(everywhere - set(corpus.labels.filter(sides != TRAINING).unique().to_pylist()))
