"""The figures and tables of the notebook: texts and classes, trained models side by side, and their documentation."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc
from plotly.subplots import make_subplots

from data.texts import SearchTexts
from models.learners.learner import Learner
from models.training.scores import Classes, Metric, confusion, per_class_scores
from models.training.trainer import TrainingResult
from preprocessing.cleaning import clean, tokenize
from preprocessing.prepared import PreparedTexts
from study.figures.colours import BLUE, GREY, OCHRE, ORANGE, PINK, SCALE, TEXT
from study.figures.confusion_matrix import CLASSES_WITH_COUNTS
from study.figures.style import BEST, COLOURS, COMPLETE, PRUNED, TEMPLATE, new_figure
from study.formatting import METRIC_TITLES

FOLDER = Path(__file__).parents[2] / "docs" / "models"
BARS = 40
MODEL_COLOURS = (BLUE, ORANGE, PINK, GREY, OCHRE)
MODEL_SYMBOLS = ("circle", "square", "diamond", "x", "triangle-up")


def training_curves(results: Mapping[str, TrainingResult], metric: Metric) -> go.Figure:
    """Validation loss and score of each model after each epoch; a model without epochs is a single point."""
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    figure.update_layout(template=TEMPLATE)
    for index, (model, result) in enumerate(results.items()):
        look = index % len(MODEL_COLOURS)
        for column, field in enumerate(("validation_loss", metric), start=1):
            figure.add_scatter(
                x=[epoch.epoch + 1 for epoch in result.curve],
                y=[getattr(epoch, field) for epoch in result.curve],
                name=model,
                legendgroup=model,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": MODEL_COLOURS[look], "width": 2},
                marker={"symbol": MODEL_SYMBOLS[look], "size": 7},
                row=1,
                col=column,
            )
    figure.update_xaxes(title_text="Epoch")
    figure.update_yaxes(title_text="Validation loss", col=1)
    figure.update_yaxes(title_text=f"Validation {METRIC_TITLES[metric]}", col=2)
    return figure


def confusion_matrix(labels: Classes, predictions: Classes, classes: Sequence[str]) -> go.Figure:
    """Texts by class (rows) and predicted class (columns), from arrays (N,); the colour is the share of the row."""
    counts = confusion(labels, predictions[None], classes=len(classes))
    supports = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, supports, out=np.zeros_like(counts), where=supports > 0)
    figure = new_figure("Predicted class", "Class")
    figure.add_heatmap(
        x=list(classes),
        y=list(classes),
        z=shares,
        zmin=0,
        zmax=1,
        colorscale=SCALE,
        xgap=1,
        ygap=1,
        colorbar={"title": "Share of the class", "title_side": "right", "tickformat": ".0%", "thickness": 12},
        customdata=counts,
        text=np.where(counts > 0, counts.astype(int).astype(str), ""),
        texttemplate="%{text}" if len(classes) <= CLASSES_WITH_COUNTS else None,
        hovertemplate="%{y} taken for %{x}: %{customdata} texts, %{z:.0%}<extra></extra>",
    )
    figure.update_layout(height=180 + 34 * len(classes))
    figure.update_xaxes(type="category", dtick=1)
    figure.update_yaxes(type="category", dtick=1, autorange="reversed")
    return figure


def class_distribution(texts: SearchTexts) -> go.Figure:
    """How many training and validation texts each class has, the largest class on top."""
    counts = {
        name: dict(zip(*(column.to_pylist() for column in pc.value_counts(side.labels).flatten()), strict=True))
        for name, side in (("validation", texts.validation), ("training", texts.training))
    }
    classes = sorted(counts["training"], key=lambda name: (counts["training"][name], name))
    figure = new_figure("Texts", "")
    for (name, by_class), colour in zip(counts.items(), (COLOURS[PRUNED], COLOURS[COMPLETE]), strict=True):
        numbers = [by_class.get(label, 0) for label in classes]
        figure.add_bar(x=numbers, y=classes, name=name, orientation="h", marker_color=colour)
        figure.data[-1].update(text=[f"{number:,}" for number in numbers], textposition="outside", textfont_color=TEXT)
    figure.update_layout(height=120 + 40 * len(classes), legend_traceorder="reversed", uniformtext={"minsize": 9})
    figure.update_yaxes(type="category", dtick=1)
    return figure


def text_lengths(texts: pa.Array, *, max_tokens: int) -> go.Figure:
    """How many texts have how many words, the longest in one bar, and what share is cut off at `max_tokens`."""
    lengths = tokenize(clean(texts)).value_lengths().to_numpy(zero_copy_only=False)
    width = max(1, int(np.ceil(np.quantile(lengths, 0.99) / BARS)))
    counts = np.bincount(np.minimum(lengths // width, BARS), minlength=BARS + 1)
    ends = [f"{bar * width} to {(bar + 1) * width - 1}" for bar in range(BARS)] + [f"{BARS * width} or more"]
    figure = new_figure("Words", "Texts")
    figure.add_bar(
        x=(np.arange(BARS + 1) * width).tolist(),
        y=counts.tolist(),
        width=width * 0.9,
        offset=0,
        name=f"training texts, the median has {np.median(lengths):.0f} words",
        marker_color=COLOURS[COMPLETE],
        text=ends,
        textposition="none",
        hovertemplate="%{text} words: %{y:,} texts<extra></extra>",
    )
    name = f"{max_tokens} words: {(lengths > max_tokens).mean():.1%} of the texts are longer and cut off there"
    line = {"color": BEST, "dash": "dash"}
    figure.add_scatter(x=[max_tokens] * 2, y=[0, int(counts.max())], name=name, mode="lines", line=line)
    return figure


def score_frame(results: Mapping[str, TrainingResult], learners: Mapping[str, Learner]) -> pd.DataFrame:
    """The scores of each model's best epoch, the training time, and the number of weights; a row per model."""
    rows = {
        model: {
            "accuracy": result.best.accuracy,
            "macro-F1": result.best.macro_f1,
            "training in seconds": sum(epoch.seconds for epoch in result.curve),
            "weights": learners[model].count_weights(result.best_weights),
        }
        for model, result in results.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def class_frame(results: Mapping[str, TrainingResult], prepared: PreparedTexts) -> pd.DataFrame:
    """How many validation texts each class has, and its F1 by each model's best epoch; the largest class first.

    The F1 of a class without a text is NaN. `prepared` may be those of any model: they differ in the ids only.
    """
    labels, classes = prepared.validation.labels, prepared.classes
    columns: dict[str, list[float]] = {}
    for model, result in results.items():
        scores = per_class_scores(labels, result.best.predictions.numpy()[None], classes=len(classes))
        columns["texts"] = [class_scores.support for class_scores in scores]
        columns[model] = [class_scores.f1 if class_scores.support else np.nan for class_scores in scores]
    return pd.DataFrame(columns, index=list(classes)).sort_values("texts", ascending=False, kind="stable")


@dataclass(frozen=True)
class Explanation:
    """A page of docs/models/ in parts, for a display that cannot follow its link to the picture."""

    title: str  # Markdown, as the text
    picture: Path  # SVG
    text: str


def read_explanation(model: str) -> Explanation:
    """Read the page on a model, by its name in `--model`."""
    page = (FOLDER / f"{model}.md").read_text(encoding="utf-8")
    title, picture, text = re.split(r"!\[.+\]\((.+)\)", page)
    return Explanation(title, FOLDER / picture, text)
