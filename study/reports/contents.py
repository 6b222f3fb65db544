"""The contents of a report: the search, its confirmation, the test, the verdict."""

import statistics
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from optuna.study import Study
from rich.console import Console

from models.baselines import PUBLISHED, PublishedResult
from models.training.calibration import Bin, expected_calibration_error, reliability
from models.training.scores import SCORES, ClassScores, Metric, confusion, per_class_scores
from preprocessing.prepared import PreparedTexts
from study.analysis.findings import Findings, find
from study.analysis.linear_look import LinearLook, linear_look
from study.analysis.texts import TextFacts, text_facts
from study.configuration import StudyConfig
from study.confirmation.bootstrap import Estimate, PairedComparison, bootstrap_interval, paired_bootstrap
from study.confirmation.candidates import Ranked
from study.confirmation.confirm import Confirmation, refits_by_default
from study.confirmation.holdout import load_results, open_test_split
from study.confirmation.leaderboard import ComparedStudy, Outcome, save_outcome
from study.confirmation.openings import Opening, openings
from study.confirmation.predictions import ENSEMBLE, REFITTED_BASELINE, HoldoutResults, Numbers, Probabilities, System
from study.confirmation.pruning_audit import Audit
from study.confirmation.trainings import Confirmed, LeftOut
from study.confirmation.verdict import Verdict, judge
from study.reports.reproduction import Reproduction, reproduction
from study.reports.texts import find_texts, rules_of
from study.storage.queries import finished_trials, seconds_of
from study.storage.snapshots import snapshot

SEED = 0  # of the bootstrap


@dataclass(frozen=True)
class HoldoutScores:
    """A system's scores on the test split, the mean over its repeats, with 95 % intervals."""

    system: System
    accuracy: Estimate
    macro_f1: Estimate
    calibration: "Calibration | None" = None  # None for a baseline

    def score(self, metric: Metric) -> Estimate:
        return self.accuracy if metric == "accuracy" else self.macro_f1


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities of a system fit the test texts, the mean over its trainings."""

    expected_error: float  # the expected calibration error
    log_loss: float  # the mean negative log-likelihood of the true label
    bins: tuple[Bin, ...]  # over all trainings


@dataclass(frozen=True)
class Exported:
    """The trainings of the winner that are exported as one model, and its scores on the test split."""

    system: str  # the name of the tested system that it is, or of which it is one training
    trainings: tuple[int, ...]  # their numbers in the confirmation
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class HoldoutReport:
    tested: tuple[HoldoutScores, ...]  # the winner first
    verdict: Verdict
    per_class: tuple[tuple[str, ClassScores], ...]  # of the winner
    confusion: tuple[tuple[float, ...], ...]  # of the winner: texts by class (rows) and predicted class
    openings: tuple[Opening, ...]
    published: tuple[PublishedResult, ...]
    exported: Exported

    @property
    def exported_system(self) -> HoldoutScores:
        """The system that is exported: the winner's members as one, or the winner, of which a training is."""
        return next(tested for tested in self.tested if tested.system.name == self.exported.system)

    @property
    def is_refitted(self) -> bool:
        """Whether the exported model was trained on all texts but the test's."""
        names = [tested.system.name for tested in self.tested]
        return self.exported.system == ENSEMBLE and REFITTED_BASELINE in names

    @property
    def calibration(self) -> Calibration:
        """The calibration of the exported system."""
        calibration = self.exported_system.calibration
        assert calibration is not None
        return calibration


@dataclass(frozen=True)
class Report:
    study: Study
    configuration: StudyConfig
    findings: Findings
    reproduction: Reproduction
    ranking: tuple[Ranked, ...] = ()  # the winner first; empty if nothing was trained again
    winner: Confirmed | None = None  # None: nothing was trained again
    default: Confirmed | None = None  # None: it is the winner, or it failed
    left_out: tuple[LeftOut, ...] = ()  # because a training failed
    audit: Audit | None = None  # None: not requested
    test: HoldoutReport | None = None
    comparison: tuple[ComparedStudy, ...] = ()  # with the other studies of the same texts, this one included
    texts: TextFacts | None = None  # None: they are not there any more
    look: LinearLook | None = None  # None: nothing was trained again

    @property
    def rank(self) -> int:
        """The place among the compared studies, from 0."""
        names = [study.name for study in self.comparison]
        return names.index(self.study.study_name) if names else 0


def search_report(study: Study, configuration: StudyConfig, console: Console) -> Report:
    """The report on the search alone."""
    study = snapshot(study)
    prepared = find_texts(configuration, console)
    return Report(
        study,
        configuration,
        find(study, configuration),
        reproduction(study, configuration, rules=rules_of(prepared, configuration), retrain=False),
        texts=_facts_on(prepared, configuration),
    )


