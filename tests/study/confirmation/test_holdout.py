"""The opening of the test split for linear models, which are fitted here and not by a search."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial
from sklearn.metrics import log_loss

from data.source import DataSource, Split, find_source, load_test_texts
from models.baselines import Fit, fit_baselines
from models.learners.learner import Learner
from models.training.calibration import best_temperature
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import prepare_test
from preprocessing.pretrained import PretrainedEncoder, find_encoder
from study.configuration import StudyConfig
from study.confirmation.candidates import Candidate
from study.confirmation.holdout import load_results, open_test_split
from study.confirmation.openings import Opening, openings, split_hash
from study.confirmation.predictions import HoldoutResults
from study.confirmation.trainings import Confirmed
from study.errors import StudyError
from study.model_settings import DEFAULTS, choose_settings
from study.storage.attributes import OPENINGS, REPEAT, WEIGHTS
from study.storage.connection import close_storage, open_storage
from study.storage.retrying import RetryingStorage
from study.trials.repeats import confirmed_learner, load_weights, prepare_repeat, save_weights

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


def assert_predictions(house: House, results: HoldoutResults) -> None:
    """Those of the compared systems are what their exported models say about the raw test texts."""
    texts = load_test_texts(house.configuration.split(), cache_dir=Path(house.configuration.cache_dir)).texts
    for system, confirmed in zip(results.systems, house.compared, strict=False):
        for row, trial in zip(system.predictions, confirmed.trials, strict=True):
            learner = confirmed_learner(house.configuration, trial, CPU)
            labels = learner.restore(load_weights(house.checkpoints, trial), {}).predict(texts).labels.tolist()
            assert [results.classes[number] for number in row] == labels


def test_each_system_predicts_the_test_texts_once_per_repeat(house: House) -> None:
    results, _ = house.open()
    texts = load_test_texts(house.configuration.split(), cache_dir=Path(house.configuration.cache_dir))
    assert [results.classes[number] for number in results.labels] == texts.labels.to_pylist()
    assert [(system.name, system.title) for system in results.systems[:2]] == [
        ("winner", "the winner"),
        ("default", "the default configuration"),
    ]
    for system, confirmed in zip(results.systems, house.compared, strict=False):
        assert system.parameters == confirmed.candidate.parameters
        assert list(system.validation) == confirmed.values
    assert_predictions(house, results)
    first = house.compared[0].trials[0]
    learner = confirmed_learner(house.configuration, first, CPU)
    assert results.systems[0].weights == learner.count_weights(load_weights(house.checkpoints, first))


def test_probabilities_are_calibrated_on_validation_texts(house: House) -> None:
    results, _ = house.open()
    for system, confirmed in zip(results.systems, house.compared, strict=False):
        assert system.probabilities is not None
        for row, trial in enumerate(confirmed.trials):
            learner = confirmed_learner(house.configuration, trial, CPU)
            weights, validation = load_weights(house.checkpoints, trial), learner.prepared.validation
            known = torch.from_numpy(validation.labels.astype(np.int64))
            temperature = best_temperature(learner.logits(weights, validation), known)
            assert system.probabilities.temperatures[row] == temperature
            split = house.configuration.split(trial.user_attrs[REPEAT])
            test = prepare_test(split, learner.prepared, cache_dir=Path(house.configuration.cache_dir))
            shares = (learner.logits(weights, test).double() / temperature).softmax(dim=1).numpy()
            assert system.probabilities.confidences[row] == pytest.approx(shares.max(axis=1), abs=0.5e-4)
            steps = system.probabilities.confidences[row] * 10_000
            assert steps == pytest.approx(np.rint(steps), abs=1e-6)  # rounded, as they are stored
            expected = log_loss(results.labels, shares, labels=range(4))
            assert system.probabilities.log_losses[row] == pytest.approx(expected)


@pytest.mark.parametrize("most", [None, 60])
def test_baselines_are_tuned_on_the_first_repeat_and_fitted_on_each(
    house: House, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[Fit] = []
    monkeypatch.setattr("study.confirmation.holdout.fit_baselines", partial(fit_baselines, on_fit=fits.append))
    limits = replace(house.configuration.base.limits, max_training_texts=most)
    house.configuration = replace(house.configuration, base=replace(house.configuration.base, limits=limits))
    results, events = house.open()
    baselines = results.systems[2:]
    assert [system.name for system in baselines] == ["majority", "logistic_regression", "linear_svm"]
    assert events == ["Baselines on repeat 1 of 2.", "Baselines on repeat 2 of 2."]
    firsts = [number for number, fit in enumerate(fits) if fit.number == 1]
    assert len(firsts) == len(REPEATS)
    assert firsts[1] > len(fits[firsts[1] :]) == len(baselines)
    chosen = None
    for row, repeat in enumerate(REPEATS):
        prepared = prepare_repeat(house.configuration, repeat)
        learner = confirmed_learner(house.configuration, house.compared[0].trials[row], CPU)
        fitted = fit_baselines(
            learner.training_texts,
            prepared.validation,
            vocabulary_size=len(prepared.word_counts),
            classes=4,
            metric="macro_f1",
            chosen=chosen,
        )
        chosen = {baseline.name: baseline.parameters for baseline in fitted}
        cache_dir = Path(house.configuration.cache_dir)
        test = prepare_test(house.configuration.split(repeat), prepared, cache_dir=cache_dir)
        for system, baseline in zip(baselines, fitted, strict=True):
            assert system.title == baseline.title
            assert system.validation[row] == baseline.validation_score
            assert {name: values[row] for name, values in system.parameters.items()} == baseline.parameters
            assert system.predictions[row].tolist() == baseline.predict(test).tolist()


def test_baselines_are_fitted_once_for_each_repeat_whoever_has_won(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[Any] = []

    def fit(*arguments: Any, **named: Any) -> Any:
        chosen.append(named["chosen"])
        if len(chosen) == 2:
            raise KeyboardInterrupt
        return fit_baselines(*arguments, **named)

    monkeypatch.setattr("study.confirmation.holdout.fit_baselines", fit)
    with pytest.raises(KeyboardInterrupt):
        house.open()
    results, events = house.open()
    assert events == ["Baselines on repeat 2 of 2."]
    assert len(chosen) == 3
    assert chosen[0] is None
    first = {
        system.name: {name: values[0] for name, values in system.parameters.items()} for system in results.systems[2:]
    }
    assert chosen[1] == chosen[2] == first  # the third time, from what is stored
    house.compared = house.compared[1:]  # another winner
    others, events = house.open()
    assert events == []
    for system, other in zip(results.systems[2:], others.systems[1:], strict=True):
        np.testing.assert_equal(asdict(system), asdict(other))


def test_a_pretrained_encoder_reads_word_pieces_and_its_baselines_are_fitted_on_words(
    house: House, tiny_encoder: PretrainedEncoder
) -> None:
    expected = house.open()[0].systems[2:]
    base = choose_settings("bert", {"bert_model": str(tiny_encoder.folder), "max_tokens": 20, "epochs": 1})
    cache_dir = Path(house.configuration.cache_dir)
    base = replace(base, encoder=find_encoder(str(tiny_encoder.folder), cache_dir=cache_dir).version)
    house.configuration = replace(house.configuration, base=base)
    house.compared = [house.confirmed(4, is_default=True, learning_rate=1e-2, dropout=0.0)]
    house.study = optuna.create_study(storage=house.storage, study_name="bert/confirmation", direction="maximize")
    results, events = house.open()
    assert len(events) == len(REPEATS)  # they were fitted again
    assert_predictions(house, results)
    for system, other in zip(results.systems[1:], expected, strict=True):
        np.testing.assert_equal(asdict(system), asdict(other))


@pytest.mark.parametrize("differing", ["names", "labels"])
def test_repeats_that_number_the_classes_differently_are_refused(
    differing: str, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner_of(configuration: StudyConfig, trial: FrozenTrial, device: torch.device) -> Learner:
        learner = confirmed_learner(configuration, trial, device)
        if differing == "names" and trial.user_attrs[REPEAT] == REPEATS[1]:
            return replace(learner, prepared=replace(learner.prepared, classes=learner.prepared.classes[::-1]))
        return learner

    def test_texts_of(split: Split, *arguments: Any, **options: Any) -> EncodedTexts:
        texts = prepare_test(split, *arguments, **options)
        return replace(texts, labels=texts.labels[::-1]) if split.repeat == REPEATS[1] else texts

    monkeypatch.setattr("study.confirmation.holdout.confirmed_learner", learner_of)
    if differing == "labels":
        monkeypatch.setattr("study.confirmation.holdout.prepare_test", test_texts_of)
    message = "^The classes of prepared texts do not have the same numbers in all repeats, .* with "
    way_out = "`python -m study.cache --clear --checkpoints`; then start the same command again.$"
    with pytest.raises(StudyError, match=message + way_out):
        house.open()


def test_results_are_stored_for_these_systems_and_weights(house: House) -> None:
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


def test_every_opening_is_recorded_and_the_same_one_only_once(house: House) -> None:
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


def test_openings_by_all_studies_are_counted_the_earliest_first(house: House) -> None:
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


def test_no_word_of_the_test_texts_is_known_to_a_model(house: House) -> None:
    house.open()
    for confirmed in house.compared:
        for trial in confirmed.trials:
            learner = confirmed_learner(house.configuration, trial, CPU)
            assert not any("testword" in word for word in learner.prepared.vocabulary.words.to_pylist())
