"""Fresh seeds for the best configurations: what is trained, what is reused, and how the test split is opened."""

from io import StringIO
from typing import Any

import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from rich.console import Console

from study.confirmation import DRAW, Candidate, confirmed, find_candidates, prepare_draw
from study.deployment import Deployment
from study.errors import StudyError
from study.full_confirmation import Confirmation, confirmed_search
from study.kept_weights import load_weights
from study.search_space import default_parameters
from study.stored_study import load_configuration
from study.test_results import TestResults, load_results, open_test_split, openings

URL = "sqlite:///study.db"


def confirm(**options: int) -> tuple[list[Any], str]:
    """The ranking with its trials' numbers, and what was printed."""
    text = StringIO()
    with confirmed_search(URL, "toy-lstm", workers=1, console=Console(file=text), **options) as found:
        return list(found.ranking), text.getvalue()


def test_the_best_and_the_default_configuration_are_trained_on_fresh_seeds_and_splits(toy: Any) -> None:
    assert toy.run("--trials", 6) == 0
    search = toy.load()
    configuration = load_configuration(search)
    ranking, _ = confirm(top=2, draws=3)
    default = default_parameters(configuration.search_space, configuration.base)
    best = sorted((trial for trial in search.trials if trial.state == TrialState.COMPLETE), key=lambda t: -t.value)
    expected = [trial.params for trial in best[:2]]
    expected += [default] if default not in expected else []
    assert sorted(map(str, expected)) == sorted(str(one.candidate.parameters) for one in ranking)
    assert [one.mean for one in ranking] == sorted((one.mean for one in ranking), reverse=True)
    for one in ranking:
        assert [trial.user_attrs[DRAW] for trial in one.trials] == [0, 1, 2]
        assert [trial.user_attrs["training_seed"] for trial in one.trials] == [1, 2, 3]  # the search's is 0
        assert one.mean == pytest.approx(sum(trial.value for trial in one.trials) / 3)
        assert one.optimism == pytest.approx(one.candidate.trial.value - one.mean)
    validations = [prepare_draw(configuration, draw).validation.token_ids.tolist() for draw in range(3)]
    assert len({str(texts) for texts in validations}) == 3


def test_a_second_confirmation_trains_only_what_is_missing(toy: Any) -> None:
    assert toy.run("--trials", 4) == 0
    first, _ = confirm(top=1, draws=2)
    again, printed = confirm(top=1, draws=2)
    assert [one.trials for one in again] == [one.trials for one in first]
    assert "Confirming" not in printed
    more, _ = confirm(top=1, draws=4)
    assert sum(len(one.trials) for one in more) == 4 * len(first)
    assert len(toy.load(name="toy-lstm/confirmation").trials) == 4 * len(first)
    numbers = {trial.number for one in first for trial in one.trials}
    assert {trial.number for one in more for trial in one.trials[:2]} == numbers


@pytest.mark.slow
def test_a_later_confirmation_takes_as_many_as_the_last_one_and_never_fewer_than_usual(toy: Any) -> None:
    assert toy.run("--trials", 2) == 0
    first, _ = confirm(top=1, draws=4)
    again, printed = confirm(top=1)
    assert [one.trials for one in again] == [one.trials for one in first]
    assert printed == "As in the last report: --seeds 4.\n"
    confirm(top=1, draws=1)
    assert [len(one.trials) for one in confirm(top=1)[0]] == [3] * len(first)


@pytest.mark.slow
def test_what_an_interrupted_confirmation_has_asked_for_is_not_trained_by_a_smaller_one(toy: Any) -> None:
    assert toy.run("--trials", 2) == 0
    first, _ = confirm(top=1, draws=1)
    confirmation = toy.load(name="toy-lstm/confirmation")
    for draw in (7, 8):
        confirmation.enqueue_trial(first[0].candidate.parameters, user_attrs={DRAW: draw})
    again, printed = confirm(top=1, draws=1)
    assert "Confirming" not in printed
    assert [one.trials for one in again] == [one.trials for one in first]
    more, _ = confirm(top=1, draws=9)  # asked for again, it is trained
    assert [len(one.trials) for one in more] == [9] * len(first)


def test_what_another_report_has_taken_out_of_the_queue_is_missed(toy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(deployment: Deployment, *_arguments: object) -> None:
        for trial in deployment.queue.study.get_trials(states=(TrialState.WAITING,)):
            deployment.queue.withdraw(trial)

    assert toy.run("--trials", 1) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Deployment, "run", run)
        with pytest.raises(StudyError, match="Start the same command again"):
            confirm(top=1, draws=1)
    assert len(confirm(top=1, draws=1)[0]) == 1


