"""Trained models side by side, drawn with plotly: how they have learned, and what they take for what."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from models.scores import Classes, Metric
from models.statistics import confusion
from models.training import TrainingResult
from study.figures.style import SCALE, TEMPLATE, new_figure
from study.figures.trial_pictures import CLASSES_WITH_COUNTS
from study.formatting import METRIC_TITLES

MODEL_COLOURS = ("#2a7fbf", "#d55e00", "#b5539c", "#8c8c8c", "#c4820e")  # readable, as those of `figure_style`
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
    """Texts by class (rows) and predicted class (columns); the colour is the share of the row. Both of shape (N,)."""
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
