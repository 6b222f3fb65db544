"""What each system predicts when the test split is opened: the trained models, and the baselines."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from optuna.trial import FrozenTrial
from sklearn.metrics import log_loss

from data.source import Split
from data.texts import load_test_texts
from models.baselines import Fit, fit_baselines
from models.learners.classifier import average
from models.learners.learner import Learner
from models.training.calibration import best_temperature
from preprocessing.encoding import EncodedTexts
from preprocessing.prepared import prepare_test
from preprocessing.pretrained import PretrainedEncoder, find_encoder
from study.configuration import StudyConfig
from study.confirmation.predictions import ENSEMBLE, HoldoutResults, System
from study.errors import StudyError
from study.model_settings import choose_settings
from study.storage.attributes import OPENINGS, REPEAT
from study.trials.repeats import confirmed_learner, load_weights, prepare_repeat

CPU = torch.device("cpu")
REPEATS = (10, 11)  # those of the house


def single_systems(results: HoldoutResults) -> list[System]:
    return [system for system in results.systems if system.name != ENSEMBLE]


def assert_predictions(house: Any, results: HoldoutResults) -> None:
    """Those of the compared systems are what their exported models say about the raw test texts."""
    texts = load_test_texts(house.configuration.split(), cache_dir=Path(house.configuration.cache_dir)).texts
    for system, confirmed in zip(single_systems(results), house.compared, strict=False):
        for row, trial in zip(system.predictions, confirmed.trials, strict=True):
            learner = confirmed_learner(house.configuration, trial, CPU)
            labels = learner.restore(load_weights(house.checkpoints, trial), {}).predictions(texts).labels.tolist()
            assert [results.classes[number] for number in row] == labels


def test_each_system_predicts_the_test_texts_once_per_repeat(house: Any) -> None:
    results, _ = house.open()
    texts = load_test_texts(house.configuration.split(), cache_dir=Path(house.configuration.cache_dir))
    assert [results.classes[number] for number in results.labels] == texts.labels.to_pylist()
    assert [(system.name, system.title) for system in single_systems(results)[:2]] == [
        ("winner", "the winner"),
        ("default", "the default configuration"),
    ]
    for system, confirmed in zip(single_systems(results), house.compared, strict=False):
        assert system.parameters == confirmed.candidate.parameters
        assert list(system.validation) == confirmed.values
    assert_predictions(house, results)
    first = house.compared[0].trials[0]
    learner = confirmed_learner(house.configuration, first, CPU)
    assert results.systems[0].weights == learner.count_weights(load_weights(house.checkpoints, first))


def test_probabilities_are_calibrated_on_validation_texts(house: Any) -> None:
    results, _ = house.open()
    for system, confirmed in zip(single_systems(results), house.compared, strict=False):
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
    house: Any, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[Fit] = []
    monkeypatch.setattr("study.confirmation.tested_baselines.fit_baselines", partial(fit_baselines, on_fit=fits.append))
    limits = replace(house.configuration.base.limits, max_training_texts=most)
    house.configuration = replace(house.configuration, base=replace(house.configuration.base, limits=limits))
    results, events = house.open()
    baselines = single_systems(results)[2:]
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


def test_baselines_are_fitted_once_for_each_repeat_whoever_has_won(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[Any] = []

    def fit(*arguments: Any, **named: Any) -> Any:
        chosen.append(named["chosen"])
        if len(chosen) == 2:
            raise KeyboardInterrupt
        return fit_baselines(*arguments, **named)

    monkeypatch.setattr("study.confirmation.tested_baselines.fit_baselines", fit)
    with pytest.raises(KeyboardInterrupt):
        house.open()
    results, events = house.open()
    assert events == ["Baselines on repeat 2 of 2."]
    assert len(chosen) == 3
    assert chosen[0] is None
    first = {
        system.name: {name: values[0] for name, values in system.parameters.items()}
        for system in single_systems(results)[2:]
    }
    assert chosen[1] == chosen[2] == first  # the third time, from what is stored
    house.compared = house.compared[1:]  # another winner
    others, events = house.open()
    assert events == []
    for system, other in zip(single_systems(results)[2:], single_systems(others)[1:], strict=True):
        np.testing.assert_equal(asdict(system), asdict(other))


def test_a_pretrained_encoder_reads_word_pieces_and_its_baselines_are_fitted_on_words(
    house: Any, tiny_encoder: PretrainedEncoder
) -> None:
    expected = single_systems(house.open()[0])[2:]
    base = choose_settings("bert", {"bert_model": str(tiny_encoder.folder), "max_tokens": 20, "epochs": 1})
    cache_dir = Path(house.configuration.cache_dir)
    base = replace(base, encoder=find_encoder(str(tiny_encoder.folder), cache_dir=cache_dir).version)
    house.configuration = replace(house.configuration, base=base)
    house.compared = [house.confirmed(4, is_default=True, learning_rate=1e-2, dropout=0.0)]
    house.study = optuna.create_study(storage=house.storage, study_name="bert/confirmation", direction="maximize")
    results, events = house.open()
    assert len(events) == len(REPEATS)  # they were fitted again
    assert_predictions(house, results)
    for system, other in zip(single_systems(results)[1:], expected, strict=True):
        np.testing.assert_equal(asdict(system), asdict(other))


@pytest.mark.parametrize("differing", ["names", "labels"])
def test_repeats_that_number_the_classes_differently_are_refused(
    differing: str, house: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learner_of(configuration: StudyConfig, trial: FrozenTrial, device: torch.device) -> Learner:
        learner = confirmed_learner(configuration, trial, device)
        if differing == "names" and trial.user_attrs[REPEAT] == REPEATS[1]:
            return replace(learner, prepared=replace(learner.prepared, classes=learner.prepared.classes[::-1]))
        return learner

    def test_texts_of(split: Split, *arguments: Any, **options: Any) -> EncodedTexts:
        texts = prepare_test(split, *arguments, **options)
        return replace(texts, labels=texts.labels[::-1]) if split.repeat == REPEATS[1] else texts

    monkeypatch.setattr("study.confirmation.opened_split.confirmed_learner", learner_of)
    if differing == "labels":
        monkeypatch.setattr("study.confirmation.opened_split.prepare_test", test_texts_of)
    message = "^The classes of prepared texts do not have the same numbers in all repeats, .* with "
    way_out = "`python -m study.cache --clear --checkpoints`; then start the same command again.$"
    with pytest.raises(StudyError, match=message + way_out):
        house.open()


def test_no_word_of_the_test_texts_is_known_to_a_model(house: Any) -> None:
    house.open()
    for confirmed in house.compared:
        for trial in confirmed.trials:
            learner = confirmed_learner(house.configuration, trial, CPU)
            assert not any("testword" in word for word in learner.prepared.vocabulary.words.to_pylist())


def test_the_winners_training_runs_are_one_system_too_which_predicts_as_the_exported_average(house: Any) -> None:
    results, _ = house.open()
    ensemble = results.ensemble
    assert ensemble is not None
    assert (ensemble.title, ensemble.validation) == ("the average of the winner's 2 training runs", ())
    winner = results.systems[0]
    assert winner.probabilities is not None
    classifiers = [
        confirmed_learner(house.configuration, trial, CPU).restore(
            load_weights(house.checkpoints, trial), {}, temperature=temperature
        )
        for trial, temperature in zip(house.compared[0].trials, winner.probabilities.temperatures, strict=True)
    ]
    texts = load_test_texts(house.configuration.split(), cache_dir=Path(house.configuration.cache_dir)).texts
    predictions = average(classifiers, {}).predictions(texts)
    assert [results.classes[number] for number in ensemble.predictions[0]] == predictions.labels.tolist()
    assert ensemble.predictions.shape == (1, len(texts))
    assert ensemble.probabilities is not None
    assert ensemble.probabilities.confidences[0] == pytest.approx(predictions.probabilities.max(axis=1), abs=1e-4)
    shares = predictions.probabilities.astype(float)
    loss = log_loss(results.labels, shares / shares.sum(axis=1, keepdims=True), labels=range(4))
    assert ensemble.probabilities.log_losses[0] == pytest.approx(loss, rel=1e-4)
    assert ensemble.weights == 2 * winner.weights


def test_results_that_an_earlier_version_has_stored_without_it_are_predicted_again_in_the_same_opening(
    house: Any,
) -> None:
    results, _ = house.open()
    (name,) = (name for name in house.study.user_attrs if name.startswith("test_results"))
    stored = house.study.user_attrs[name]
    stored["systems"] = [system for system in stored["systems"] if system["name"] != ENSEMBLE]
    house.study.set_user_attr(name, stored)
    assert house.load() is None
    again, events = house.open()
    assert again.ensemble is not None
    assert events == []
    assert len(house.study.user_attrs[OPENINGS]) == 1
    assert len(again.systems) == len(results.systems)
