"""The importances of parameters and their interaction, from studies whose answers are known."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import Study
from optuna.trial import TrialState, create_trial

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.analysis.findings import Importance, find, find_importances
from study.analysis.interaction import find_interaction
from study.analysis.surrogate import to_unit
from study.choices import SpaceName
from study.configuration import StudyConfig
from study.model_settings import DEFAULTS
from study.reports.sentences import interaction_sentences
from study.search_space import model_space, search_space
from study.storage.queries import complete_trials

BASE = Settings(LSTMConfig(), TrainingConfig(), TextLimits())
TPE = StudyConfig(DataSource("toy", "00"), "/cache", BASE)
RANDOM = StudyConfig(DataSource("toy", "00"), "/cache", BASE, sampler="random", pruner="none")
WIDE = StudyConfig(DataSource("toy", "00"), "/cache", BASE, space="wide", sampler="random", pruner="none")

Score = Callable[[float, float], float]  # of the two default parameters, each scaled to 0-1


def sample(study: Study, score: Score, *, trials: int, configuration: StudyConfig = RANDOM) -> None:
    space, two = configuration.search_space, search_space("default", configuration.base)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    for _ in range(trials):
        trial = study.ask(space)
        first, second = (to_unit(space[name], trial.params[name]) for name in two)
        study.tell(trial, score(first, second))


def test_the_parameter_that_decides_is_the_important_one(study: Study) -> None:
    sample(study, lambda _, learning_rate: -abs(learning_rate - 0.7), trials=60)
    importances = find_importances(study, RANDOM)
    first, second = importances.parameters
    assert (first.parameter, second.parameter) == ("learning_rate", "hidden_size")
    assert first.mean > 0.7
    assert second.mean < 0.3
    assert first.mean + second.mean == pytest.approx(1)
    intervals = [(one.low, one.mean, one.high) for one in importances.parameters if one.low and one.high]
    assert len(intervals) == 2
    assert all(0 <= low <= mean <= high <= 1 for low, mean, high in intervals)
    assert importances == find_importances(study, RANDOM)
    assert "PED-ANOVA" in importances.about
    assert "mean and 95 % interval of 200 bootstrap resamples" in importances.about
    assert importances.caveat == ""


def test_an_importance_is_its_mean_over_bootstrap_resamples_of_the_trials(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("study.analysis.findings.RESAMPLES", 4)
    sample(study, lambda hidden_size, learning_rate: hidden_size + 2 * learning_rate, trials=30)
    found = {one.parameter: one.mean for one in find_importances(study, RANDOM, seed=3).parameters}
    trials, generator, shares = complete_trials(study), np.random.default_rng(3), []
    for _ in range(4):
        resample = optuna.create_study(direction="maximize")
        resample.add_trials([trials[index] for index in generator.integers(30, size=30)])
        shares.append(get_param_importances(resample, evaluator=PedAnovaImportanceEvaluator()))
    assert found == pytest.approx({name: np.mean([share[name] for share in shares]) for name in shares[0]})
    assert len({share["hidden_size"] for share in shares}) == 4


def width(importance: Importance) -> float:
    assert importance.low is not None
    assert importance.high is not None
    return importance.high - importance.low


def test_fewer_trials_make_the_interval_of_an_importance_wider(study: Study) -> None:
    score: Score = lambda hidden_size, learning_rate: hidden_size + learning_rate  # noqa: E731
    sample(study, score, trials=12)
    few = width(find_importances(study, RANDOM).parameters[0])
    sample(study, score, trials=60)
    assert few > width(find_importances(study, RANDOM).parameters[0])


@pytest.mark.parametrize(
    ("score", "low", "high"),
    [
        (lambda hidden_size, learning_rate: hidden_size**2 + np.sin(3 * learning_rate), 0.0, 0.05),
        (lambda hidden_size, learning_rate: (hidden_size - 0.5) * (learning_rate - 0.5), 0.8, 1.0),
        (lambda hidden_size, learning_rate: hidden_size + learning_rate + 2 * hidden_size * learning_rate, 0.0, 0.1),
    ],
    ids=["additive", "product", "both"],
)
def test_the_size_of_an_interaction_is_estimated(study: Study, score: Score, low: float, high: float) -> None:
    sample(study, score, trials=40)
    interaction = find_interaction(study, RANDOM)
    assert interaction.reason is None
    assert interaction.share is not None
    assert interaction.low is not None
    assert interaction.high is not None
    assert low <= interaction.share <= high
    assert 0 <= interaction.low <= interaction.share <= interaction.high <= 1


def test_the_interaction_is_estimated_among_many_parameters(study: Study) -> None:
    sample(study, lambda hidden_size, learning_rate: hidden_size + learning_rate, trials=50, configuration=WIDE)
    interaction = find_interaction(study, WIDE)
    assert interaction.share is not None
    assert interaction.share < 0.05


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize("space", ["default", "wide"])
@pytest.mark.parametrize("variant", DEFAULTS)
def test_the_interaction_is_that_of_the_two_parameters_in_the_default_space_of_the_model(
    study: Study, variant: str, space: SpaceName
) -> None:
    base = DEFAULTS[variant]
    configuration = replace(RANDOM, base=base, space=space)
    sample(study, lambda one, other: (one - 0.5) * (other - 0.5), trials=40, configuration=configuration)
    interaction = find_interaction(study, configuration)
    assert interaction.reason is None
    assert interaction.parameters == tuple(search_space("default", base))
    assert interaction.share is not None
    assert interaction.share > 0.5


def test_no_interaction_is_reported_for_a_categorical_parameter(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    space = model_space(BASE.model, BASE)[1]
    two = {name: space[name] for name in ("dropout", "pooling")}
    monkeypatch.setattr("study.search_space.model_space", lambda *_: (two, {}))
    interaction = find_interaction(study, RANDOM)
    assert interaction.parameters == ("dropout", "pooling")
    assert interaction.reason == "the values of pooling have no order, so there is no surface through them."


BIASED = [
    ("tpe", True, "Computed from the trials that TPE chose and pruning left, it shows where this search has looked"),
    ("tpe", False, "Computed from the trials that TPE chose, it"),
    ("random", True, "Computed from the trials that pruning left, it"),
]


@pytest.mark.usefixtures("few_resamples")
@pytest.mark.parametrize(("sampler", "has_pruned", "sentence"), BIASED)
def test_findings_from_biased_trials_have_a_caveat_and_no_interval(
    study: Study, sampler: Any, has_pruned: bool, sentence: str
) -> None:
    sample(study, lambda hidden_size, learning_rate: hidden_size * learning_rate, trials=30)
    study.add_trials([create_trial(state=TrialState.PRUNED)] * has_pruned)
    found = find(study, replace(TPE, sampler=sampler))
    assert found.interaction.share is not None
    assert len(found.importances.parameters) == 2
    for one in (found.interaction, *found.importances.parameters):
        assert (one.low, one.high) == (None, None)
    assert sentence in found.interaction.caveat
    assert found.importances.caveat == found.interaction.caveat
    assert "a study with --sampler random --pruner none shows that, with an interval." in found.importances.about
    assert "95 % interval" not in found.importances.about
    assert interaction_sentences(found.interaction)[0].endswith(found.interaction.caveat)


@pytest.mark.usefixtures("few_resamples")
def test_random_trials_are_not_biased_if_the_pruner_ended_none_of_them(study: Study) -> None:
    sample(study, lambda hidden_size, learning_rate: hidden_size * learning_rate, trials=30)
    found = find(study, replace(TPE, sampler="random"))
    assert found.interaction.low is not None
    assert found.importances.parameters[0].low is not None
    assert found.interaction.caveat == found.importances.caveat == ""
    assert re.search(r"makes \d+% of their variance \(\d+% to \d+%\)\.$", interaction_sentences(found.interaction)[0])


@pytest.mark.usefixtures("few_resamples")
def test_a_report_does_not_mention_an_interaction_that_biased_trials_could_not_show(study: Study) -> None:
    sample(study, lambda hidden_size, learning_rate: hidden_size * learning_rate, trials=12)
    assert interaction_sentences(find_interaction(study, TPE)) == []
    (sentence,) = interaction_sentences(find_interaction(study, RANDOM))
    assert "it needs 20 complete trials that were sampled, and there are 12." in sentence


@pytest.mark.usefixtures("few_resamples")
def test_no_interaction_is_reported_for_noise(study: Study) -> None:
    generator = np.random.default_rng(0)
    sample(study, lambda *_: float(generator.random()), trials=40)
    interaction = find_interaction(study, RANDOM)
    assert interaction.share is None
    assert "of the variance" in (interaction.reason or "")


@pytest.mark.usefixtures("few_resamples")
def test_the_default_configuration_does_not_count_as_a_random_trial(study: Study) -> None:
    study.enqueue_trial({"hidden_size": 64, "learning_rate": 0.01})
    sample(study, lambda hidden_size, learning_rate: hidden_size + learning_rate, trials=20)
    assert "there are 19" in (find_interaction(study, RANDOM).reason or "")
    assert find_importances(study, RANDOM).trials == 19


@pytest.mark.usefixtures("few_resamples")
def test_trials_with_other_parameters_are_not_part_of_the_sample(study: Study) -> None:
    sample(study, lambda size, rate: rate + 0.1 * size, trials=40)
    before = find_importances(study, RANDOM), find_interaction(study, RANDOM)
    depth = {"depth": optuna.distributions.IntDistribution(1, 9)}
    study.add_trial(create_trial(value=0.9, params={"depth": 3}, distributions=depth))
    study.add_trial(create_trial(value=0.8))
    assert (find_importances(study, RANDOM), find_interaction(study, RANDOM)) == before
    assert sum(importance.mean for importance in before[0].parameters) == pytest.approx(1)
