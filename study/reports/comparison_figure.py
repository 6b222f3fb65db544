"""The studies of a database side by side, as a picture: their winners' scores on fresh repeats."""

from collections.abc import Sequence

from study.confirmation.leaderboard import ComparedStudy
from study.configuration import StudyConfiguration
from study.figures.style import BEST, COLOURS, COMPLETE, new_figure
from study.reports.figures import Figure
from study.formatting import axis_title, metric_title


def comparison_figure(studies: Sequence[ComparedStudy], configuration: StudyConfiguration) -> Figure:
    """Of those that are confirmed, at least one; the best one on top."""
    confirmed = [(one.name, one.outcome) for one in studies if one.outcome]
    figure = new_figure(axis_title(configuration), "")
    names = [name for name, _ in confirmed]
    means = [outcome.mean for _, outcome in confirmed]
    deviations = [outcome.deviation or 0.0 for _, outcome in confirmed]
    figure.add_scatter(
        x=means,
        y=names,
        mode="markers",
        marker={"color": [BEST, *[COLOURS[COMPLETE]] * (len(names) - 1)], "size": 12},
        error_x={"array": deviations, "color": COLOURS[COMPLETE], "thickness": 2},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_layout(height=120 + 36 * len(names), showlegend=False)
    told = (
        f"{name} {mean:.4f}" + (f" (deviation {deviation:.4f})" if deviation else "")
        for name, mean, deviation in zip(names, means, deviations, strict=True)
    )
    draws = {outcome.draws for _, outcome in confirmed}
    same = "the same for all" if len(draws) == 1 else "not as many for all"
    return Figure(
        "comparison-figure",
        "Side by side, drawn",
        f"The {metric_title(configuration)} of each study's winner: mean and standard deviation over fresh repeats, "
        f"{same}.",
        f"From the best to the least: {'; '.join(told)}.",
        figure,
    )
