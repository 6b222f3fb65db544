"""The report on an ensemble across studies: its page, its figures as JSON, and its model."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import torch
from markupsafe import Markup
from plotly.offline import get_plotlyjs
from rich.console import Console

from data.files import replace_folder
from models.export import save_model
from models.learners.classifier import average
from models.training.calibration import expected_calibration_error
from models.training.scores import METRICS, Metric
from study.confirmation.bootstrap import Estimate, bootstrap_interval
from study.confirmation.ensemble import Ensemble, Part
from study.errors import StudyError
from study.figures.style import BEST, COLOURS, COMPLETE, PAGE_STYLE, new_figure
from study.formatting import METRIC_TITLES
from study.reports.contents import SEED, Report
from study.reports.figures import Figure
from study.reports.pages import draw
from study.reports.rendering import render_page
from study.reports.sentences import interval_in_words
from study.reports.table import Table
from study.trials.repeats import confirmed_learner, load_weights, temperature_of

PAGE, FACTS = "ensemble.html", "ensemble.json"
MEGABYTE = 1_000_000


def write_ensemble(ensemble: Ensemble, reports: list[Report], folder: Path, console: Console) -> None:
    """Write the folder of an ensemble, and print what it has found. Raises `StudyError`."""
    scores = {
        name: bootstrap_interval(ensemble.labels, ensemble.system.predictions, name, seed=SEED) for name in METRICS
    }
    content = {
        "name": folder.name,
        "headline": _headline(ensemble, scores),
        "paragraphs": [],
        "tables": [_parts_table(ensemble, reports), _test_table(scores, reports)],
        "figures": [draw(_pareto_figure(ensemble, reports))],
        "notes": [],
    }
    if folder.exists() and not (folder / FACTS).is_file():
        raise StudyError(f"{folder} would be replaced, but it is no ensemble of study.report; move it away.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            written = Path(temporary) / folder.name
            written.mkdir()
            page = render_page(PAGE, **content, figure_style=Markup(PAGE_STYLE), plotly_js=Markup(get_plotlyjs()))
            (written / PAGE).write_text(page, encoding="utf-8")
            (written / FACTS).write_text(json.dumps(_facts(ensemble, scores), indent=2) + "\n", encoding="utf-8")
            _export(ensemble, scores, written / "model")
            replace_folder(written, folder)
    except OSError as error:
        raise StudyError(f"The ensemble cannot be written to {folder}: {error.strerror or error}.") from error
    console.print(content["headline"])
    for part in ensemble.parts:
        console.print(f"  {part.voter.weight:.2f}  {part.voter.study}  {_in_words(part)}")
    for file in (PAGE, FACTS, "model"):
        console.print(f"Written: {folder / file}")


def _headline(ensemble: Ensemble, scores: Mapping[Metric, Estimate]) -> str:
    names = [part.voter.study for part in ensemble.chosen]
    metric = ensemble.parts[0].voter.configuration.base.training.metric
    which = (
        f"The ensemble of {', '.join(names)}"
        if len(names) > 1
        else f"No ensemble is better than {names[0]} alone, which"
    )
    return (
        f"{which} has a validation {METRIC_TITLES[metric]} of {ensemble.validation:.4f}, optimistic since its weights "
        f"were chosen by it (the best study alone: {max(part.validation for part in ensemble.parts):.4f}); on the test "
        f"split its accuracy is {interval_in_words(scores['accuracy'])}, its macro-F1 "
        f"{interval_in_words(scores['macro_f1'])}."
    )


def _in_words(part: Part) -> str:
    without = "" if part.without is None else f", without it {part.without:.4f}"
    return (
        f"validation {part.validation:.4f}{without}; {part.seconds:.2f} s per 1,000 texts, "
        f"{part.bytes / MEGABYTE:.1f} MB"
    )


def _parts_table(ensemble: Ensemble, reports: list[Report]) -> Table:
    metric = METRIC_TITLES[ensemble.parts[0].voter.configuration.base.training.metric]
    rows = [
        (
            part.voter.study,
            f"{part.voter.weight:.2f}",
            f"{part.validation:.4f}",
            "-" if part.without is None else f"{part.without:.4f}",
            f"{part.seconds:.2f}",
            f"{part.bytes / MEGABYTE:.1f}",
        )
        for part in ensemble.parts
    ]
    caption = (
        "The weight of each study's probabilities, chosen greedily by the validation scores on the repeats (Caruana et "
        f"al. 2004); the {metric} of its training runs there, and of the ensemble without it (with it "
        f"{ensemble.validation:.4f}); what all its training runs together cost on one core and in weights."
    )
    columns = ("Study", "Weight", f"Validation {metric}", "Without it", "Seconds per 1,000 texts", "MB")
    return Table("parts", f"The studies, {len(reports)} in all", caption, columns, tuple(rows))


def _test_table(scores: Mapping[Metric, Estimate], reports: list[Report]) -> Table:
    rows = [("the ensemble", *(interval_in_words(scores[name]) for name in ("accuracy", "macro_f1")))]
    for report in reports:
        if report.test:
            tested = report.test.exported_system
            title = f"{report.study.study_name}: {tested.system.title}"
            rows.append((title, interval_in_words(tested.accuracy), interval_in_words(tested.macro_f1)))
    if (
        baselines := [tested for tested in reports[0].test.tested if tested.calibration is None]
        if reports[0].test
        else []
    ):
        rows += [
            (row.system.title, interval_in_words(row.accuracy), interval_in_words(row.macro_f1)) for row in baselines
        ]
    caption = (
        "With 95 % bootstrap intervals over texts. The test has chosen nothing: neither the weights nor the studies."
    )
    return Table("test", "On the test split", caption, ("System", "Accuracy", "Macro-F1"), tuple(rows))


def _pareto_figure(ensemble: Ensemble, reports: list[Report]) -> Figure:
    """The score of each confirmed study and of the ensemble over the time of a prediction."""
    metric = reports[0].configuration.base.training.metric
    points = {}
    for report in reports:
        part = next(part for part in ensemble.parts if part.voter.study == report.study.study_name)
        assert report.test is not None
        points[part.voter.study] = (part.seconds, report.test.exported_system.score(metric).value)
    of_ensemble = bootstrap_interval(ensemble.labels, ensemble.system.predictions, metric, seed=SEED)
    points["the ensemble"] = (sum(part.seconds for part in ensemble.chosen), of_ensemble.value)
    figure = new_figure("Seconds per 1,000 texts on one core", f"Test {METRIC_TITLES[metric]}")
    figure.add_trace(
        go.Scatter(
            x=[seconds for seconds, _ in points.values()],
            y=[value for _, value in points.values()],
            text=list(points),
            mode="markers+text",
            textposition="top center",
            marker={"size": 11, "color": [*[COLOURS[COMPLETE]] * len(reports), BEST]},
            hovertemplate="%{text}: %{y:.4f}, %{x:.2f} s<extra></extra>",
        )
    )
    figure.update_xaxes(type="log")
    figure.update_layout(showlegend=False)
    words = "; ".join(f"{name} {value:.4f} in {seconds:.2f} s" for name, (seconds, value) in points.items())
    title = "Score and prediction time"
    caption = "What better predictions cost: up is better, left is faster. Each study with all its training runs."
    return Figure("pareto", title, caption, f"{words}.", figure)


def _facts(ensemble: Ensemble, scores: Mapping[Metric, Estimate]) -> dict[str, Any]:
    probabilities = ensemble.system.probabilities
    assert probabilities is not None
    is_right = ensemble.system.predictions[0] == ensemble.labels
    return {
        "weights": {part.voter.study: part.voter.weight for part in ensemble.parts},
        "validation": ensemble.validation,
        "parts": {
            part.voter.study: {
                "validation": part.validation,
                "without": part.without,
                "seconds_per_1000_texts": part.seconds,
                "bytes": part.bytes,
            }
            for part in ensemble.parts
        },
        "test": {name: vars(estimate) for name, estimate in scores.items()},
        "calibration": {
            "expected_calibration_error": expected_calibration_error(probabilities.confidences[0], is_right),
            "negative_log_likelihood": probabilities.log_losses[0],
        },
    }


def _export(ensemble: Ensemble, scores: Mapping[Metric, Estimate], folder: Path) -> None:
    classifiers, weights = [], []
    for part in ensemble.chosen:
        voter = part.voter
        trained = []
        for trial in voter.confirmed.trials:
            learner = confirmed_learner(voter.configuration, trial, torch.device("cpu"))
            weights_of_trial = load_weights(voter.checkpoints, trial)
            temperature = temperature_of(learner, learner.logits(weights_of_trial, learner.prepared.validation))
            trained.append(learner.restore(weights_of_trial, {}, temperature=temperature))
        classifiers.append(average(trained, {}))
        weights.append(voter.weight)
    about = {
        "studies": {part.voter.study: part.voter.weight for part in ensemble.chosen},
        "text_column": ensemble.parts[0].voter.configuration.source.text_column,
        "test": {name: estimate.value for name, estimate in scores.items()},
    }
    save_model(folder, average(classifiers, about, weights))
