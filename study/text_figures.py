"""What a search may see of the texts, drawn with plotly: how the classes are filled, and how long texts are."""

import numpy as np
import plotly.graph_objects as go
import pyarrow as pa
import pyarrow.compute as pc

from data.source import SearchTexts
from preprocessing.cleaning import clean, tokenize
from study.figures.style import BEST, COLOURS, COMPLETE, PRUNED, TEXT, new_figure

BARS = 40


def class_distribution(texts: SearchTexts) -> go.Figure:
    """How many training and validation texts each class has, the largest class on top."""
    counts = {
        name: dict(zip(*(column.to_pylist() for column in pc.value_counts(side.labels).flatten()), strict=True))
        for name, side in (("validation", texts.validation), ("training", texts.training))
    }
    classes = sorted(counts["training"], key=lambda name: (counts["training"][name], name))
    figure = new_figure("Texts", "")
    for (name, by_class), colour in zip(counts.items(), (COLOURS[PRUNED], COLOURS[COMPLETE]), strict=True):
        numbers = [by_class.get(one, 0) for one in classes]
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
