"""Trains a configuration on a repeat: a fresh training seed and a fresh split into training and validation texts.

Some repeats rank candidates, others confirm the winner. From `FIRST_REFIT` on, they are refits: on all texts but the
test's. The weights of each confirming training and refit are kept in a file in the cache folder, and trained again when
lost.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from optuna.trial import FrozenTrial, Trial
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save_file
from torch import Tensor

from data.files import replacing, sha256
from models.learners.learner import Learner
from models.registry import make_learner
from models.training.calibration import best_temperature
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.configuration import FIRST_REFIT, StudyConfig
from study.errors import StudyError
from study.search_space import apply_parameters
from study.storage.attributes import REPEAT, WEIGHTS
from study.trials.artifacts import ArtifactFolder
from study.trials.objective import run_trial
from study.trials.texts import word_pieces_of

# Repeats from this number on confirm, those before it rank; 10 are enough for 1,000 candidates.
FIRST_CONFIRMING = 10

Weights = dict[str, Tensor]


def save_weights(folder: Path, number: int, weights: Weights) -> str:
    """Keep the weights of the trial with this number; returns the SHA-256 of their file. Raises `StudyError`."""
    file = _file(folder, number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            save_file(weights, temporary)
            return sha256(temporary)
    except (OSError, SafetensorError) as error:
        raise StudyError(
            f"The weights {file} cannot be written: {error}. What has finished is kept; when the cause is fixed, "
            "start the same command again."
        ) from error


def has_weights(folder: Path, trial: FrozenTrial) -> bool:
    """Whether the trial's weights are there, complete and its own: copies of a database share a folder."""
    try:
        digest_of_weights(folder, trial)
        with safe_open(_file(folder, trial.number), "pt"):
            return True
    except (StudyError, OSError, SafetensorError):
        return False


def load_weights(folder: Path, trial: FrozenTrial) -> Weights:
    """Read a trial's weights. Raises `StudyError` if they are missing, damaged, or another trial's."""
    file = _file(folder, trial.number)
    try:
        content = file.read_bytes()
        weights = load(content)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error
    _check_owner(file, trial, hashlib.sha256(content).hexdigest())
    return weights


def digest_of_weights(folder: Path, trial: FrozenTrial) -> str:
    """The SHA-256 of a trial's weights. Raises `StudyError` if their file is missing or another trial's."""
    file = _file(folder, trial.number)
    try:
        status = file.stat()
        digest = _digest(file, (status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise _unreadable(file, error) from error
    _check_owner(file, trial, digest)
    return digest


@lru_cache(maxsize=1024)
def _digest(file: Path, _stamp: tuple[int, int, int]) -> str:
    """The SHA-256 of a file, cached until the file changes, since every step of a report needs it."""
    return sha256(file)


def _check_owner(file: Path, trial: FrozenTrial, digest: str) -> None:
    """Raises `StudyError` for another trial's weights; trials of earlier versions have no digest to check."""
    if digest != trial.user_attrs.get(WEIGHTS, digest):
        raise _unreadable(file, "they are another training's")


def _unreadable(file: Path, reason: object) -> StudyError:
    return StudyError(
        f"The weights {file} cannot be read: {reason}. Start the same command again; they are trained again."
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
    """Train a candidate on a repeat, or finish a pruned trial; otherwise like `run_trial`."""
    repeat = trial.user_attrs.get(REPEAT)  # None: a pruned trial
    keeps_weights = repeat is not None and repeat >= FIRST_CONFIRMING

    def keep(result: TrainingResult) -> None:
        trial.set_user_attr(WEIGHTS, save_weights(checkpoints, trial.number, result.best_weights))

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
        on_trained=keep if keeps_weights else None,
    )


def confirmed_learner(configuration: StudyConfig, trial: FrozenTrial, device: torch.device) -> Learner:
    """The learner of a training of the confirmation."""
    repeat = int(trial.user_attrs[REPEAT])
    settings = apply_parameters(with_repeat(configuration, repeat).base, trial.params)
    return make_learner(settings, prepare_repeat(configuration, repeat), Path(configuration.cache_dir), device)


def temperature_of(learner: Learner, logits: Tensor) -> float:
    """The temperature that calibrates a training, whose logits of its own validation texts are given."""
    return best_temperature(logits, torch.from_numpy(learner.prepared.validation.labels.astype(np.int64)))


def with_repeat(configuration: StudyConfig, repeat: int) -> StudyConfig:
    """The configuration with the training seed of a repeat, which differs from the search's."""
    training = configuration.base.training
    base = replace(configuration.base, training=replace(training, seed=training.seed + 1 + repeat))
    return replace(configuration, base=base)


def prepare_repeat(configuration: StudyConfig, repeat: int | None, *, in_words: bool = False) -> PreparedTexts:
    """The texts in the split of a repeat (None: that of the search), encoded for the study's model, or in words."""
    if repeat is not None:
        repeat = min(repeat, FIRST_REFIT)  # all refits have the same texts
    question = configuration, repeat, in_words or configuration.base.pretrained is None
    if not _prepare(*question).entry.folder.is_dir():  # the cache was cleared meanwhile
        _prepare.cache_clear()
    return _prepare(*question)


@lru_cache(maxsize=8)  # memory maps: a process reads the checksums of each once
def _prepare(configuration: StudyConfig, repeat: int | None, in_words: bool) -> PreparedTexts:
    pieces = None if in_words else word_pieces_of(configuration)
    return prepare_for_search(configuration.split(repeat), cache_dir=Path(configuration.cache_dir), pieces=pieces)
