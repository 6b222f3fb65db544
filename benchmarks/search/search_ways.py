"""The ways of searching that `search_replay.py` compares: samplers with pruners."""

from collections.abc import Callable
from dataclasses import dataclass

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    WilcoxonPruner,
)
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler

from models.training.config import TrainingConfig
from study.sampling import LastValuePruner, make_pruner

TRIALS = 50

MakeSampler = Callable[[int], BaseSampler]
MakePruner = Callable[[TrainingConfig], BasePruner]


@dataclass(frozen=True)
class Way:
    """A way of searching."""

    make_sampler: MakeSampler
    make_pruner: MakePruner
    patience: int = TRIALS  # trials without a better one before the search ends


def tpe(startup: int) -> MakeSampler:
    return lambda seed: TPESampler(n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed)


def percentile(kept: float, first: int, unpruned: int = 5) -> MakePruner:
    """Prunes what is not among the best `kept` percent of the complete trials, from `first` sevenths of the epochs."""
    return lambda training: LastValuePruner(
        PercentilePruner(kept, n_startup_trials=unpruned, n_warmup_steps=epoch(first, training) - 1)
    )


def halving(first: int, factor: int) -> MakePruner:
    return lambda training: LastValuePruner(SuccessiveHalvingPruner(epoch(first, training), factor))


def epoch(sevenths: int, training: TrainingConfig) -> int:
    return max(1, round(sevenths / 7 * training.epochs))


def as_a_study(training: TrainingConfig) -> BasePruner:
    return make_pruner("percentile", training)


WAYS: dict[str, Way] = {
    "TPE, no pruner": Way(tpe(10), lambda _: NopPruner()),
    "TPE, best 50 % from 2/7, as at first": Way(tpe(10), percentile(50, 2)),
    "TPE, as a study has it": Way(tpe(10), as_a_study),
    **{
        f"TPE, best {kept} % from {first}/7, {unpruned} unpruned": Way(tpe(10), percentile(kept, first, unpruned))
        for kept, first, unpruned in [
            *((50, first, 5) for first in (1, 4)),
            *((kept, first, unpruned) for kept in (33, 25) for first in (1, 2) for unpruned in (3, 5, 10)),
            (15, 1, 5),
        ]
    },
    **{
        f"TPE, halving from {first}/7, factor {factor}": Way(tpe(10), halving(first, factor))
        for first in (1, 2)
        for factor in (2, 3, 4)
    },
    "TPE, brackets of Hyperband, factor 3": Way(  # TPE learns from all brackets together
        tpe(10),
        lambda training: LastValuePruner(HyperbandPruner(1, training.epochs, 3)),
    ),
    "TPE, Wilcoxon, p < 0.1": Way(tpe(10), lambda _: WilcoxonPruner(p_threshold=0.1)),
    "TPE after 5, as a study has it": Way(tpe(5), as_a_study),
    "TPE after 20, as a study has it": Way(tpe(20), as_a_study),
    "random, pruned as a study": Way(lambda seed: RandomSampler(seed=seed), as_a_study),
    "quasi-random, pruned as a study": Way(lambda seed: QMCSampler(seed=seed, scramble=True), as_a_study),
    "GP, pruned as a study": Way(
        lambda seed: GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=False),
        as_a_study,
    ),
    **{
        f"TPE, as a study, ends after {patience} no better": Way(tpe(10), as_a_study, patience) for patience in (10, 20)
    },
}
