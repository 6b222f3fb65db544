"""The learning curve of a trial and its confusion matrix on validation, small, drawn by matplotlib on white."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.scores import confusion
from models.training import EpochResult

DOTS_PER_INCH = 110
SCORE, OTHER, BEST = "#2a7fbf", "#8c8c8c", "#d55e00"  # as in the report's figures, which need plotly
CLASSES_WITH_COUNTS = 12  # with more, a cell has no room for a number
CLASSES_WITH_NAMES = 60  # with more, an axis has no room for a name
NAME_LENGTH = 24  # characters of a class's name that are shown

Classes = npt.NDArray[np.integer]


def save_learning_curve(file: Path, curve: Sequence[EpochResult], best_epoch: int) -> None:
    """Both scores and both losses over the epochs."""
    figure = Figure(figsize=(4.6, 4.4))  # about square, as the dashboard's cards are
    margins = {"left": 0.14, "right": 0.97, "bottom": 0.11, "top": 0.97, "hspace": 0.12}
    scores, losses = figure.subplots(2, 1, sharex=True, gridspec_kw=margins)
    epochs = [result.epoch + 1 for result in curve]
    for axes, name, colour, values in (
        (scores, "macro-F1", SCORE, [result.macro_f1 for result in curve]),
        (scores, "accuracy", OTHER, [result.accuracy for result in curve]),
        (losses, "validation", SCORE, [result.validation_loss for result in curve]),
        (losses, "training", OTHER, [result.training_loss for result in curve]),
    ):
        axes.plot(epochs, values, "o-", color=colour, label=name, markersize=3.5, linewidth=1.5)
    for axes, title in ((scores, "Validation score"), (losses, "Loss")):
        axes.axvline(best_epoch + 1, color=BEST, linestyle="--", linewidth=1, label="best epoch")
        axes.set_ylabel(title)
        axes.grid(color="#dddddd", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    losses.set_xlabel("Epoch")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(file, dpi=DOTS_PER_INCH)


def save_confusion(folder: Path, labels: Classes, predictions: Classes, names: Sequence[str], *, epoch: int) -> None:
    """The matrix as `confusion.png`, and as `confusion.csv` its pairs of classes, the most frequent mistakes first.

    A colour is a share of the class's texts. Counts stand in the cells where there are few classes; with very many the
    picture has no names, either, and the table must be read.
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
    with warnings.catch_warnings(action="ignore"):  # of letters in a name that the font does not have
        _draw_confusion(counts, names, epoch).savefig(folder / "confusion.png", dpi=DOTS_PER_INCH)


def _draw_confusion(counts: npt.NDArray[np.int64], names: Sequence[str], epoch: int) -> Figure:
    classes = len(names)
    has_counts, has_names = classes <= CLASSES_WITH_COUNTS, classes <= CLASSES_WITH_NAMES
    side = 2.2 + (0.5 if has_counts else 0.15) * min(max(classes, 3), CLASSES_WITH_NAMES)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    norm = PowerNorm(0.5, 0, 1)  # so that a few mistakes are seen
    axes.imshow(shares, cmap="Blues", norm=norm)
    axes.set_title(f"Validation texts, after epoch {epoch + 1}", fontsize=10)
    axes.set_xlabel("predicted")
    axes.set_ylabel("class")
    shown = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in names if has_names]
    for axis, turned in ((axes.xaxis, 90), (axes.yaxis, 0)):
        axis.set_ticks(range(len(shown)), shown, rotation=turned, fontsize=9 if has_counts else 6.5, parse_math=False)
    if has_counts:
        for row, column in zip(*counts.nonzero(), strict=True):
            colour = "white" if norm(shares[row, column]) > 0.6 else "black"
            axes.text(column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=9)
    return figure
