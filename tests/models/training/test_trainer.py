"""The training loop: what it keeps, when it stops, and the error when the loss is not finite."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from models.training.config import TrainingConfig
from models.training.optimizer import Schedule, ScheduledAdamW
from models.training.trainer import EpochResult, TrainingDivergedError, _Run, best_epoch, predict, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts

CPU = torch.device("cpu")


class BagOfWords(nn.Module):
    """The smallest model with the interface that training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Embedding(20, 2, padding_idx=0)

    def forward(self, token_ids: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.scores(token_ids).sum(dim=1) / lengths[:, None]
        return logits


def texts(count: int) -> EncodedTexts:
    labels = np.arange(count) % 2
    token_ids = np.stack([labels + 2, np.full(count, 5)], axis=1).ravel()
    return EncodedTexts(token_ids.astype(np.int32), np.arange(0, 2 * count + 1, 2), labels.astype(np.int32))


def run(config: TrainingConfig, **options: object):  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    training = TrainingBatches(texts(100), config.batch_size, 10, 20, config.seed)
    return train(BagOfWords(), training, EvaluationBatches(texts(40), 10, 20), config, device=CPU, **options)  # type: ignore[arg-type]


def test_the_best_epochs_weights_are_kept_and_predict_its_score() -> None:
    result = run(TrainingConfig(epochs=6, learning_rate=0.1, patience=6))
    assert result.best.accuracy == max(epoch.accuracy for epoch in result.curve[3:])
    model = BagOfWords()
    model.load_state_dict(result.best_weights)
    predictions, loss = predict(model, EvaluationBatches(texts(40), 10, 20), device=CPU)
    assert (predictions == texts(40).labels).mean() == result.best.accuracy
    assert loss == pytest.approx(result.best.validation_loss)


def test_the_last_epoch_is_kept_without_early_stopping_where_that_is_asked_for() -> None:
    config = TrainingConfig(epochs=8, learning_rate=0.1, patience=1)
    assert len(run(config).curve) < 8
    result = run(config, keep_last=True)
    assert len(result.curve) == 8
    assert result.best is result.curve[-1]
    model = BagOfWords()
    model.load_state_dict(result.best_weights)
    assert predict(model, EvaluationBatches(texts(40), 10, 20), device=CPU)[1] == result.curve[-1].validation_loss


def test_epochs_that_cannot_be_the_best_are_validated_on_the_early_texts_only() -> None:
    config = TrainingConfig(epochs=6, learning_rate=0.1, patience=6)
    result = run(config, early_validation=EvaluationBatches(texts(7), 10, 20))
    validated = [len(epoch.predictions) for epoch in result.curve]
    assert validated == [7] * config.first_settled_epoch + [40] * (6 - config.first_settled_epoch)
    assert len(result.best.predictions) == 40


def test_training_computes_with_one_thread() -> None:
    torch.set_num_threads(2)
    run(TrainingConfig(epochs=1))
    assert torch.get_num_threads() == 1


def test_training_stops_early_but_not_before_the_learning_rate_has_settled() -> None:
    config = TrainingConfig(epochs=20, learning_rate=1.0, patience=3)  # perfect from the first epoch on
    result = run(config)
    assert len(result.curve) == config.first_settled_epoch + config.patience + 1


def curve(*scores: float) -> list[EpochResult]:
    return [EpochResult(epoch, 0.0, 0.0, 0.5, score, 1.0, torch.zeros(1)) for epoch, score in enumerate(scores)]


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ((0.3,), 0),
        ((0.3, 0.2, 0.1), 0),  # no epoch has settled yet, so all of them count
        ((0.9, 0.9, 0.9, 0.9, 0.1), 4),  # epochs at a high learning rate no longer count
        ((0.9, 0.9, 0.9, 0.9, 0.3, 0.2, 0.1), 4),
        ((0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.3), 6),  # the last one in a tie
    ],
)
def test_a_training_is_judged_by_its_best_settled_epoch(scores: tuple[float, ...], best: int) -> None:
    assert best_epoch(curve(*scores), TrainingConfig(epochs=7)).epoch == best


@pytest.mark.parametrize("schedule", ["one_cycle", "linear"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 6, 7, 20])
def test_an_epoch_is_settled_if_it_ends_at_half_the_peak_learning_rate_or_less(epochs: int, schedule: Schedule) -> None:
    config = TrainingConfig(epochs=epochs, batch_size=1, learning_rate=0.1, patience=20, schedule=schedule)
    ends = rates(config)[99::100]
    settled = [epoch for epoch, rate in enumerate(ends) if rate <= 0.0505 and epoch + 1 > epochs * config.warm_up_share]
    assert settled[0] == config.first_settled_epoch


