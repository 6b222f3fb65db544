"""Fresh seeds for the configurations that a search found best, since each of them was picked for being lucky on one.

A study of its own beside the search, in the same database: its queued trials hold a configuration and a draw, which
stands for a fresh training seed and a fresh division of the texts between training and validation. The same workers run
them, with the same resume. The weights of each are kept in the cache folder. Trials of the search that were pruned can
be queued there, too, to be finished on the search's own seed and texts (`study.audit`).
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from models.learning import Learner
from models.training import EpochResult
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.artifacts import ArtifactFolder
from study.configuration import StudyConfiguration
from study.errors import StudyError
from study.kept_weights import has_weights, save_weights
from study.objective import run_trial
from study.preparation import word_pieces_of
from study.search_space import apply_parameters, default_parameters
from study.trial_queue import FAILURE, WITHDRAWN, TrialQueue, complete_trials

SUFFIX = "/confirmation"  # of the search's name
CONFIRMS = "confirms"  # the study attribute that names the search
EXTENT = "extent"  # the study attribute: how much of the search was trained again
DRAW = "draw"  # the trial attribute: which fresh seed and division of the texts
TRIES = 2  # of a training that fails
AUDITS = "audits"  # the trial attribute, in the place of a draw: the number of the pruned trial that it finishes

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Extent:
    """How much of a search is trained again, by the names of the options of `study.report`."""

    top: int = 3  # configurations
    seeds: int = 3  # draws for each
    audit: int = 0  # pruned trials to finish, or all if there are fewer

    def unusual(self) -> dict[str, int]:
        """Those that are not the default."""
        return {option: number for option, number in asdict(self).items() if number != getattr(Extent, option)}


@dataclass(frozen=True)
class Candidate:
    """A configuration that is trained again, and what the search has claimed of it."""

    parameters: Parameters
    trial: FrozenTrial | None  # of the search; None when the default configuration was not tried to its end
    is_default: bool


@dataclass(frozen=True)
class LeftOut:
    """A candidate whose training has failed on a draw."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class Confirmed:
    """A candidate with its scores on fresh draws."""

    candidate: Candidate
    trials: tuple[FrozenTrial, ...]  # of the confirmation, by draw

    @property
    def mean(self) -> float:
        return statistics.fmean(self._scores)

    @property
    def deviation(self) -> float:
        """The standard deviation over the draws; not a number for a single one."""
        return statistics.stdev(self._scores) if len(self.trials) > 1 else math.nan

    @property
    def claimed(self) -> float | None:
        """What the search has claimed of it."""
        return self.candidate.trial.value if self.candidate.trial else None

    @property
    def optimism(self) -> float | None:
        """How much of that fresh draws do not give."""
        return None if self.claimed is None else self.claimed - self.mean

    @property
    def _scores(self) -> list[float]:
        return [trial.value or 0.0 for trial in self.trials]


def find_candidates(study: Study, configuration: StudyConfiguration, *, top: int) -> list[Candidate]:
    """The best `top` configurations of a search and, where it is not among them, the default one.

    Raises `StudyError` when no trial is complete.
    """
    ranked = rank_configurations(study)
    if not ranked:
        raise StudyError(f"Study '{study.study_name}' has no complete trial yet; go on with study.run first.")
    default = default_parameters(configuration.search_space, configuration.base)
    candidates = [Candidate(trial.params, trial, trial.params == default) for trial in ranked[:top]]
    if not any(candidate.is_default for candidate in candidates):
        tried = next((trial for trial in ranked if trial.params == default), None)
        candidates.append(Candidate(default, tried, is_default=True))
    return candidates


def rank_configurations(study: Study) -> list[FrozenTrial]:
    """The best complete trial of every configuration, the best first, and of equals the earliest."""
    best_first = sorted(complete_trials(study), key=lambda trial: (-(trial.value or 0.0), trial.number))
    best = {tuple(sorted(trial.params.items())): trial.number for trial in reversed(best_first)}
    return [trial for trial in best_first if trial.number in best.values()]


