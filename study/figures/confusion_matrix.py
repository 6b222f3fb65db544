"""The confusion matrix of a trial on validation, as a small matplotlib picture and as a table."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

from models.training.scores import confusion
from study.figures.colours import DOTS_PER_INCH

CLASSES_WITH_COUNTS = 12  # with more, a cell has no room for a number
CLASSES_WITH_NAMES = 60  # with more, an axis has no room for a name
NAME_LENGTH = 24  # characters of a class's name that are shown

Classes = npt.NDArray[np.integer]


def save_confusion(folder: Path, labels: Classes, predictions: Classes, names: Sequence[str], *, epoch: int) -> None:
    """Save the matrix as `confusion.png`, its pairs of classes as `confusion.csv`, the most frequent mistakes first.

    The colour is the share of the class's texts. With few classes, the cells show counts; with very many, the picture
    has no class names either, and only the table shows them.
    """
    counts = confusion(labels, predictions[None], classes=len(names)).astype(int)
    actual, predicted = counts.nonzero()
    table = pd.DataFrame(
        {"class": np.take(names, actual), "predicted": np.take(names, predicted), "texts": counts[actual, predicted]}
    )
    table["mistake"] = actual != predicted
    table.sort_values(["mistake", "texts"], ascending=False, kind="stable").to_csv(
        folder / "confusion.csv", index=False
    )
    with warnings.catch_warnings(action="ignore"):  # about letters that the font lacks
        _draw_confusion(counts, names, epoch).savefig(folder / "confusion.png", dpi=DOTS_PER_INCH)


def _draw_confusion(counts: npt.NDArray[np.int64], names: Sequence[str], epoch: int) -> Figure:
    classes = len(names)
    has_counts, has_names = classes <= CLASSES_WITH_COUNTS, classes <= CLASSES_WITH_NAMES
    shown = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in names if has_names]
    side = (0.5 if has_counts else 0.15) * min(max(classes, 4), CLASSES_WITH_NAMES)
    figure, axes = _square_axes(side, shown, font_size=9 if has_counts else 6.5)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    norm = PowerNorm(0.5, 0, 1)  # so that a few mistakes are visible
    axes.imshow(shares, cmap="Blues", norm=norm)
    axes.set_title(f"Validation texts, after epoch {epoch + 1}", fontsize=10)
    if has_counts:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if norm(shares[row, column]) > 0.6 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=9)
    return figure


def _square_axes(side: float, names: Sequence[str], *, font_size: float) -> tuple[Figure, Axes]:
    """Axes of `side` inches with the names along both of them, in a figure of just the size that they need.

    The names are measured, since matplotlib's layout engines would draw the whole figure a second time.
    """
    figure = Figure(dpi=DOTS_PER_INCH)
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    font = FontProperties(size=font_size)
    widths = (renderer.get_text_width_height_descent(name, font, ismath=False)[0] for name in names)
    before = 0.5 + max(widths, default=0.0) / DOTS_PER_INCH  # left and below, in inches
    behind = 0.35  # right and above
    whole = before + side + behind
    figure.set_size_inches(whole, whole)
    axes = figure.add_axes((before / whole, before / whole, side / whole, side / whole))
    for axis, title, turned in ((axes.xaxis, "predicted", 90), (axes.yaxis, "class", 0)):
        axis.set_ticks(range(len(names)), names, rotation=turned, fontsize=font_size, parse_math=False)
        axis.set_label_text(title)
    return figure, axes
