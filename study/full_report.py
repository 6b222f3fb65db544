"""All that a report tells about a study, gathered: the search, its confirmation, the test, the verdict."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from optuna.study import Study
from rich.console import Console

from models.baselines import PUBLISHED, PublishedResult
from models.exported import save_model
from models.scores import Metric
from models.statistics import ClassScores, Estimate, bootstrap_interval, confusion, paired_bootstrap, per_class_scores
from study.audit import Audit
from study.comparison import ComparedStudy, Outcome, save_outcome
from study.configuration import StudyConfiguration
from study.confirmation import DRAW, Confirmed, LeftOut, confirmed_learner
from study.display import best_trial
from study.findings import Findings, find
from study.full_confirmation import Confirmation
from study.kept_weights import load_weights
from study.reproduction import Reproduction, reproduction
from study.stored_study import FINGERPRINT
from study.test_results import Opening, System, TestResults, load_results, open_test_split, openings
from study.trial_queue import finished_trials
from study.verdict import Verdict, judge

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class Tested:
    """A system's scores on the test split, the mean over its draws, with 95 % intervals."""

    __test__ = False  # pytest: not a test

    system: System
    accuracy: Estimate
    macro_f1: Estimate

    def score(self, metric: Metric) -> Estimate:
        return self.accuracy if metric == "accuracy" else self.macro_f1


@dataclass(frozen=True)
class TestReport:
    __test__ = False  # pytest: not a test

    tested: tuple[Tested, ...]  # the winner first
    verdict: Verdict
    per_class: tuple[tuple[str, ClassScores], ...]  # of the winner
    confusion: tuple[tuple[float, ...], ...]  # of the winner: texts by class (rows) and predicted class
    openings: tuple[Opening, ...]
    published: tuple[PublishedResult, ...]


@dataclass(frozen=True)
class Report:
    study: Study
    configuration: StudyConfiguration
    findings: Findings
    reproduction: Reproduction
    ranking: tuple[Confirmed, ...] = ()  # empty when nothing was trained again
    left_out: tuple[LeftOut, ...] = ()  # of the ranking
    audit: Audit | None = None  # None: not asked for
    test: TestReport | None = None
    comparison: tuple[ComparedStudy, ...] = ()  # with the other studies of the same texts, this one included

    @property
    def winner(self) -> Confirmed | None:
        return self.ranking[0] if self.ranking else None

    @property
    def rank(self) -> int:
        """Among the studies that it is compared with, from 0."""
        names = [one.name for one in self.comparison]
        return names.index(self.study.study_name) if names else 0


def search_report(study: Study, configuration: StudyConfiguration) -> Report:
    """What the search alone tells."""
    return Report(study, configuration, find(study, configuration), reproduction(study, configuration, retrain=False))


def confirmed_report(confirmation: Confirmation, console: Console) -> Report:
    """With the winner on fresh draws, the test and the verdict; opens the test split unless that was done for it."""
    compared = _compared(confirmation.ranking)
    results = load_results(confirmation.study, compared)
    if results is None:
        console.print("Opening the test split for the winner, the default configuration and the baselines.")
        results = open_test_split(
            confirmation.study,
            confirmation.storage,
            confirmation.configuration,
            compared,
            search_trials=len(finished_trials(confirmation.search)),
            device=confirmation.device,
            checkpoints=confirmation.checkpoints,
            on_event=console.print,
        )
    search, configuration, audit = confirmation.search, confirmation.configuration, confirmation.audit
    test = _judge_test(results, confirmation)
    save_outcome(confirmation.study, _outcome(confirmation.ranking[0], test.tested[0], len(finished_trials(search))))
    return Report(
        search,
        configuration,
        find(search, configuration),
        reproduction(search, configuration, **confirmation.extent.unusual()),
        ranking=confirmation.ranking,
        left_out=confirmation.left_out,
        audit=audit,
        test=test,
    )


def _outcome(winner: Confirmed, tested: Tested, search_trials: int) -> Outcome:
    return Outcome(
        parameters=winner.candidate.parameters,
        mean=winner.mean,
        deviation=winner.deviation if len(winner.trials) > 1 else None,
        draws=len(winner.trials),
        search_trials=search_trials,
        seconds=statistics.fmean(trial.user_attrs["seconds"] for trial in winner.trials),
        weights=tested.system.weights,
        accuracy=tested.accuracy,
        macro_f1=tested.macro_f1,
    )


