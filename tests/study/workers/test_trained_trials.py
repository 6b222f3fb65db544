"""Trials that are trained: what they store, when they are pruned, and how interrupted ones continue."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna import Study
from optuna.distributions import FloatDistribution
from optuna.pruners import ThresholdPruner
from optuna.trial import Trial, TrialState

from data.source import Split, find_source
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from models.training.trainer import EpochResult, TrainingResult
from preprocessing.batches import TextLimits
from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.signals import Interrupted
from study.storage.retrying import RetryingStorage
from study.trials.objective import CURVES, checkpoint_file, run_trial
from study.workers.loop import RunTrial

SPACE = {"learning_rate": FloatDistribution(1e-3, 1e-2)}
SearchIn = Callable[..., None]


def objective(base: Settings, prepared: PreparedTexts) -> RunTrial:
    folder = prepared.entry.folder.parent
    paths = {"cache_dir": folder, "checkpoints": folder / "checkpoints"}
    return partial(run_trial, base=base, prepared=prepared, device=torch.device("cpu"), on_event=print, **paths)


@pytest.fixture
def prepared(toy_csv: Path, tmp_path: Path) -> PreparedTexts:
    return prepare_for_search(Split(find_source(str(toy_csv))[0]), cache_dir=tmp_path / "cache")


def test_a_trial_whose_loss_is_nan_fails_with_a_reason_and_the_study_continues(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, search_in: SearchIn
) -> None:
    base = Settings(LSTMConfig(), TrainingConfig(epochs=2), TextLimits())
    run = objective(base, prepared)
    diverging = {"learning_rate": FloatDistribution(1e39, 1e40)}
    search_in(study, storage, diverging, run, trials=1)
    search_in(study, storage, SPACE, run, trials=2)
    failed, complete = study.trials
    assert failed.state == TrialState.FAIL
    assert failed.user_attrs["failure"].startswith("TrainingDivergedError: The training loss is ")
    assert complete.state == TrialState.COMPLETE


def test_a_trial_stores_what_its_training_reports(study: Study, prepared: PreparedTexts) -> None:
    torch.set_num_threads(2)  # so that the training shows that it takes one
    run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=2, seed=7), TextLimits()), prepared)
    trial = study.ask(SPACE)
    heard: list[EpochResult] = []
    trained: list[TrainingResult] = []
    value = run(trial, heard.append, on_trained=trained.append)
    (result,) = trained
    assert heard == list(result.curve)
    assert value == result.best.macro_f1
    told = {**trial.user_attrs}
    assert told.pop("seconds") == pytest.approx(sum(epoch.seconds for epoch in heard), abs=0.006)
    assert told == {
        "training_seed": 7,
        "accuracy": result.best.accuracy,
        "macro_f1": result.best.macro_f1,
        "best_epoch": result.best.epoch,
        "epochs": 2,
        "threads": 1,
        "curve": {name: [round(getattr(epoch, name), 6) for epoch in heard] for name in CURVES},
    }


def test_a_trial_is_not_pruned_after_its_last_epoch(
    study: Study, storage: RetryingStorage, prepared: PreparedTexts, search_in: SearchIn
) -> None:
    study.pruner = ThresholdPruner(lower=1.1, n_warmup_steps=1)  # prunes everything from the second epoch on
    for epochs in (2, 3):
        run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=epochs), TextLimits()), prepared)
        search_in(study, storage, SPACE, run, trials=len(study.trials) + 1)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert study.trials[1].user_attrs["epochs"] == 2


@pytest.fixture
def interrupted(study: Study, prepared: PreparedTexts) -> tuple[RunTrial, Trial, list[EpochResult]]:
    """An objective of three epochs, a trial that was interrupted after the second one, and what it has reported."""
    run = objective(Settings(LSTMConfig(), TrainingConfig(epochs=3), TextLimits()), prepared)
    trial = study.ask(SPACE)
    heard: list[EpochResult] = []

    def interrupt(result: EpochResult) -> None:
        heard.append(result)
        if result.epoch == 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        run(trial, interrupt)
    return run, trial, heard


def test_an_interrupted_trial_continues_from_its_checkpoint(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]],
) -> None:
    run, trial, before = interrupted
    told: list[str] = []
    heard: list[EpochResult] = []
    run(trial, heard.append, on_event=told.append)
    assert told == []
    assert [result.epoch for result in heard] == [0, 1, 2]
    assert heard[0] == before[0]  # even the time that it took: it was not trained again


def test_a_trial_whose_checkpoint_is_gone_starts_over_and_says_so(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], prepared: PreparedTexts
) -> None:
    run, trial, _ = interrupted
    checkpoint_file(prepared.entry.folder.parent / "checkpoints", trial.number).unlink()
    told: list[str] = []
    heard: list[EpochResult] = []
    run(trial, heard.append, on_event=told.append)
    assert told == ["There is no checkpoint of trial 0 here; it starts over."]
    assert [result.epoch for result in heard] == [0, 1, 2]


def test_a_checkpoint_of_other_parameters_is_not_used(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], storage: RetryingStorage
) -> None:
    run, *_ = interrupted
    other = optuna.create_study(storage=storage, study_name="other", direction="maximize")
    told: list[str] = []
    run(other.ask({"learning_rate": FloatDistribution(2e-2, 3e-2)}), lambda _: None, on_event=told.append)
    (line,) = told
    assert "0.pt is not used (it is of another training or version)" in line


def test_a_checkpoint_of_another_precision_is_not_used(
    interrupted: tuple[RunTrial, Trial, list[EpochResult]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trial, _ = interrupted
    monkeypatch.setattr("study.trials.objective.compute_type", lambda *_: torch.float16)  # as on another machine
    told: list[str] = []
    run(trial, lambda _: None, on_event=told.append)
    (line,) = told
    assert "0.pt is not used (it is of another training or version)" in line


@pytest.mark.parametrize("moment", ["after the report", "before the end is told"])
def test_a_trial_interrupted_while_it_is_pruned_is_pruned_at_the_same_epoch(
    moment: str, storage: RetryingStorage, prepared: PreparedTexts, monkeypatch: pytest.MonkeyPatch, search_in: SearchIn
) -> None:
    base = Settings(LSTMConfig(), TrainingConfig(epochs=6, patience=6), TextLimits())
    run = objective(base, prepared)

    def two_trials(name: str) -> Study:
        """A study with two trials, of which the second one learns too slowly and is pruned."""
        pruner = optuna.pruners.MedianPruner(n_startup_trials=1, n_warmup_steps=2)
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize", pruner=pruner)
        for rate in (1e-2, 1e-6):
            study.enqueue_trial({"learning_rate": rate})
        return study

    space = {"learning_rate": FloatDistribution(1e-6, 1e-2)}
    whole = two_trials("whole")
    search_in(whole, storage, space, run, trials=2)
    assert whole.trials[1].state == TrialState.PRUNED

    parts = two_trials("parts")
    owner, method = (Trial, "should_prune") if moment == "after the report" else (Study, "tell")
    monkeypatch.setattr(owner, method, interrupt_in_the_second_trial(getattr(owner, method)))
    with pytest.raises(Interrupted):
        search_in(parts, storage, space, run, trials=2)
    monkeypatch.undo()
    assert [trial.state for trial in parts.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    assert parts.trials[1].intermediate_values
    search_in(parts, storage, space, run, trials=2)
    assert parts.trials[1].state == TrialState.PRUNED
    assert parts.trials[1].intermediate_values == whole.trials[1].intermediate_values
    assert parts.trials[1].user_attrs["curve"] == whole.trials[1].user_attrs["curve"]


def interrupt_in_the_second_trial(original: Callable[..., Any]) -> Callable[..., Any]:
    """Interrupt a method of a trial, or one that gets a trial, at a moment when the trial would be pruned."""

    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        trial = self if isinstance(self, Trial) else arguments[0]
        if trial.number == 1 and len(trial.study.trials[1].intermediate_values) == 3:
            raise Interrupted
        return original(self, *arguments, **options)

    return method
