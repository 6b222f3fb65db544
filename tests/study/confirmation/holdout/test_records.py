"""What is stored of an opening of the test split: the results, for these weights, and that it was opened."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import optuna

from data.source import DataSource
from study.configuration import StudyConfig
from study.confirmation.openings import Opening, openings, split_hash
from study.model_settings import DEFAULTS
from study.storage.attributes import OPENINGS, REPEAT


def test_results_are_stored_for_these_systems_and_weights(house: Any) -> None:
    assert house.load() is None
    results, _ = house.open()
    loaded = house.load()
    assert loaded is not None
    assert loaded.classes == results.classes
    assert loaded.labels.tolist() == results.labels.tolist()
    for system, other in zip(loaded.systems, results.systems, strict=True):
        np.testing.assert_equal(asdict(system), asdict(other))
    assert house.load(house.compared[::-1]) is None
    assert house.load(house.compared[:1]) is None
    winner, default = house.compared
    other = replace(winner, candidate=replace(winner.candidate, parameters={"C": 0.4, "max_ngram": 1}))
    assert house.load([other, default]) is None
    again = replace(winner, trials=(house.train(7, 10, C=0.3, max_ngram=1), winner.trials[1]))
    assert house.load([again, default]) is not None  # trained again to the same bits
    again = replace(winner, trials=(house.train(8, 10, C=0.31, max_ngram=1), winner.trials[1]))
    assert house.load([again, default]) is None
    trial = house.train(7, 10, C=0.3, max_ngram=1)
    trial.user_attrs[REPEAT] = 12
    assert house.load([replace(winner, trials=(trial, winner.trials[1])), default]) is None


def test_every_opening_is_recorded_and_the_same_one_only_once(house: Any) -> None:
    house.open(search_trials=5)
    (opening,) = openings(house.storage, house.configuration)
    assert opening.test_split == split_hash(house.configuration)
    assert (opening.study, opening.search_trials) == ("toy/confirmation", 5)
    moment = datetime.fromisoformat(opening.moment)
    assert moment.utcoffset() == timedelta(0)
    assert moment.microsecond == 0
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)
    house.open(search_trials=6)
    assert openings(house.storage, house.configuration) == [opening]
    house.compared = house.compared[:1]
    house.open(search_trials=7)
    assert [one.search_trials for one in openings(house.storage, house.configuration)] == [5, 7]


def test_openings_by_all_studies_are_counted_the_earliest_first(house: Any) -> None:
    split = split_hash(house.configuration)
    later = Opening(split, "later", "2026-01-03T00:00:00+00:00", 1)
    earlier = Opening(split, "earlier", "2026-01-02T00:00:00+00:00", 1)
    elsewhere = Opening("of other texts", "earlier", "2026-01-01T00:00:00+00:00", 1)
    for name, stamps in (("a", [later]), ("b", [elsewhere, earlier])):
        study = optuna.create_study(storage=house.storage, study_name=name)
        study.set_user_attr(OPENINGS, [vars(stamp) for stamp in stamps])
    assert openings(house.storage, house.configuration) == [earlier, later]


def test_a_test_split_is_identified_by_its_texts() -> None:
    def split(*, seed: int = 0, **changes: str | None) -> str:
        source = replace(DataSource("toy", "00", "/toy.csv"), **changes)  # type: ignore[arg-type]
        return split_hash(StudyConfig(source, "/cache", DEFAULTS["linear"], split_seed=seed))

    assert split() == split(name="renamed") == split(path="/elsewhere.csv")
    others = {split(seed=1), split(sha256="01"), split(label_column="job"), split(text_column="bio"), split(path=None)}
    assert len(others - {split()}) == 5
    assert split(path=None) == split(path=None, seed=1)  # the published split of a standard corpus