def export_winner(confirmation: Confirmation, folder: Path) -> None:
    """The winner's model, of the draw that is best on its own validation texts. Raises `ModelError`."""
    configuration, winner = confirmation.configuration, confirmation.ranking[0]
    trial = max(winner.trials, key=lambda trial: trial.value or 0.0)
    learner = confirmed_learner(configuration, trial, torch.device("cpu"))
    about = {
        "study": confirmation.search.study_name,
        "text_column": configuration.source.text_column,
        "draw": trial.user_attrs[DRAW],
        "training_seed": learner.settings.training.seed,
        "validation": {"accuracy": trial.user_attrs["accuracy"], "macro_f1": trial.user_attrs["macro_f1"]},
        "torch": torch.__version__.split("+")[0],
    }
    save_model(folder, learner.restore(load_weights(confirmation.checkpoints, trial), about))


def best_params(report: Report) -> dict[str, Any]:
    """What `best_params.json` holds: the parameters, how sure they are, and how to come to them again."""
    configuration = report.configuration
    winner = report.winner
    best = best_trial(report.study)
    content: dict[str, Any] = {
        "study": report.study.study_name,
        "metric": configuration.metric,
        "parameters": winner.candidate.parameters if winner else best.params if best else None,
        "search": None if best is None else {"trial": best.number, "value": best.value, "parameters": best.params},
        "fingerprint": report.study.user_attrs[FINGERPRINT],
        "versions": report.reproduction.versions,
        "command": {"search": report.reproduction.search, "report": report.reproduction.report},
    }
    if winner:
        content |= {
            "is_default": winner.candidate.is_default,
            "confirmed": {
                "mean": winner.mean,
                "deviation": None if len(winner.trials) == 1 else winner.deviation,
                "optimism": winner.optimism,
                "draws": [
                    {
                        "draw": trial.user_attrs[DRAW],
                        "training_seed": trial.user_attrs["training_seed"],
                        "value": trial.value,
                    }
                    for trial in winner.trials
                ],
            },
        }
    if report.audit:
        content["audit"] = {
            "pruned": report.audit.pruned,
            "top": report.audit.top,
            "into_top": report.audit.into_top,
            "trials": [
                {
                    "trial": one.pruned.number,
                    "parameters": one.pruned.params,
                    "value_when_pruned": one.pruned.value,
                    "value": one.finished.value,
                    "rank": one.rank,
                    "is_repeated": one.is_repeated,
                }
                for one in report.audit.audited
            ],
        }
    if report.test:
        content["test"] = {
            tested.system.name: {
                "accuracy": vars(tested.accuracy),
                "macro_f1": vars(tested.macro_f1),
                "parameters": tested.system.parameters,
            }
            for tested in report.test.tested
        }
        content["verdict"] = report.test.verdict.sentence
    return json.loads(json.dumps(content))  # type: ignore[no-any-return]


def _compared(ranking: tuple[Confirmed, ...]) -> list[Confirmed]:
    """The winner and, where that is another one, the default configuration."""
    return [ranking[0], *(one for one in ranking[1:] if one.candidate.is_default)]


def _judge_test(results: TestResults, confirmation: Confirmation) -> TestReport:
    configuration, ranking = confirmation.configuration, confirmation.ranking
    metric = configuration.base.training.metric
    labels = results.labels
    tested = tuple(
        Tested(
            system,
            bootstrap_interval(labels, system.predictions, "accuracy", seed=SEED),
            bootstrap_interval(labels, system.predictions, "macro_f1", seed=SEED),
        )
        for system in results.systems
    )
    systems = {system.name: system for system in results.systems}
    winner, default = systems.pop("winner"), systems.pop("default", None)
    baseline = max(systems.values(), key=lambda system: float(np.mean(system.validation)))
    verdict = judge(
        metric,
        default=None
        if default is None
        else paired_bootstrap(labels, winner.predictions, default.predictions, metric, seed=SEED),
        baseline=paired_bootstrap(labels, winner.predictions, baseline.predictions, metric, seed=SEED),
        baseline_title=baseline.title,
        is_default=ranking[0].candidate.is_default,
        rivals=len(ranking) - 1,
        failed=len(confirmation.left_out),
    )
    classes = len(results.classes)
    per_class = per_class_scores(labels, winner.predictions, classes=classes)
    return TestReport(
        tested,
        verdict,
        tuple(zip(results.classes, per_class, strict=True)),
        tuple(map(tuple, confusion(labels, winner.predictions, classes=classes).tolist())),
        tuple(openings(confirmation.storage, configuration)),
        PUBLISHED.get(configuration.source.name, ()) if configuration.source.path is None else (),
    )