def test_weights_that_are_damaged_are_trained_again(toy: Any) -> None:
    assert toy.run("--trials", 2) == 0
    first, _ = confirm(top=1, draws=1)
    (file, *_) = sorted(toy.folder.glob(".cache/checkpoints/*/*.safetensors"))
    file.write_bytes(file.read_bytes()[:100])
    again, printed = confirm(top=1, draws=1)
    assert "Confirming" in printed
    assert [one.mean for one in again] == [one.mean for one in first]
    assert all(load_weights(file.parent, one.trials[0]) for one in again)
    damaged = next(one.trials[0] for one in first if file.stem == str(one.trials[0].number))
    with pytest.raises(StudyError, match=r"cannot be read.*trained anew"):
        load_weights(file.parent, damaged)


def test_where_it_is_a_tie_the_default_configuration_comes_first() -> None:
    study = optuna.create_study(direction="maximize")
    candidates = [
        Candidate({"hidden_size": size}, None, is_default=is_default) for size, is_default in ((16, False), (64, True))
    ]
    for candidate in candidates:
        study.enqueue_trial(candidate.parameters, user_attrs={DRAW: 0})
        study.tell(study.ask({"hidden_size": IntDistribution(16, 256)}), 0.5)
    assert [one.candidate.is_default for one in confirmed(study, candidates, draws=1)] == [True, False]


def test_a_search_without_a_complete_trial_cannot_be_confirmed(toy: Any) -> None:
    assert toy.run("--trials", 1) == 0
    study = toy.load()
    configuration = load_configuration(study)
    study._storage.delete_study(study._study_id)
    empty = toy.run("--trials", 1, "--timeout", 0.001)
    assert empty == 0
    with pytest.raises(StudyError, match="has no complete trial yet"):
        find_candidates(toy.load(), configuration, top=3)


def open_once(found: Confirmation) -> TestResults:
    winner = found.ranking[0]
    compared = [winner, *(one for one in found.ranking[1:] if one.candidate.is_default)]
    stored = load_results(found.study, compared)
    return stored or open_test_split(
        found.study,
        found.storage,
        found.configuration,
        compared,
        search_trials=len(found.search.trials),
        device=found.device,
        checkpoints=found.checkpoints,
        on_event=lambda _: None,
    )


def test_the_test_split_is_opened_once_and_the_opening_is_counted(toy: Any) -> None:
    assert toy.run("--trials", 5) == 0
    for _ in range(2):
        with confirmed_search(URL, "toy-lstm", top=2, draws=2, workers=1, console=Console(file=StringIO())) as found:
            results = open_once(found)
            stamps = openings(found.storage, found.configuration)
        assert len(stamps) == 1
        assert stamps[0].search_trials == 5
        assert results.labels.shape == (18,)
        assert results.systems[0].name == "winner"
        assert all(system.predictions.shape == (2, 18) for system in results.systems)
        assert {"majority"} <= {system.name for system in results.systems}
    assert toy.run("--trials", 3, "--seed", 1, "--name", "other") == 0
    with confirmed_search(URL, "other", top=1, draws=1, workers=1, console=Console(file=StringIO())) as found:
        open_once(found)
        assert [stamp.study for stamp in openings(found.storage, found.configuration)] == [
            "toy-lstm/confirmation",
            "other/confirmation",
        ]


def test_an_opening_that_is_interrupted_before_anything_was_seen_goes_on(
    toy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    assert toy.run("--trials", 3) == 0
    with confirmed_search(URL, "toy-lstm", top=1, draws=1, workers=1, console=Console(file=StringIO())) as found:
        with monkeypatch.context() as patch:
            patch.setattr("study.test_results.fit_baselines", interrupt)
            with pytest.raises(KeyboardInterrupt):
                open_once(found)
        assert len(openings(found.storage, found.configuration)) == 1
        open_once(found)
        assert len(openings(found.storage, found.configuration)) == 1


@pytest.mark.slow
def test_what_was_predicted_for_another_number_of_seeds_is_not_forgotten(toy: Any) -> None:
    assert toy.run("--trials", 3) == 0
    for draws, times in ((1, 1), (2, 2), (1, 2), (2, 2)):
        with confirmed_search(
            URL, "toy-lstm", top=1, draws=draws, workers=1, console=Console(file=StringIO())
        ) as found:
            assert open_once(found).systems[0].predictions.shape == (draws, 18)
            assert len(openings(found.storage, found.configuration)) == times


@pytest.mark.slow
def test_several_workers_train_it_to_the_same_scores(toy: Any) -> None:
    assert toy.run("--trials", 4) == 0
    text = StringIO()
    with confirmed_search(URL, "toy-lstm", top=1, draws=2, workers=2, console=Console(file=text)) as found:
        together = [[trial.user_attrs["curve"] for trial in one.trials] for one in found.ranking]
    assert "Workers: 2 on cpu." in text.getvalue()
    storage = toy.load()._storage
    storage.delete_study(storage.get_study_id_from_name("toy-lstm/confirmation"))
    alone, _ = confirm(top=1, draws=2)
    assert [[trial.user_attrs["curve"] for trial in one.trials] for one in alone] == together
