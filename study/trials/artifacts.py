"""Artifacts of a trial for the dashboard: its learning curve, its confusion matrix on validation, a log."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from optuna import TrialPruned
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.trial import Trial

from models.learners.learner import Settings
from models.training.trainer import EpochResult, best_epoch
from preprocessing.batches import stratified_part
from preprocessing.prepared import PreparedTexts
from study.formatting import METRIC_TITLES, format_parameters
from study.storage.trial_queue import describe_failure
from study.trials.texts import describe_training_texts, describe_words


@dataclass(frozen=True)
class TrialRecord:
    """What the artifacts of a trial show."""

    settings: Settings
    prepared: PreparedTexts
    device: torch.device
    curve: tuple[EpochResult, ...]  # empty if the trial failed in its first epoch
    error: Exception | None = None  # what ended the trial: `TrialPruned`, or the reason of its failure

    @property
    def best(self) -> EpochResult:
        return best_epoch(self.curve, self.settings.training, keep_last=self.prepared.is_whole)


class ArtifactFolder:
    """The folder with the artifacts of trials; the dashboard needs the same one as `--artifact-dir`."""

    def __init__(self, folder: Path, on_event: Callable[[str], None]) -> None:
        self._folder = folder
        self._store = FileSystemArtifactStore(folder)
        self._on_event = on_event
        self._has_told = False

    def keep(self, trial: Trial, record: TrialRecord) -> None:
        """Attach the files to a trial whose end is not stored yet; those of an interrupted run are replaced.

        If the folder cannot be written, the trial does not fail: `on_event` is called, once.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as written:
                _write_files(Path(written), trial, record)
                linked = {artifact.filename: artifact.artifact_id for artifact in get_all_artifact_meta(trial)}
                for file in sorted(Path(written).iterdir()):
                    self._link(trial, file, linked.get(file.name))
        except OSError as error:
            if not self._has_told:
                reason = error.strerror or error
                self._on_event(f"{self._folder} cannot be written ({reason}); trials continue without artifacts.")
            self._has_told = True

    def _link(self, trial: Trial, file: Path, artifact_id: str | None) -> None:
        """Attach a file, or rewrite the artifact `artifact_id` of the same name, which may be incomplete."""
        if artifact_id is None:
            upload_artifact(artifact_store=self._store, file_path=str(file), study_or_trial=trial)
            return
        with file.open("rb") as content:
            self._store.write(artifact_id, content)


def _write_files(folder: Path, trial: Trial, record: TrialRecord) -> None:
    (folder / "log.txt").write_text("\n".join([*_log_lines(trial, record), ""]), encoding="utf-8")
    if record.curve:
        write_pictures(folder, record)


def write_pictures(folder: Path, record: TrialRecord) -> None:
    """Draw the learning curve and the confusion matrix."""
    from study.figures.confusion_matrix import save_confusion  # matplotlib is slow to import
    from study.figures.learning_curve import save_learning_curve

    save_learning_curve(folder / "learning-curve.png", record.curve, record.best.epoch)
    predictions = record.best.predictions.numpy()
    labels = stratified_part(record.prepared.validation, len(predictions)).labels
    save_confusion(folder, labels, predictions, record.prepared.classes, epoch=record.best.epoch)


def _log_lines(trial: Trial, record: TrialRecord) -> Iterator[str]:
    prepared, training = record.prepared, record.settings.training
    yield f"Trial {trial.number} of {trial.study.study_name}"
    yield f"Searched    {format_parameters(trial.params)}"
    for name in ("model", "training", "limits"):
        yield f"{name.capitalize():<11} {_settings(asdict(getattr(record.settings, name)))}"
    yield (
        f"Texts       {describe_training_texts(record.settings, prepared)} for training, "
        f"{len(prepared.validation):,} for validation; {len(prepared.classes)} classes; "
        f"{describe_words(record.settings, prepared)}"
    )
    yield f"Computed    torch {version('torch')}, {record.device.type}, threads: {torch.get_num_threads()}"
    yield ""
    yield "epoch  training loss  validation loss  accuracy  macro-F1  seconds"
    for epoch in record.curve:
        yield (
            f"{epoch.epoch + 1:>5}  {epoch.training_loss:>13.4f}  {epoch.validation_loss:>15.4f}  "
            f"{epoch.accuracy:>8.4f}  {epoch.macro_f1:>8.4f}  {epoch.seconds:>7.1f}"
        )
    yield ""
    if record.curve:
        best, settled = record.best, training.first_settled_epoch
        counted = f", of those from epoch {settled + 1} on" if 0 < settled <= best.epoch else ""
        score = f"{METRIC_TITLES[training.metric]}: {best.score(training.metric):.4f}"
        if record.prepared.is_whole:
            yield "The last epoch is kept; the validation texts were trained on, too."
        else:
            yield f"Best validation {score}, after epoch {best.epoch + 1}{counted}."
    yield f"Ended: {_end(record)}"


def _settings(part: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in part.items()
    )


def _end(record: TrialRecord) -> str:
    done, training = len(record.curve), record.settings.training
    asked = training.epochs
    if isinstance(record.error, TrialPruned):
        return f"pruned after epoch {done} of {asked}, its score being below the best quarter of others at this epoch."
    if record.error is not None:
        return f"failed in epoch {done + 1} of {asked}: {describe_failure(record.error)}"
    if done < asked:
        return f"complete after epoch {done} of {asked}, since {training.patience} in a row were no better."
    return f"complete, all {asked} epochs." if asked > 1 else "complete, its one epoch."
