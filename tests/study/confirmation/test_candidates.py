"""Which configurations are ranked, and how, with trials made by hand and without training."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, create_trial

from data.source import DataSource
from models.learners.learner import Settings
from models.lstm import LSTMConfig
from models.training.config import TrainingConfig
from preprocessing.batches import TextLimits
from study.configuration import StudyConfig
from study.confirmation.candidates import Candidate, find_candidates, near_identical, rank, rounds, trainings
from study.errors import StudyError
from study.trials.repeats import FIRST_CONFIRMING

CONFIGURATION = StudyConfig(
    DataSource("toy", "00"), str(Path.cwd()), Settings(LSTMConfig(), TrainingConfig(), TextLimits())
)
SPACE = CONFIGURATION.search_space
DEFAULT = (64, 0.01)


def search_of(*trials: tuple[int, float, float]) -> optuna.Study:
    """A study of complete trials: hidden size, learning rate, value."""
    study = optuna.create_study(direction="maximize")
    for size, rate, value in trials:
        params = {"hidden_size": size, "learning_rate": rate}
        study.add_trial(create_trial(params=params, distributions=SPACE, value=value))
    return study


def found(study: optuna.Study, top: int) -> list[tuple[int, float]]:
    candidates = find_candidates(study, CONFIGURATION, top=top)
    return [(one.parameters["hidden_size"], one.parameters["learning_rate"]) for one in candidates]


def test_the_best_configurations_are_candidates_and_the_default_one_only_if_it_is_among_them() -> None:
    study = search_of((*DEFAULT, 0.7), (32, 0.02, 0.9), (128, 0.005, 0.8), (16, 0.001, 0.1))
    assert found(study, 2) == [(32, 0.02), (128, 0.005)]
    assert found(study, 3) == [(32, 0.02), (128, 0.005), DEFAULT]
    assert [one.is_default for one in find_candidates(study, CONFIGURATION, top=3)] == [False, False, True]
    assert len(found(study, 1000)) == 4


def test_only_the_best_of_near_identical_configurations_is_a_candidate() -> None:
    study = search_of((100, 0.02, 0.8), (101, 0.0201, 0.9), (100, 0.03, 0.7))
    assert found(study, 3) == [(101, 0.0201), (100, 0.03)]


def test_the_default_configuration_takes_the_place_of_a_near_identical_one() -> None:
    study = search_of((*DEFAULT, 0.5), (65, 0.0101, 0.9), (128, 0.02, 0.8))
    assert found(study, 2) == [DEFAULT, (128, 0.02)]
    assert find_candidates(study, CONFIGURATION, top=1)[0].claimed == 0.5  # its own value, not its neighbour's
    assert found(search_of((65, 0.0101, 0.9)), 2) == [(65, 0.0101)]  # here the default configuration was not completed


def test_trials_with_other_parameters_are_not_candidates() -> None:
    study = search_of((32, 0.02, 0.5))
    other = {"hidden_size": optuna.distributions.IntDistribution(1, 10_000)}
    study.add_trial(create_trial(params={"hidden_size": 20}, distributions=other, value=0.99))
    wide = {**SPACE, "learning_rate": optuna.distributions.FloatDistribution(1e-9, 10)}
    study.add_trial(create_trial(params={"hidden_size": 20, "learning_rate": 5.0}, distributions=wide, value=0.98))
    assert found(study, 4) == [(32, 0.02)]


def test_without_a_complete_trial_there_is_no_candidate() -> None:
    with pytest.raises(StudyError, match="has no complete trial yet"):
        found(search_of(), 3)


def test_configurations_with_different_categories_are_not_near_identical() -> None:
    space = {**SPACE, "pooling": optuna.distributions.CategoricalDistribution(["max", "mean"])}
    one = {"hidden_size": 64, "learning_rate": 0.01, "pooling": "max"}
    assert near_identical(space, one, {**one, "hidden_size": 65})
    assert not near_identical(space, one, {**one, "pooling": "mean"})
    assert not near_identical(space, one, {**one, "hidden_size": 70})


def candidates_of(*claims: float) -> list[Candidate]:
    return [Candidate({"hidden_size": 16 + n}, trial_of(claim), is_default=False) for n, claim in enumerate(claims)]


def trial_of(value: float) -> FrozenTrial:
    return create_trial(value=value)


def sizes_of(candidates: Iterable[Candidate]) -> list[int]:
    return [one.parameters["hidden_size"] for one in candidates]


def test_each_round_keeps_the_better_half_by_the_mean_of_all_training_runs() -> None:
    fresh = {16: (0.1,), 17: (0.7, 0.6, 0.1), 18: (0.6, 0.9, 0.9), 19: (0.2,), 20: (0.5, 0.5)}
    asked = []

    def train(left: list[Candidate], repeat: int) -> list[FrozenTrial | None]:
        asked.append((repeat, set(sizes_of(left))))
        return [trial_of(fresh[size][repeat]) for size in sizes_of(left)]

    ranked, failed = rank(candidates_of(0.8, 0.8, 0.8, 0.8, 0.9), train)
    assert asked == [(0, {16, 17, 18, 19, 20}), (1, {17, 18, 20}), (2, {17, 18})]
    assert sizes_of(one.candidate for one in ranked) == [18, 17, 20, 19, 16]
    assert ranked[0].values == (0.6, 0.9, 0.9)
    assert ranked[0].means == pytest.approx((0.7, 2.3 / 3, 0.8))
    assert failed == []


def test_a_candidate_that_fails_is_out_of_the_ranking() -> None:
    def train(left: list[Candidate], repeat: int) -> list[FrozenTrial | None]:
        fails = {0: 17, 1: 16}[repeat]
        return [None if size == fails else trial_of(0.5) for size in sizes_of(left)]

    ranked, failed = rank(candidates_of(0.9, 0.8, 0.7, 0.6), train)
    assert sizes_of(one.candidate for one in ranked) == [18, 19]
    assert sizes_of(failed) == [17, 16]
    assert rank(candidates_of(0.9, 0.8), lambda left, _: [None] * len(left))[0] == []


def test_a_single_candidate_is_not_trained_to_be_ranked() -> None:
    ranked, _ = rank(candidates_of(0.9), lambda *_: pytest.fail("nothing is to be trained"))
    assert ranked[0].values == ()


def test_the_default_configuration_comes_first_in_a_tie() -> None:
    other, default = candidates_of(0.5, 0.5)
    ranked, _ = rank([other, replace(default, is_default=True)], lambda left, _: [trial_of(0.7)] * len(left))
    assert [one.candidate.is_default for one in ranked] == [True, False]


@given(st.integers(1, 200))
def test_the_numbers_of_rounds_and_training_runs_are_known_in_advance(count: int) -> None:
    trained, repeats = 0, set()

    def train(left: list[Candidate], repeat: int) -> list[FrozenTrial | None]:
        nonlocal trained
        trained += len(left)
        repeats.add(repeat)
        return [trial_of(0.5)] * len(left)

    rank(candidates_of(*[0.5] * count), train)
    assert trained == trainings(count)
    assert repeats == set(range(rounds(count)))


def test_even_the_largest_ranking_uses_none_of_the_confirming_repeats() -> None:
    assert rounds(1000) <= FIRST_CONFIRMING
