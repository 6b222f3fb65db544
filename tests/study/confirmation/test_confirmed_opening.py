"""A confirmation opens the test split: once, whatever interrupts it, and every opening is counted."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from preprocessing.cache import CacheEntry, open_or_build
from preprocessing.prepared import PreparedTexts
from study.configuration import StudyConfig
from study.confirmation.confirm import Confirmation, confirmed_search
from study.confirmation.holdout import load_results, open_test_split
from study.confirmation.openings import openings
from study.confirmation.predictions import HoldoutResults
from study.errors import StudyError
from study.trials.repeats import FIRST_CONFIRMING, _prepare, prepare_repeat

URL = "sqlite:///study.db"
Confirming = Callable[..., AbstractContextManager[Confirmation]]


def open_once(found: Confirmation) -> HoldoutResults:
    stored = load_results(found.study, found.compared, checkpoints=found.checkpoints)
    return stored or open_test_split(
        found.study,
        found.storage,
        found.configuration,
        found.compared,
        search_trials=len(found.search.trials),
        device=found.device,
        checkpoints=found.checkpoints,
        on_event=lambda _: None,
    )


def test_the_test_split_is_opened_once_and_the_opening_is_counted(toy: Any, confirming: Confirming) -> None:
    toy.searched("--trials", 5)
    for _ in range(2):
        with confirming(top=2, seeds=2) as found:
            results = open_once(found)
            stamps = openings(found.storage, found.configuration)
        assert len(stamps) == 1
        assert stamps[0].search_trials == 5
        assert results.labels.shape == (18,)
        assert results.systems[0].name == "winner"
        assert {system.predictions.shape for system in results.systems if system.name != "ensemble"} == {(2, 18)}
        assert {"majority"} <= {system.name for system in results.systems}
    assert toy.run("--trials", 3, "--seed", 1, "--name", "other") == 0
    with confirmed_search(URL, "other", top=1, seeds=1, workers=1, console=Console(file=StringIO())) as found:
        open_once(found)
        assert [stamp.study for stamp in openings(found.storage, found.configuration)] == [
            "toy-lstm/confirmation",
            "other/confirmation",
        ]


def test_opening_the_test_split_opens_the_texts_of_each_repeat_once(
    toy: Any, monkeypatch: pytest.MonkeyPatch, confirming: Confirming
) -> None:
    opened: list[str] = []

    def count(cache_dir: Path, name: str, key: dict[str, Any], *rest: Any, **options: Any) -> CacheEntry:
        opened.append(str(key))
        return open_or_build(cache_dir, name, key, *rest, **options)

    toy.searched("--trials", 1, "--epochs", 1)
    toy.load().enqueue_trial({"hidden_size": 128, "learning_rate": 0.02})  # better than the default configuration
    assert toy.run("--trials", 2, "--epochs", 1) == 0
    with confirming(top=1, seeds=2) as found:
        _prepare.cache_clear()
        monkeypatch.setattr("preprocessing.prepared.open_or_build", count)
        open_once(found)
    assert len(found.compared) == 2
    assert len(opened) == len(set(opened)) == 4  # the training and validation texts, and the test texts, of two repeats


def test_repeats_that_number_classes_differently_are_refused(
    toy: Any, monkeypatch: pytest.MonkeyPatch, confirming: Confirming
) -> None:
    def prepare(configuration: StudyConfig, repeat: int) -> PreparedTexts:
        prepared = prepare_repeat(configuration, repeat)
        return replace(prepared, classes=prepared.classes[::-1]) if repeat == FIRST_CONFIRMING + 1 else prepared

    assert toy.run("--trials", 1) == 0
    with confirming(top=1, seeds=2) as found:
        monkeypatch.setattr("study.trials.repeats.prepare_repeat", prepare)
        with pytest.raises(StudyError, match=r"classes .* do not have the same numbers .* --clear --checkpoints"):
            open_once(found)


def test_an_opening_that_is_interrupted_before_anything_was_seen_is_continued(
    toy: Any, monkeypatch: pytest.MonkeyPatch, confirming: Confirming
) -> None:
    def interrupt(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    assert toy.run("--trials", 1) == 0
    with confirming(top=1, seeds=1) as found:
        with monkeypatch.context() as patch:
            patch.setattr("study.confirmation.tested_baselines.fit_baselines", interrupt)
            with pytest.raises(KeyboardInterrupt):
                open_once(found)
        assert len(openings(found.storage, found.configuration)) == 1
        open_once(found)
        assert len(openings(found.storage, found.configuration)) == 1


@pytest.mark.slow
def test_predictions_for_another_number_of_seeds_are_kept(toy: Any, confirming: Confirming) -> None:
    toy.searched("--trials", 3)
    for seeds, times in ((1, 1), (2, 2), (1, 2), (2, 2)):
        with confirming(top=1, seeds=seeds) as found:
            assert open_once(found).systems[0].predictions.shape == (seeds, 18)
            assert len(openings(found.storage, found.configuration)) == times
