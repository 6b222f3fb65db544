"""Ensembles across studies: which are planned, and the folder of each, with its page, its facts and its model."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from data.files import replace_folder
from models.export import save_model
from models.learners.classifier import average
from models.training.calibration import expected_calibration_error
from study.confirmation.confirm import Confirmation
from study.confirmation.ensemble import build_ensemble, groups
from study.errors import StudyError
from study.reports.contents import Report
from study.reports.ensemble_page import PAGE, EnsembleReport, Plan, ensemble_page, headline, in_words
from study.reports.folder import folder_name
from study.storage.attributes import IDENTITY
from study.storage.studies import joined_study, load_configuration

FACTS, MODEL = "ensemble.json", "model"


def plan_ensembles(url: str, names: Sequence[str]) -> list[Plan]:
    """The ensembles of studies that can be combined. Raises `StudyError` if there is none, or no place for one."""
    configurations, identities = {}, {}
    for name in names:
        with joined_study(url, name) as (study, storage):
            configurations[name] = load_configuration(study, storage)
            identities[name] = str(study.user_attrs[IDENTITY])
    plans: list[Plan] = []
    for studies in groups(configurations):
        folder = Path("reports") / f"{folder_name(configurations[studies[0]].source.name)}-ensemble"
        if folder in [plan.folder for plan in plans]:
            folder = folder.with_name(f"{folder.name}-{len(plans) + 1}")
        plans.append(Plan(tuple(studies), tuple(identities[name] for name in studies), folder))
        _check_place(plans[-1])
    if not plans:
        raise StudyError(
            "--ensemble needs at least two finished studies of the same texts, split and metric, for example with "
            "--model lstm and --model linear."
        )
    return plans


def build_ensembles(
    plans: Sequence[Plan], confirmed: Mapping[str, tuple[Report, Confirmation]], console: Console
) -> list[EnsembleReport]:
    """Choose and test the ensembles that were planned, of the studies that could be confirmed."""
    built = []
    for plan in plans:
        there = [confirmed[name] for name in plan.studies if name in confirmed]
        if len(there) > 1:
            console.print("Choosing an ensemble of the studies by their validation texts, and testing it.")
            ensemble = build_ensemble([confirmation for _, confirmation in there])
            built.append(EnsembleReport(plan, ensemble, tuple(report for report, _ in there)))
    return built


def _check_place(plan: Plan) -> None:
    """Raises `StudyError` if something else than an ensemble of these studies would be replaced."""
    if not plan.folder.exists():
        return
    try:
        stored = json.loads((plan.folder / FACTS).read_text())["identities"]
        others = {path.name for path in plan.folder.iterdir()} - {PAGE, FACTS, MODEL}
    except (OSError, ValueError, LookupError, TypeError):
        stored, others = (), set()
    if others or not set(stored) & set(plan.identities):
        raise StudyError(f"{plan.folder} would be replaced, but it is no ensemble of these studies; move it away.")


def write_ensemble(report: EnsembleReport, console: Console) -> None:
    """Write the folder of an ensemble, and print what it has found. Raises `StudyError`."""
    folder, ensemble = report.plan.folder, report.ensemble
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            written = Path(temporary) / folder.name
            written.mkdir()
            (written / PAGE).write_text(ensemble_page(report), encoding="utf-8")
            (written / FACTS).write_text(json.dumps(_facts(report), indent=2) + "\n", encoding="utf-8")
            _export(report, written / MODEL)
            replace_folder(written, folder)
    except OSError as error:
        raise StudyError(f"The ensemble cannot be written to {folder}: {error.strerror or error}.") from error
    console.print(headline(report))
    for part in ensemble.parts:
        console.print(f"  {part.weight:.2f}  {part.study}  {in_words(part)}")
    for file in (PAGE, FACTS, MODEL):
        console.print(f"Written: {folder / file}")


def _facts(report: EnsembleReport) -> dict[str, Any]:
    ensemble = report.ensemble
    probabilities = ensemble.system.probabilities
    assert probabilities is not None
    is_right = ensemble.system.predictions[0] == ensemble.results.labels
    return {
        "identities": report.plan.identities,
        "weights": {part.study: part.weight for part in ensemble.parts},
        "validation": ensemble.validation,
        "parts": {
            part.study: {
                "validation": part.validation,
                "without": part.without,
                "seconds_per_1000_texts": part.seconds,
                "bytes": part.bytes,
            }
            for part in ensemble.parts
        },
        "test": {name: vars(estimate) for name, estimate in report.scores.items()},
        "against_best": vars(ensemble.against_best) if ensemble.against_best else None,
        "calibration": {
            "expected_calibration_error": expected_calibration_error(probabilities.confidences[0], is_right),
            "negative_log_likelihood": probabilities.log_losses[0],
        },
    }


def _export(report: EnsembleReport, folder: Path) -> None:
    chosen = report.ensemble.chosen
    about = {
        "studies": {part.study: part.weight for part in chosen},
        "text_column": report.reports[0].configuration.source.text_column,
        "test": {name: estimate.value for name, estimate in report.scores.items()},
    }
    save_model(folder, average([part.classifier for part in chosen], about, [part.weight for part in chosen]))
