"""A confirmation made by hand, without any training."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from data.source import DataSource
from study.configuration import StudyConfig
from study.confirmation.candidates import Candidate, Ranked
from study.confirmation.confirm import Confirmation
from study.confirmation.pruning_audit import Audit
from study.confirmation.trainings import Confirmed, Extent, LeftOut
from study.model_settings import DEFAULTS
from study.storage.attributes import FINGERPRINT
from study.storage.connection import close_storage, open_storage
from study.storage.fingerprint import fingerprint

CONFIGURATION = StudyConfig(DataSource("r8", "00", "/r8.csv"), "/cache", DEFAULTS["lstm"])


def trial_of(number: int, value: float, seconds: float = 0.0) -> FrozenTrial:
    trial = create_trial(value=value, user_attrs={"seconds": seconds})
    trial.number = number
    return trial


def ranked(size: int, *, is_default: bool = False) -> Ranked:
    return Ranked(Candidate({"hidden_size": size}, trial_of(size, 0.8), is_default=is_default))


WINNING = Confirmed(ranked(99).candidate, (trial_of(7, 0.5, 2.0), trial_of(8, 0.7, 4.0)))


@pytest.fixture
def confirmation(tmp_path: Path) -> Iterator[Confirmation]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(f"sqlite:///{tmp_path / 'study.db'}")
    search, study = (
        optuna.create_study(storage=storage, study_name=name, direction="maximize")
        for name in ("toy", "toy/confirmation")
    )
    search.set_user_attr(FINGERPRINT, fingerprint(CONFIGURATION, device="cpu"))
    for state, value in ((TrialState.COMPLETE, 0.5), (TrialState.PRUNED, None), (TrialState.WAITING, None)):
        search.add_trial(create_trial(state=state, value=value))
    yield Confirmation(
        search,
        study,
        storage,
        CONFIGURATION,
        ranking=(ranked(99), ranked(20), ranked(64, is_default=True)),
        winner=WINNING,
        default=replace(WINNING, candidate=ranked(64, is_default=True).candidate),
        left_out=(LeftOut(ranked(30).candidate, "it failed"),),
        extent=Extent(seeds=2),
        audit=Audit((), pruned=1, top=4, bar=0.5),
        refit=False,
        checkpoints=tmp_path,
        device=torch.device("cpu"),
    )
    close_storage(storage)
