"""Reports from beginning to end: on one study, or on all of a database, compared side by side."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import torch
from optuna.study import Study
from rich.console import Console

from data.errors import UserError
from models.export import save_model
from models.learners.classifier import average
from study.confirmation.confirm import Confirmation, confirmed_search
from study.confirmation.leaderboard import compare
from study.confirmation.openings import openings
from study.errors import StudyError
from study.reports.contents import HoldoutReport, Report, confirmed_report, search_report
from study.reports.ensemble import build_ensembles, plan_ensembles, write_ensemble
from study.reports.folder import folder_name, new_folder, publish
from study.reports.pages import write_report
from study.reports.sentences import comparison_lines, headline, paragraphs
from study.signals import release_signals
from study.storage.attributes import REPEAT
from study.storage.dashboard import browse_command, note_verdict
from study.storage.retrying import RetryingStorage
from study.storage.studies import Progress, check_name, joined_study, load_configuration, started_studies
from study.trials.repeats import confirmed_learner, load_weights

_Gathered = tuple[Report, RetryingStorage, Confirmation | None]

MAIN_FILES = ("report.html", "report.md", "best_params.json", "trials.csv", "model")


@dataclass(frozen=True)
class ReportOptions:
    """The options of `study.report`; see there."""

    top: int | None = None  # this and the next two: None: the value of the last report, or the default
    seeds: int | None = None
    audit: int | None = None
    retrain: bool = True
    refit: bool | None = None  # a model is trained on all texts but the test's; None: as in the last report, or usual
    single: bool = False  # a model is one training of the winner, not the average of all
    ensemble: bool = False
    workers: int | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        if not self.retrain and self.ensemble:
            raise StudyError("--ensemble combines confirmed studies, --no-retrain confirms none: leave that out.")
        if not self.retrain and (self.top or self.seeds or self.audit or self.refit):
            raise StudyError(
                "--top, --seeds, --audit and --refit say what to train, --no-retrain trains nothing: leave that out."
            )
        if self.refit and self.single:
            raise StudyError("--single exports one of the validated training runs, --refit others: leave out one.")


def report_studies(url: str, name: str | None, options: ReportOptions, console: Console) -> None:
    """Confirm a study and write its report; without a name, those of all studies of the database.

    The best study by validation is written last, and then an ensemble, so that its model is the newest. Raises
    `UserError`; `Interrupted`, after which it can continue.
    """
    if name is not None:
        check_name(name)
        if options.ensemble:
            raise StudyError("--ensemble combines all studies of the same texts: leave --name out.")
    started = _choose(started_studies(url), retrain=options.retrain, console=console) if name is None else []
    names = [name] if name is not None else started
    if options.output and len(names) > 1:
        raise StudyError(f"--output is the folder of one report; say with --name which study: {', '.join(names)}.")
    plans = plan_ensembles(url, names) if options.ensemble else []
    alone = len(names) == 1
    with ExitStack() as stack:
        gathered: list[_Gathered] = []
        for study_name in names:
            with _step(f"Study: {study_name}", study_name, console, alone=alone):
                gathered.append(_confirm(url, study_name, options, stack, console))
        confirmed = {report.study.study_name: (report, own) for report, _, own in gathered if own}
        ensembles = build_ensembles(plans, confirmed, console)  # first, so that all reports count its opening
        written = _write_all(gathered, url, options.output, console, alone=alone)
        for ensemble in ensembles:
            write_ensemble(ensemble, console)
        if missing := [study_name for study_name in names if study_name not in written]:
            raise StudyError(f"There is no report on {', '.join(missing)}; the reason is above.")


def _confirm(
    url: str, name: str, options: ReportOptions, stack: ExitStack, console: Console
) -> tuple[Report, RetryingStorage, Confirmation | None]:
    """The report on a study, for as long as the `stack` is open: confirmed, or on the search alone."""
    _check_folder(url, name, options.output, retrain=options.retrain)
    if not options.retrain:
        study, storage = stack.enter_context(joined_study(url, name))
        return search_report(study, load_configuration(study, storage), console), storage, None
    confirming = confirmed_search(
        url,
        name,
        top=options.top,
        seeds=options.seeds,
        audits=options.audit,
        refit=options.refit,
        single=options.single,
        workers=options.workers,
        console=console,
    )
    confirmation = stack.enter_context(confirming)
    return confirmed_report(confirmation, console, single=options.single), confirmation.storage, confirmation


def _write_all(gathered: list[_Gathered], url: str, output: Path | None, console: Console, *, alone: bool) -> list[str]:
    """Compare the studies, and write the report on each, the best by validation last; returns their names."""
    snapshots = {report.study.study_name: report.study for report, _, _ in gathered}
    compared = [(_beside_others(report, storage, snapshots), own) for report, storage, own in gathered]
    written = []
    for report, own in sorted(compared, key=lambda pair: -pair[0].rank):
        name = report.study.study_name
        with _step(f"Report: {name}", name, console, alone=alone):
            _write(report, own, output, console)
            written.append(name)
    for lines in dict.fromkeys(tuple(comparison_lines(report)) for report, _ in compared):
        for line in lines:
            console.print(line)
    if compared:
        console.print(f"Browse: {browse_command(url, compared[0][0].configuration.artifact_dir)}")
    return written


@contextmanager
def _step(step: str, name: str, console: Console, *, alone: bool) -> Iterator[None]:
    """A step for one of several studies: it is printed, and if it fails, the others continue."""
    if not alone:
        console.print(step)
    try:
        yield
    except UserError as error:
        if alone:
            raise
        release_signals()  # which workers that were stopped may have held; the other studies can be interrupted
        console.print(f"Note: no report on study '{name}': {error}")


def _choose(studies: list[Progress], *, retrain: bool, console: Console) -> list[str]:
    """The studies to report on if none was named: of several, only those whose search has finished."""
    reasons = {}
    for study in studies:
        if study.complete == 0 and (retrain or len(studies) > 1):
            reasons[study.name] = "has no complete trial yet"
        elif retrain and len(studies) > 1 and study.finished < study.budget:
            reasons[study.name] = f"has finished {study.finished} of {study.budget} trials"
    names = [study.name for study in studies if study.name not in reasons]
    if not names:
        first = studies[0].name
        raise StudyError(f"Study '{first}' {reasons[first]}; continue it with study.run first, or name it with --name.")
    for name, reason in reasons.items():
        console.print(f"Note: study '{name}' {reason} and is left out.")
    return names


def _beside_others(report: Report, storage: RetryingStorage, snapshots: Mapping[str, Study]) -> Report:
    """The report with the openings and the comparison, after all studies have been confirmed."""
    test = report.test
    if test:
        test = replace(test, openings=tuple(openings(storage, report.configuration)))
    return replace(report, test=test, comparison=tuple(compare(storage, report.configuration, snapshots)))


def _check_folder(url: str, name: str, output: Path | None, *, retrain: bool) -> None:
    """Check before hours of training that the report can be written. Raises `StudyError`."""
    with joined_study(url, name) as (study, _):
        load_configuration(study)
        with new_folder(_folder(name, output, retrain=retrain), study, whole=retrain):
            pass


def _folder(study_name: str, output: Path | None, *, retrain: bool) -> Path:
    """The folder of the report; that of the search alone has a name of its own, and never replaces a full report."""
    return output or Path("reports") / (folder_name(study_name) + ("" if retrain else "-search"))


def _write(report: Report, confirmation: Confirmation | None, output: Path | None, console: Console) -> None:
    name = report.study.study_name
    place = _folder(name, output, retrain=confirmation is not None)
    with new_folder(place, report.study, whole=confirmation is not None) as (folder, written):
        write_report(report, written)
        if confirmation and report.test:
            export_winner(confirmation, report.test, written / "model")
        publish(written, folder)
    sentences = [headline(report), *paragraphs(report)]
    if confirmation:
        search = optuna.load_study(study_name=name, storage=confirmation.storage)
        note_verdict(search, sentences, folder / "report.html")
    for sentence in sentences:
        console.print(sentence)
    for file in MAIN_FILES:
        if (folder / file).exists():
            console.print(f"Written: {folder / file}")


def export_winner(confirmation: Confirmation, test: HoldoutReport, folder: Path) -> None:
    """Export the winner's trainings as one model that averages them, or one of them. Raises `ModelError`."""
    configuration, probabilities = confirmation.configuration, test.tested[0].system.probabilities
    assert probabilities is not None
    classifiers, facts = [], []
    winner = confirmation.winner
    for trial in (*winner.trials, *winner.refits):
        if trial.number in test.exported.trainings:
            temperature = winner.temperature_of(trial, probabilities.temperatures)
            learner = confirmed_learner(configuration, trial, torch.device("cpu"))
            weights = load_weights(confirmation.checkpoints, trial)
            classifiers.append(learner.restore(weights, {}, temperature=temperature))
            scores = {name: trial.user_attrs.get(name) for name in ("accuracy", "macro_f1")}
            scores = {} if trial in winner.refits else scores  # those texts are trained on
            seed = learner.settings.training.seed
            facts.append({"draw": trial.user_attrs[REPEAT], "training_seed": seed, "validation": scores})
    about = {
        "study": confirmation.search.study_name,
        "text_column": configuration.source.text_column,
        "trainings": facts,
        "test": {"accuracy": test.exported.accuracy, "macro_f1": test.exported.macro_f1},
        "torch": torch.__version__.split("+")[0],
    }
    save_model(folder, average(classifiers, about))