def confirmed_report(confirmation: Confirmation, console: Console, *, single: bool = False) -> Report:
    """The report on a confirmed search; opens the test split unless it was opened for this winner before.

    `single`: one training of the winner is exported, not the average of all.
    """
    search, configuration = confirmation.search, confirmation.configuration
    results = load_results(confirmation.study, confirmation.compared, checkpoints=confirmation.checkpoints)
    if results is None:
        console.print("Predicting the test split with the winner, the default configuration and the baselines.")
        results = open_test_split(
            confirmation.study,
            confirmation.storage,
            configuration,
            confirmation.compared,
            search_trials=len(finished_trials(search)),
            device=confirmation.device,
            checkpoints=confirmation.checkpoints,
            on_event=console.print,
        )
    test = _judge_test(results, confirmation, single=single)
    options = {"single": True} if single else {}
    if not single and confirmation.refit != refits_by_default(configuration):
        options |= {"refit" if confirmation.refit else "no-refit": True}
    prepared = find_texts(configuration, console)
    save_outcome(confirmation.study, _outcome(confirmation.winner, test.tested[0], len(finished_trials(search))))
    return Report(
        search,
        configuration,
        find(search, configuration),
        reproduction(
            search,
            configuration,
            rules=rules_of(prepared, configuration),
            **confirmation.extent.non_defaults(),
            **options,
        ),
        ranking=confirmation.ranking,
        winner=confirmation.winner,
        default=confirmation.default,
        left_out=confirmation.left_out,
        audit=confirmation.audit,
        test=test,
        texts=_facts_on(prepared, configuration),
        look=None if prepared is None else linear_look(prepared),
    )


def _facts_on(prepared: PreparedTexts | None, configuration: StudyConfig) -> TextFacts | None:
    if prepared is None:
        return None
    return text_facts(prepared, None if configuration.base.pretrained else configuration.base.limits)


def _outcome(winner: Confirmed, tested: HoldoutScores, search_trials: int) -> Outcome:
    return Outcome(
        parameters=winner.candidate.parameters,
        mean=winner.mean,
        deviation=winner.deviation if len(winner.trials) > 1 else None,
        draws=len(winner.trials),
        search_trials=search_trials,
        seconds=statistics.fmean(seconds_of(trial) for trial in winner.trials),
        weights=tested.system.weights,
        accuracy=tested.accuracy,
        macro_f1=tested.macro_f1,
    )


def _judge_test(results: HoldoutResults, confirmation: Confirmation, *, single: bool) -> HoldoutReport:
    configuration, labels = confirmation.configuration, results.labels
    tested = tuple(
        HoldoutScores(
            system,
            bootstrap_interval(labels, system.predictions, "accuracy", seed=SEED),
            bootstrap_interval(labels, system.predictions, "macro_f1", seed=SEED),
            _calibration(system.probabilities, system.predictions == labels) if system.probabilities else None,
        )
        for system in results.systems
    )
    winner, classes = results.systems[0], len(results.classes)
    per_class = per_class_scores(labels, winner.predictions, classes=classes)
    return HoldoutReport(
        tested,
        _judge(results, confirmation, single=single),
        tuple(zip(results.classes, per_class, strict=True)),
        tuple(map(tuple, confusion(labels, winner.predictions, classes=classes).tolist())),
        tuple(openings(confirmation.storage, configuration)),
        PUBLISHED.get(configuration.source.name, ()) if configuration.source.path is None else (),
        _exported(confirmation.winner, winner if single else results.ensemble or winner, labels),
    )


def _judge(results: HoldoutResults, confirmation: Confirmation, *, single: bool) -> Verdict:
    """Compare the winner with the default configuration and with the baseline that is best on validation texts."""
    metric = confirmation.configuration.base.training.metric
    systems = {system.name: system for system in results.systems}
    winner, default, ensemble = systems["winner"], systems.get("default"), results.ensemble
    baseline, refitted = results.best_baseline, systems.get(REFITTED_BASELINE)

    def compare(system: System, other: System) -> PairedComparison:
        predictions = np.broadcast_to(system.predictions, other.predictions.shape)  # the same ones for each repeat
        return paired_bootstrap(results.labels, predictions, other.predictions, metric, seed=SEED)

    return judge(
        metric,
        default=None if default is None else compare(winner, default),
        baseline=compare(winner, baseline),
        baseline_title=baseline.title,
        ensemble=None if single or ensemble is None else compare(ensemble, refitted or baseline),
        is_refitted=refitted is not None,
        is_default=confirmation.winner.candidate.is_default,
        rivals=len(confirmation.ranking) - 1,
        failed=len(confirmation.left_out),
    )


def _calibration(probabilities: Probabilities, is_right: npt.NDArray[np.bool_]) -> Calibration:
    errors = map(expected_calibration_error, probabilities.confidences, is_right)
    bins = reliability(probabilities.confidences.ravel(), is_right.ravel())
    return Calibration(statistics.fmean(errors), statistics.fmean(probabilities.log_losses), tuple(bins))


def _exported(winner: Confirmed, system: System, labels: Numbers) -> Exported:
    """The winner's members, for their ensemble as the `system`; for the winner itself the best one on validation."""
    members = winner.members if system.name == ENSEMBLE else (winner.trials[winner.exported],)
    predictions = system.predictions[0 if system.name == ENSEMBLE else winner.exported]
    scores = (SCORES[metric](labels, predictions) for metric in ("accuracy", "macro_f1"))
    return Exported(system.name, tuple(member.number for member in members), *scores)
