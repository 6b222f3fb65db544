"""The weights of confirmed trials, a file each in the cache folder: written whole, and trained again when lost."""

import hashlib
import os
from pathlib import Path

from optuna.trial import FrozenTrial
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from study.errors import StudyError

Weights = dict[str, Tensor]


def save_weights(folder: Path, number: int, weights: Weights) -> None:
    """Those of the trial with this number. Raises `StudyError`."""
    file = _file(folder, number)
    temporary = file.with_name(f"{file.name}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(file)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
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
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> StudyError:
    return StudyError(
        f"The weights {file} cannot be read: {error}. Start the same command again; they are trained again."
    )


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number}.safetensors"
