"""The opening of the test split for linear models, which are fitted here and not by a search."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from data.source import find_source
from study.configuration import StudyConfig
from study.confirmation.candidates import Candidate
from study.confirmation.holdout import load_results, open_test_split
from study.confirmation.predictions import HoldoutResults
from study.confirmation.trainings import Confirmed
from study.model_settings import DEFAULTS
from study.storage.attributes import REPEAT, WEIGHTS
from study.storage.connection import close_storage, open_storage
from study.storage.retrying import RetryingStorage
from study.trials.repeats import confirmed_learner, save_weights

CPU = torch.device("cpu")
REPEATS = (10, 11)
NEXT_TOPIC = {"surgeon": "lawyer", "lawyer": "painter", "painter": "surgeon"}


@dataclass
class House:
    """A confirmation, with everything that an opening needs."""

    configuration: StudyConfig
    study: Study
    storage: RetryingStorage
    checkpoints: Path
    compared: list[Confirmed]

    def open(self, search_trials: int = 5) -> tuple[HoldoutResults, list[str]]:
        events: list[str] = []
        results = open_test_split(
            self.study,
            self.storage,
            self.configuration,
            self.compared,
            search_trials=search_trials,
            device=CPU,
            checkpoints=self.checkpoints,
            on_event=events.append,
        )
        return results, events

    def load(self, compared: list[Confirmed] | None = None) -> HoldoutResults | None:
        return load_results(self.study, compared or self.compared, checkpoints=self.checkpoints)

    def train(self, number: int, repeat: int, **parameters: float) -> FrozenTrial:
        space = self.configuration.search_space
        trial = create_trial(params=parameters, distributions=space, value=0.0, user_attrs={REPEAT: repeat})
        trial.number = number
        result = confirmed_learner(self.configuration, trial, CPU).fit()
        trial.value = result.best.macro_f1
        trial.user_attrs[WEIGHTS] = save_weights(self.checkpoints, number, result.best_weights)
        return trial

    def confirmed(self, first: int, *, is_default: bool, **parameters: float) -> Confirmed:
        trials = tuple(self.train(first + place, repeat, **parameters) for place, repeat in enumerate(REPEATS))
        return Confirmed(Candidate(trials[0].params, None, is_default=is_default), trials)


@pytest.fixture
def toy_csv(toy_frame: pd.DataFrame, tmp_path: Path) -> Path:
    """The toy corpus with a rare class and a fifth of wrong labels: a baseline of another repeat scores otherwise."""
    frame = toy_frame.copy()
    frame.loc[::5, "Category"] = frame["Category"].map(NEXT_TOPIC)
    frame.loc[len(frame)] = ("pilot", "plane airport number 180")  # in training only: the test split lacks this class
    frame.to_csv(tmp_path / "toy.csv", index=False)
    return tmp_path / "toy.csv"


@pytest.fixture
def house(marked_csv: Path, tmp_path: Path) -> Iterator[House]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage, study_name="toy/confirmation", direction="maximize")
    source, _ = find_source(str(marked_csv))
    configuration = StudyConfig(source, str(tmp_path / "cache"), DEFAULTS["linear"])
    house = House(configuration, study, storage, tmp_path / "checkpoints", [])
    house.compared = [
        house.confirmed(0, is_default=False, C=0.3, max_ngram=1),
        house.confirmed(2, is_default=True, C=1.0, max_ngram=1),
    ]
    yield house
    close_storage(storage)
