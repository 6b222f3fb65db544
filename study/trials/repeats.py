"""A configuration on a repeat: a fresh training seed and a fresh division of the texts for training and validation.

Some repeats rank candidates, others confirm the winner. The weights of a confirming training are kept in the cache
folder, a file each: written whole, and trained again when lost.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch
from optuna.trial import FrozenTrial, Trial
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from data.files import replacing, sha256
from models.learner import Learner
from models.training import EpochResult
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.configuration import StudyConfig
from study.errors import StudyError
from study.search_space import apply_parameters
from study.storage.attributes import REPEAT
from study.trials.artifacts import ArtifactFolder
from study.trials.objective import run_trial
from study.trials.texts import word_pieces_of

# Repeats from this number on confirm; those before it rank, and 10 are enough for 1,000 candidates.
FIRST_CONFIRMING = 10

Weights = dict[str, Tensor]


def save_weights(folder: Path, number: int, weights: Weights) -> None:
    """Those of the trial with this number. Raises `StudyError`."""
    file = _file(folder, number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            save_file(weights, temporary)
    except (OSError, SafetensorError) as error:
        raise StudyError(
            f"The weights {file} cannot be written: {error}. What has finished is kept; when the cause is mended, "
            "start the same command again."
        ) from error


def has_weights(folder: Path, number: int) -> bool:
    """Whether they can be read: a file that was cut short cannot."""
    try:
        with safe_open(_file(folder, number), "pt"):
            return True
    except (OSError, SafetensorError):
        return False


def load_weights(folder: Path, trial: FrozenTrial) -> Weights:
    """Raises `StudyError` where they are gone or damaged."""
    file = _file(folder, trial.number)
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error


def digest_of_weights(folder: Path, trial: FrozenTrial) -> str:
    """A digest of their bits. Raises `StudyError` where they are gone."""
    file = _file(folder, trial.number)
    try:
        return sha256(file)
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> StudyError:
    return StudyError(
        f"The weights {file} cannot be read: {error}. Start the same command again; they are trained again."
    )


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.safetensors"


def run_confirming_trial(
    trial: Trial,
    on_epoch_end: Callable[[EpochResult], None],
    *,
    configuration: StudyConfig,
    device: torch.device,
    checkpoints: Path,
    on_event: Callable[[str], None],
    artifacts: ArtifactFolder | None = None,
) -> float:
    """Train one candidate on one repeat, or finish a pruned trial; otherwise as `run_trial`."""
    repeat = trial.user_attrs.get(REPEAT)  # None: a pruned trial
    keeps_weights = repeat is not None and repeat >= FIRST_CONFIRMING
    return run_trial(
        trial,
        on_epoch_end,
        base=configuration.base if repeat is None else with_repeat(configuration, repeat).base,
        prepared=prepare_repeat(configuration, repeat),
        cache_dir=Path(configuration.cache_dir),
        device=device,
        checkpoints=checkpoints,
        on_event=on_event,
        artifacts=artifacts,
        on_trained=(lambda result: save_weights(checkpoints, trial.number, result.best_weights))
        if keeps_weights
        else None,
    )


def confirmed_learner(configuration: StudyConfig, trial: FrozenTrial, device: torch.device) -> Learner:
    """What has learned in a training of the confirmation."""
    repeat = int(trial.user_attrs[REPEAT])
    settings = apply_parameters(with_repeat(configuration, repeat).base, trial.params)
    return Learner(settings, prepare_repeat(configuration, repeat), Path(configuration.cache_dir), device)


def with_repeat(configuration: StudyConfig, repeat: int) -> StudyConfig:
    """The configuration with the training seed of a repeat, which is none of the search's."""
    training = configuration.base.training
    base = replace(configuration.base, training=replace(training, seed=training.seed + 1 + repeat))
    return replace(configuration, base=base)


@lru_cache(maxsize=1)
def prepare_repeat(configuration: StudyConfig, repeat: int | None) -> PreparedTexts:
    """The texts as a repeat divides them; None: as the search does."""
    return prepare_for_search(
        configuration.source,
        split_seed=configuration.split_seed,
        cache_dir=Path(configuration.cache_dir),
        repeat=repeat,
        pieces=word_pieces_of(configuration),
    )
