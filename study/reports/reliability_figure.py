"""The reliability diagram: whether the winner's probabilities are what they say."""

from models.calibration import Bin
from study.figures.style import BEST, COLOURS, COMPLETE, TEXT, new_figure
from study.reports.figures import Figure
from study.full_report import Calibration

CAPTION = (
    "The test texts by the probability that the winner gives to its own label, and the share of them that is right. On "
    "the line, probabilities are what they say; below it, the model is too sure. The larger a point, the more texts."
)


def reliability_figure(calibration: Calibration) -> Figure:
    figure = new_figure("Probability of the label", "Share that is right")
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": TEXT, "dash": "dot"}, hoverinfo="skip")
    figure.add_scatter(
        x=[one.confidence for one in calibration.bins],
        y=[one.accuracy for one in calibration.bins],
        mode="lines+markers",
        line={"color": COLOURS[COMPLETE], "width": 1},
        marker={"color": BEST, "size": [7 + 25 * one.share**0.5 for one in calibration.bins]},
        customdata=[one.share for one in calibration.bins],
        hovertemplate="probability %{x:.3f}: %{y:.3f} right, %{customdata:.1%} of the texts<extra></extra>",
    )
    figure.update_xaxes(range=[-0.03, 1.03])
    figure.update_yaxes(range=[-0.03, 1.06])
    figure.update_layout(showlegend=False)
    return Figure("reliability", "Reliability of probabilities", CAPTION, _in_words(calibration), figure)


def _in_words(calibration: Calibration) -> str:
    bins = "; ".join(map(_bin_in_words, calibration.bins))
    return f"Expected calibration error {calibration.expected_error:.4f}. Probability, and what is right: {bins}."


def _bin_in_words(one: Bin) -> str:
    return f"{one.confidence:.2f}, {one.accuracy:.2f} ({one.share:.1%} of the texts)"
