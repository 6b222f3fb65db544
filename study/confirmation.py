"""Fresh seeds for the configurations that a search found best, since each of them was picked for being lucky on one.

A study of its own beside the search, in the same database: its queued trials hold a configuration and a draw, which
stands for a fresh training seed and a fresh division of the texts between training and validation. The same workers run
them, with the same resume. The weights of each are kept in the cache folder.
"""

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from safetensors import SafetensorError
from safetensors.torch import save_file

from models.training import EpochResult, TrainingResult
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.artifacts import ArtifactFolder
from study.configuration import StudyConfiguration
from study.errors import StudyError
from study.objective import run_trial
from study.search_space import default_parameters

SUFFIX = "/confirmation"  # of the search's name
CONFIRMS = "confirms"  # the study attribute that names the search
DRAW = "draw"  # the trial attribute: which fresh seed and division of the texts

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A configuration that is trained again, and what the search has claimed of it."""

    parameters: Parameters
    trial: FrozenTrial | None  # of the search; None when the default configuration was not tried to its end
    is_default: bool


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
    def optimism(self) -> float | None:
        """How much the search has claimed beyond what fresh draws give."""
        claimed = self.candidate.trial
        return None if claimed is None or claimed.value is None else claimed.value - self.mean

    @property
    def _scores(self) -> list[float]:
        return [trial.value or 0.0 for trial in self.trials]


def find_candidates(study: Study, configuration: StudyConfiguration, *, top: int) -> list[Candidate]:
    """The best `top` configurations of a search and, where it is not among them, the default one.

    Raises `StudyError` when no trial is complete.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        raise StudyError(f"Study '{study.study_name}' has no complete trial yet; go on with study.run first.")
    default = default_parameters(configuration.search_space, configuration.base)
    best_first = sorted(complete, key=lambda trial: (-(trial.value or 0.0), trial.number))
    distinct = {tuple(sorted(trial.params.items())): trial for trial in reversed(best_first)}
    chosen = sorted(distinct.values(), key=lambda trial: (-(trial.value or 0.0), trial.number))[:top]
    candidates = [Candidate(trial.params, trial, trial.params == default) for trial in chosen]
    if not any(candidate.is_default for candidate in candidates):
        tried = next((trial for trial in best_first if trial.params == default), None)
        candidates.append(Candidate(default, tried, is_default=True))
    return candidates


def enqueue(study: Study, candidates: list[Candidate], *, draws: int, checkpoints: Path) -> int:
    """Queue what the confirmation does not have yet, or has lost the weights of; returns how many trials it has then.

    To be called by one process at a time.
    """
    there = [
        (_asked_parameters(trial), trial.user_attrs[DRAW])
        for trial in study.get_trials(deepcopy=False)
        if trial.state != TrialState.COMPLETE or weights_file(checkpoints, trial.number).exists()
    ]
    for draw in range(draws):
        for candidate in candidates:
            if (candidate.parameters, draw) not in there:
                study.enqueue_trial(candidate.parameters, user_attrs={DRAW: draw})
    return len(study.get_trials(deepcopy=False))


def confirmed(study: Study, candidates: list[Candidate], *, draws: int) -> list[Confirmed]:
    """The candidates by their mean score on fresh draws, the best first; those that failed on one are left out."""
    complete = {
        (tuple(sorted(trial.params.items())), trial.user_attrs[DRAW]): trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    }
    found = []
    for candidate in candidates:
        keys = [(tuple(sorted(candidate.parameters.items())), draw) for draw in range(draws)]
        if all(key in complete for key in keys):
            found.append(Confirmed(candidate, tuple(complete[key] for key in keys)))
    return sorted(found, key=lambda one: -one.mean)


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
    """Train one candidate on one draw and keep its weights; otherwise as `run_trial`."""
    draw = int(trial.user_attrs[DRAW])
    return run_trial(
        trial,
        on_epoch_end,
        base=with_draw(configuration, draw).base,
        prepared=prepare_draw(configuration, draw),
        device=device,
        checkpoints=checkpoints,
        on_event=on_event,
        artifacts=artifacts,
        on_trained=partial(_save_weights, weights_file(checkpoints, trial.number)),
    )


def with_draw(configuration: StudyConfiguration, draw: int) -> StudyConfiguration:
    """The configuration with the training seed of a draw, which is none of the search's."""
    training = configuration.base.training
    base = replace(configuration.base, training=replace(training, seed=training.seed + 1 + draw))
    return replace(configuration, base=base)


def weights_file(checkpoints: Path, number: int) -> Path:
    return checkpoints / f"{number}.safetensors"


@lru_cache(maxsize=1)
def prepare_draw(configuration: StudyConfiguration, draw: int) -> PreparedTexts:
    """The texts as a draw divides them."""
    return prepare_for_search(
        configuration.source, split_seed=configuration.split_seed, cache_dir=Path(configuration.cache_dir), draw=draw
    )


def _save_weights(file: Path, result: TrainingResult) -> None:
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(result.best_weights, temporary)
        temporary.replace(file)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise StudyError(
            f"The weights {file} cannot be written: {error}. What has finished is kept; when the cause is mended, "
            "start the same command again."
        ) from error


def _asked_parameters(trial: FrozenTrial) -> Parameters:
    """Also of a trial that still waits."""
    return dict(trial.system_attrs.get("fixed_params", trial.params))
