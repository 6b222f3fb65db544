"""The learning curve of a trial, as a small matplotlib picture."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from models.training.trainer import EpochResult
from study.figures.colours import BLUE, DOTS_PER_INCH, GREY, GRID, ORANGE


def save_learning_curve(file: Path, curve: Sequence[EpochResult], best_epoch: int) -> None:
    """Save a plot of both scores and both losses over the epochs."""
    figure = Figure(figsize=(4.6, 4.4))  # about square, as the dashboard's cards are
    margins = {"left": 0.14, "right": 0.97, "bottom": 0.11, "top": 0.93, "hspace": 0.25}
    scores, losses = figure.subplots(2, 1, sharex=True, gridspec_kw=margins)
    epochs = [result.epoch + 1 for result in curve]
    for axes, name, colour, values in (
        (scores, "macro-F1", BLUE, [result.macro_f1 for result in curve]),
        (scores, "accuracy", GREY, [result.accuracy for result in curve]),
        (losses, "validation", BLUE, [result.validation_loss for result in curve]),
        (losses, "training", GREY, [result.training_loss for result in curve]),
    ):
        axes.plot(epochs, values, "o-", color=colour, label=name, markersize=3.5, linewidth=1.5)
    for axes, title in ((scores, "Validation score"), (losses, "Loss")):
        label = "best epoch" if axes is scores else None
        axes.axvline(best_epoch + 1, color=ORANGE, linestyle="--", linewidth=1, label=label)
        axes.set_ylabel(title)
        axes.grid(color=GRID, linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(-0.02, 1.03), ncols=3, borderaxespad=0)
    losses.set_xlabel("Epoch")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(file, dpi=DOTS_PER_INCH)