def test_every_epoch_is_reported_and_an_exception_propagates() -> None:
    told: list[EpochResult] = []

    def stop_at_the_third(result: EpochResult) -> None:
        told.append(result)
        if len(told) == 3:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        run(TrainingConfig(epochs=10), on_epoch_end=stop_at_the_third)
    assert [result.epoch for result in told] == [0, 1, 2]


def at_every_step(config: TrainingConfig, look: Callable[[ScheduledAdamW], float]) -> list[float]:
    """What `look` returns at every step of a training run."""
    seen: list[float] = []

    class Recording(ScheduledAdamW):
        def step(self) -> None:
            seen.append(look(self))
            super().step()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.training.trainer.ScheduledAdamW", Recording)
        run(config)
    return seen


def rates(config: TrainingConfig) -> list[float]:
    """The learning rate at every step of a training run on 100 texts."""
    return at_every_step(
        config, lambda optimizer: optimizer.rates(config.learning_rate, optimizer.batch, optimizer.steps)[0]
    )


def gradient_norms(config: TrainingConfig) -> list[float]:
    def norm(optimizer: ScheduledAdamW) -> float:
        return float(nn.utils.get_total_norm([one.grad for one in optimizer.parameters if one.grad is not None]))

    return at_every_step(config, norm)


def test_gradients_larger_than_the_norm_are_scaled_down_to_it() -> None:
    free, tamed = (gradient_norms(TrainingConfig(epochs=2, gradient_norm=norm)) for norm in (1e6, 0.01))
    assert min(free[:4]) > 0.02
    np.testing.assert_allclose(tamed[:4], 0.01, rtol=1e-3)
    assert max(tamed) <= 0.01 * 1.001


@pytest.mark.parametrize("index", [0, 1])
def test_a_checkpoint_keeps_the_random_numbers_of_the_gpu_that_trains(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {torch.device("cuda", number): torch.tensor([number]) for number in (0, 1)}
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device="cuda": states[torch.device(device)])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device="cuda": states.update({device: state}))
    config, device = TrainingConfig(epochs=1), torch.device("cuda", index)
    training = _Run(BagOfWords(), config, steps_per_epoch=5, device=CPU)
    training.device = device
    state = training.state_dict()
    assert state["device_random"].item() == index
    states[device] = torch.tensor([7])
    training.load_state_dict(state)
    assert {one.index: kept.item() for one, kept in states.items()} == {0: 0, 1: 1}


def test_the_linear_schedule_rises_over_a_tenth_of_the_steps_and_falls_to_nearly_zero() -> None:
    config = TrainingConfig(epochs=10, batch_size=20, patience=10, learning_rate=0.1, schedule="linear")
    expected = [0.02, 0.04, 0.06, 0.08, *np.linspace(0.1, 0.1 / 46, 46)]
    np.testing.assert_allclose(rates(config), expected)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_the_linear_schedule_also_works_for_short_training_runs(epochs: int) -> None:
    used = rates(TrainingConfig(epochs=epochs, batch_size=20, learning_rate=0.1, schedule="linear"))
    assert len(used) == 5 * epochs
    assert max(used) == 0.1
    assert 0 < min(used) < 0.1


def test_the_one_cycle_schedule_peaks_after_three_tenths_of_the_steps() -> None:
    used = rates(TrainingConfig(epochs=4, batch_size=20, patience=4, learning_rate=0.1, schedule="one_cycle"))
    assert used.index(max(used)) == 5  # of 20 steps
    assert used[0] == pytest.approx(0.1 / 25)


def test_a_loss_that_is_not_finite_is_an_error_that_names_the_epoch() -> None:
    with pytest.raises(TrainingDivergedError, match=r"training loss is (nan|inf) in epoch \d"):
        run(TrainingConfig(epochs=5, learning_rate=1e40))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"epochs": 0}, {"learning_rate": 0.0}, {"patience": 0}, {"metric": "loss"}, {"label_smoothing": 1.0}),
        {"schedule": "triangle"},
    ],
)
def test_impossible_configurations_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"`.*{next(iter(wrong))}"):
        TrainingConfig(**wrong)  # type: ignore[arg-type]