def enqueue(
    queue: TrialQueue, candidates: list[Candidate], pruned: list[FrozenTrial], *, draws: int, checkpoints: Path
) -> int:
    """Queue what the confirmation does not have yet, or has lost the weights of; returns how many trials it has then.

    What waits since another call has asked for it is taken out of the queue; what has failed is tried once more.
    `pruned`: trials of the search that are to be finished; their weights are not needed. To be called by one process at
    a time.
    """
    study = queue.study
    wanted = [(candidate.parameters, {DRAW: draw}) for draw in range(draws) for candidate in candidates]
    wanted += [(trial.params, {AUDITS: trial.number}) for trial in pruned]
    there, failed = [], []
    for trial in study.get_trials(deepcopy=False):
        purpose = {name: trial.user_attrs[name] for name in (DRAW, AUDITS) if name in trial.user_attrs}
        asked = _asked_parameters(trial), purpose
        if trial.state == TrialState.WAITING and asked not in wanted:
            queue.withdraw(trial)
        elif trial.state == TrialState.FAIL:
            failed += [asked] if WITHDRAWN not in trial.user_attrs else []
        elif trial.state != TrialState.COMPLETE or AUDITS in purpose or has_weights(checkpoints, trial.number):
            there.append(asked)
    for parameters, purpose in wanted:
        asked = parameters, purpose
        if asked not in there and failed.count(asked) < TRIES:
            study.enqueue_trial(parameters, user_attrs=purpose)
    return len(study.get_trials(deepcopy=False))


def confirmed(study: Study, candidates: list[Candidate], *, draws: int) -> list[Confirmed]:
    """The candidates by their mean score on fresh draws, the best first; those that failed on one are left out.

    Where the default configuration is as good as another, it comes first: nothing speaks for a change.
    """
    complete = {
        (tuple(sorted(trial.params.items())), trial.user_attrs[DRAW]): trial
        for trial in complete_trials(study)
        if DRAW in trial.user_attrs
    }
    found = []
    for candidate in candidates:
        keys = [(tuple(sorted(candidate.parameters.items())), draw) for draw in range(draws)]
        if all(key in complete for key in keys):
            found.append(Confirmed(candidate, tuple(complete[key] for key in keys)))
    return sorted(found, key=lambda one: (-one.mean, not one.candidate.is_default))


def left_out(study: Study, candidates: list[Candidate]) -> list[LeftOut]:
    """Those of the candidates that have failed on a draw, with the last reason."""
    reasons = {
        tuple(sorted(trial.params.items())): trial.user_attrs.get(FAILURE, "no reason was recorded")
        for trial in study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        if DRAW in trial.user_attrs and WITHDRAWN not in trial.user_attrs
    }
    keys = [tuple(sorted(candidate.parameters.items())) for candidate in candidates]
    return [LeftOut(one, reasons.get(key, "it was not trained")) for one, key in zip(candidates, keys, strict=True)]


def run_confirming_trial(
    trial: Trial,
    on_epoch_end: Callable[[EpochResult], None],
    *,
    configuration: StudyConfiguration,
    device: torch.device,
    checkpoints: Path,
    on_event: Callable[[str], None],
    artifacts: ArtifactFolder | None = None,
) -> float:
    """Train one candidate on one draw and keep its weights, or finish a pruned trial; otherwise as `run_trial`."""
    draw = trial.user_attrs.get(DRAW)  # None: a pruned trial
    return run_trial(
        trial,
        on_epoch_end,
        base=configuration.base if draw is None else with_draw(configuration, draw).base,
        prepared=prepare_draw(configuration, draw),
        cache_dir=Path(configuration.cache_dir),
        device=device,
        checkpoints=checkpoints,
        on_event=on_event,
        artifacts=artifacts,
        on_trained=None if draw is None else lambda found: save_weights(checkpoints, trial.number, found.best_weights),
    )


def confirmed_learner(configuration: StudyConfiguration, trial: FrozenTrial, device: torch.device) -> Learner:
    """What has learned in a trial of the confirmation."""
    draw = int(trial.user_attrs[DRAW])
    settings = apply_parameters(with_draw(configuration, draw).base, trial.params)
    return Learner(settings, prepare_draw(configuration, draw), Path(configuration.cache_dir), device)


def with_draw(configuration: StudyConfiguration, draw: int) -> StudyConfiguration:
    """The configuration with the training seed of a draw, which is none of the search's."""
    training = configuration.base.training
    base = replace(configuration.base, training=replace(training, seed=training.seed + 1 + draw))
    return replace(configuration, base=base)


@lru_cache(maxsize=1)
def prepare_draw(configuration: StudyConfiguration, draw: int | None) -> PreparedTexts:
    """The texts as a draw divides them; None: as the search does."""
    return prepare_for_search(
        configuration.source,
        split_seed=configuration.split_seed,
        cache_dir=Path(configuration.cache_dir),
        draw=draw,
        pieces=word_pieces_of(configuration),
    )


def _asked_parameters(trial: FrozenTrial) -> Parameters:
    """Also of a trial that still waits."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))
