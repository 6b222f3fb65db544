"""What trials leave for the dashboard: real training runs on the toy corpus, however they end."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.artifacts import get_all_artifact_meta
from optuna.distributions import FloatDistribution
from optuna.pruners import NopPruner, ThresholdPruner
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from data.source import DataSource, Split, find_source
from models.learners import word_learner
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import EpochResult, TrainingResult, best_epoch
from preprocessing.batches import TextLimits
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study import worker
from study.command_line import ARTIFACT_VARIABLE, run_command
from study.configuration import StudyConfig
from study.figures.confusion_matrix import save_confusion
from study.signals import Interrupted
from study.storage.connection import close_storage, open_storage
from study.storage.dashboard import browse_command
from study.storage.fingerprint import fingerprint
from study.storage.retrying import RetryingStorage
from study.storage.trial_queue import TrialQueue
from study.trials.artifacts import ArtifactFolder
from study.trials.objective import run_trial
from study.workers.loop import RunTrial, run_trials

PICTURES = {"learning-curve.png", "confusion.png"}
ALL = {*PICTURES, "confusion.csv", "log.txt"}
BASE = Settings(LSTMConfig(hidden_size=8), TrainingConfig(epochs=3), TextLimits(max_tokens=20))
GOOD, DIVERGING = (FloatDistribution(low, 2 * low) for low in (1e-2, 1e39))


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[RetryingStorage]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    yield storage
    close_storage(storage)


@pytest.fixture
def study(storage: RetryingStorage) -> Study:
    return optuna.create_study(storage=storage, study_name="toy", direction="maximize", pruner=NopPruner())


@pytest.fixture
def prepared(toy_csv: Path) -> PreparedTexts:
    return prepare_for_search(Split(find_source(str(toy_csv))[0]), cache_dir=toy_csv.parent / "cache")


def objective(prepared: PreparedTexts, folder: Path, told: list[str] | None = None, base: Settings = BASE) -> RunTrial:
    artifacts = ArtifactFolder(folder, print if told is None else told.append)
    paths: dict[str, Any] = {"checkpoints": prepared.entry.folder.parent / "checkpoints", "artifacts": artifacts}
    paths["cache_dir"] = prepared.entry.folder.parent
    return partial(run_trial, base=base, prepared=prepared, device=torch.device("cpu"), on_event=print, **paths)


def search_in(study: Study, storage: RetryingStorage, run: RunTrial, *, rate: Any = GOOD, trials: int) -> None:
    queue = TrialQueue(study, storage, Path("unused"))
    run_trials(queue, {"learning_rate": rate}, run, trials=trials, deadline=float("inf"), on_change=lambda: None)


def files_of(trial: FrozenTrial, storage: Any, folder: Path) -> dict[str, bytes]:
    """The artifacts of a trial by name; no name may occur twice."""
    linked = get_all_artifact_meta(trial, storage=storage)
    files = {one.filename: (folder / one.artifact_id).read_bytes() for one in linked}
    assert len(files) == len(linked)
    return files


def test_every_trial_has_its_files_however_it_ends(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "artifacts"
    run = objective(prepared, folder)
    search_in(study, storage, run, trials=1)
    study.pruner = ThresholdPruner(lower=1.1)
    search_in(study, storage, run, trials=2)
    search_in(study, storage, run, rate=DIVERGING, trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    complete, pruned, failed = (files_of(trial, storage, folder) for trial in study.trials)
    assert complete.keys() == pruned.keys() == ALL
    assert failed.keys() == {"log.txt"}  # no epoch, nothing to draw
    assert len(list(folder.iterdir())) == 9
    for name in PICTURES:
        assert matplotlib.image.imread(io.BytesIO(complete[name])).std() > 0
    table = pd.read_csv(io.BytesIO(complete["confusion.csv"]))
    assert table["texts"].sum() == len(prepared.validation.labels)
    assert table[~table["mistake"]]["texts"].sum() / 18 == pytest.approx(study.trials[0].user_attrs["accuracy"])
    log = complete["log.txt"].decode()
    assert f"learning_rate={study.trials[0].params['learning_rate']:.3g}" in log
    assert [line.split()[0] for line in log.splitlines() if line[:6].strip().isdigit()] == ["1", "2", "3"]
    assert f"Best validation macro-F1: {study.trials[0].value:.4f}" in log
    assert log.endswith("Ended: complete, all 3 epochs.\n")
    assert "Ended: pruned after epoch 1 of 3" in pruned["log.txt"].decode()
    assert "Ended: failed in epoch 1 of 3: TrainingDivergedError: The training loss" in failed["log.txt"].decode()


def test_a_trial_pruned_early_shows_the_part_of_many_validation_texts_that_it_was_judged_by(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word_learner, "EARLY_VALIDATION_TEXTS", 6)
    run = objective(prepared, tmp_path / "artifacts")
    search_in(study, storage, run, trials=1)
    study.pruner = ThresholdPruner(lower=1.1)
    search_in(study, storage, run, trials=2)
    for trial, texts in zip(study.trials, [18, 6], strict=True):
        table = pd.read_csv(io.BytesIO(files_of(trial, storage, tmp_path / "artifacts")["confusion.csv"]))
        assert table["texts"].sum() == texts
        correct = table[~table["mistake"]]["texts"].sum()
        assert correct / texts == pytest.approx(trial.user_attrs["accuracy"])


def test_value_reports_attributes_and_log_are_those_of_the_best_settled_epoch(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [0.5, 0.9, 0.6, 0.8, 0.7]  # the peak comes while the learning rate is high
    labels = torch.tensor(prepared.validation.labels)
    curve = [EpochResult(epoch, 1.0, 1.0, score / 2, score, 1.0, labels) for epoch, score in enumerate(scores)]
    training = TrainingConfig(epochs=5)
    assert training.first_settled_epoch == 3

    def fit(_: object, *, on_epoch_end: Callable[[EpochResult], None], **__: object) -> TrainingResult:
        for result in curve:
            on_epoch_end(result)
        return TrainingResult(tuple(curve), best_epoch(curve, training), {})

    monkeypatch.setattr("models.learners.word_learner.WordLearner.fit", fit)
    run = objective(prepared, tmp_path / "artifacts", base=replace(BASE, training=training))
    search_in(study, storage, run, trials=1)
    trial = study.trials[0]
    assert trial.value == 0.8
    assert trial.intermediate_values == {0: 0.5, 1: 0.9, 2: 0.9, 3: 0.8, 4: 0.8}
    assert (trial.user_attrs["best_epoch"], trial.user_attrs["accuracy"]) == (3, 0.4)
    log = files_of(trial, storage, tmp_path / "artifacts")["log.txt"].decode()
    assert "Best validation macro-F1: 0.8000, after epoch 4, of those from epoch 4 on." in log


def test_a_trial_that_was_killed_before_its_end_was_stored_has_each_file_once_and_whole(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    run = objective(prepared, folder)

    def killed(*arguments: Any) -> float:
        run(*arguments)
        raise Interrupted

    with pytest.raises(Interrupted):
        search_in(study, storage, killed, trials=1)
    assert study.trials[0].state == TrialState.WAITING
    before = files_of(study.trials[0], storage, folder)
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes()[:10])  # as if it had been killed in the middle of each
    search_in(study, storage, run, trials=1)
    after = files_of(study.trials[0], storage, folder)
    assert after.keys() == before.keys() == ALL
    assert len(list(folder.iterdir())) == len(ALL)
    for name in ("confusion.png", "confusion.csv"):  # of the epochs before the kill, bit for bit
        assert after[name] == before[name]


def test_a_folder_that_cannot_be_written_is_reported_once_and_no_trial_fails(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, toy_csv: Path
) -> None:
    told: list[str] = []
    search_in(study, storage, objective(prepared, toy_csv / "artifacts", told), trials=3)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 3
    assert [get_all_artifact_meta(trial, storage=storage) for trial in study.trials] == [[]] * 3
    (line,) = told
    assert "cannot be written (Not a directory)" in line


@pytest.mark.parametrize("classes", [2, 8, 52, 300])
def test_a_confusion_matrix_is_drawn_for_few_and_many_classes_with_any_names(classes: int, tmp_path: Path) -> None:
    kinds = ("money-fx", "外国", "a $x^ b$", "<b>", "long " * 30)
    names = [f"{kinds[number % 5]} {number}" for number in range(classes)]
    labels = np.arange(2 * classes) % (classes - 1)  # one class has no text
    predictions = np.roll(labels, 1)
    save_confusion(tmp_path, labels, predictions, names, epoch=0)
    picture = matplotlib.image.imread(tmp_path / "confusion.png")
    assert 300 < picture.shape[1] < 1400
    assert pd.read_csv(tmp_path / "confusion.csv")["texts"].sum() == len(labels)


def test_the_artifact_folder_is_not_part_of_what_identifies_a_study() -> None:
    new = StudyConfig(DataSource("toy", "00"), "/cache", BASE, artifact_dir="/artifacts")
    assert StudyConfig.from_dict(json.loads(json.dumps(new.to_dict()))) == new
    old = new.to_dict()  # as stored before the field existed
    del old["artifact_dir"]
    assert StudyConfig.from_dict(old) == replace(new, artifact_dir=None)
    assert fingerprint(new, device="cpu") == fingerprint(StudyConfig.from_dict(old), device="cpu")


@pytest.mark.usefixtures("pictures")
def test_a_search_and_its_workers_keep_artifacts_in_the_given_folder(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.searched("--trials", 1)
    assert toy.run("--trials", 2, "--artifact-dir", "elsewhere") == 0  # still the same study
    monkeypatch.setenv(ARTIFACT_VARIABLE, "here")
    assert run_command(worker.app, ["--trials", "3"]) == 0
    study = toy.load()
    for trial, folder in zip(study.trials, ("artifacts", "elsewhere", "here"), strict=True):
        assert files_of(trial, study._storage, toy.folder / folder).keys() == ALL


@pytest.mark.slow
def test_several_workers_report_an_unwritable_folder_once(toy: Any, capfd: pytest.CaptureFixture[str]) -> None:
    assert toy.run("--trials", 4, "--workers", 2, "--artifact-dir", "toy.csv/artifacts") == 0
    assert capfd.readouterr().out.count("cannot be written") == 1
    assert len(toy.load().get_trials(states=(TrialState.FAIL,))) == 0


def test_the_dashboard_command_can_be_pasted_into_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = "sqlite:///my study.db"
    assert browse_command(url, None) == "optuna-dashboard 'sqlite:///my study.db'"
    assert browse_command(url, str(tmp_path / "new files")).endswith("db' --artifact-dir 'new files'")
    assert browse_command(url, "/elsewhere").endswith("--artifact-dir /elsewhere")
