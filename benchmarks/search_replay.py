"""How many full trainings a search needs, and what it finds: samplers and pruners on tables of learning curves.

    python benchmarks/search_replay.py r8 r52 20ng:3000               # every way of searching, 100 times each

The tables are those of `learning_curves.py`. A replay searches with one of the two seeds: whatever the sampler
suggests, the nearest configuration of the table that was not tried is run, and its curve reported, epoch by epoch.
Its cost is the number of epochs run, in full trainings; the value of the configuration that it finds is that on
the other seed.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import optuna
import torch
from learning_curves import SEEDS, Task, read
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, PercentilePruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from models.training.config import TrainingConfig
from models.training.trainer import EpochResult, best_epoch
from study.analysis.surrogate import encode
from study.sampling import LastValuePruner

TRIALS = 50


class Table:
    """The curves of configurations that were trained with both seeds, as a search would see them."""

    def __init__(self, task: Task) -> None:
        rows = {(row["number"], row["seed"]): row for row in read(task)}
        numbers = sorted({number for number, seed in rows if all((number, other) in rows for other in SEEDS)})
        self.space = task.ranges
        self.parameters = [task.parameters(number) for number in numbers]
        self.points = encode(self.parameters, self.space)
        self.epochs = rows[numbers[0], 0]["epochs"]
        self.seconds = [sum(rows[number, 0]["seconds"]) for number in numbers]
        training = replace(TrainingConfig(), epochs=self.epochs)
        self.curves = [[_reported(rows[number, seed]["macro_f1"], training) for number in numbers] for seed in SEEDS]
        self.values = np.array([[curve[-1] if curve else 0.0 for curve in curves] for curves in self.curves])


def _reported(scores: Sequence[float], training: TrainingConfig) -> list[float]:
    """What a trial reports after each epoch: the value that it would have if it ended there."""
    results = [EpochResult(epoch, 0, 0, score, score, 0, torch.empty(0)) for epoch, score in enumerate(scores)]
    return [best_epoch(results[: end + 1], training).macro_f1 for end in range(len(results))]


class FromTable(BaseSampler):
    """A sampler whose suggestions are moved to the nearest configuration of the table that was not tried."""

    def __init__(self, sampler: BaseSampler, table: Table) -> None:
        self.sampler, self.table = sampler, table
        self.left = set(range(1, len(table.parameters)))
        self.chosen = 0

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self.relative = self.sampler.infer_relative_search_space(study, trial)
        return dict(self.table.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if trial.number == 0:  # the default configuration
            self.chosen = 0
            return self.table.parameters[0]
        wanted = self.sampler.sample_relative(study, trial, self.relative)
        for name, range_ in search_space.items():
            if name not in wanted:
                wanted[name] = self.sampler.sample_independent(study, trial, name, range_)
        left = sorted(self.left)
        distances = ((self.table.points[left] - encode([wanted], self.table.space)) ** 2).sum(axis=1)
        self.chosen = left[int(distances.argmin())]
        self.left.remove(self.chosen)
        return self.table.parameters[self.chosen]

    def sample_independent(self, *_: Any) -> Any:
        raise AssertionError  # all parameters are relative

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self.sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: Any, values: Any) -> None:
        self.sampler.after_trial(study, trial, state, values)


MakeSampler = Callable[[int], BaseSampler]
MakePruner = Callable[[int], BasePruner]


def tpe(startup: int) -> MakeSampler:
    return lambda seed: TPESampler(n_startup_trials=startup, multivariate=True, constant_liar=True, seed=seed)


def percentile(kept: float, first: int, startup: int = 5) -> MakePruner:
    """Prunes what is not among the best `kept` percent after epoch `first` or a later one."""
    return lambda _: LastValuePruner(PercentilePruner(kept, n_startup_trials=startup, n_warmup_steps=first - 1))


def halving(first: int, factor: int) -> MakePruner:
    return lambda _: LastValuePruner(SuccessiveHalvingPruner(first, factor))


def hyperband(first: int, factor: int) -> MakePruner:
    return lambda epochs: LastValuePruner(HyperbandPruner(first, epochs, factor))


WAYS: dict[str, tuple[MakeSampler, MakePruner]] = {
    "TPE, no pruner": (tpe(10), lambda _: NopPruner()),
    "TPE, median from epoch 2 (as it was)": (tpe(10), percentile(50, 2)),
    **{
        f"TPE, best {kept} % from epoch {first}": (tpe(10), percentile(kept, first))
        for kept in (50, 33, 25, 15)
        for first in (1, 2, 3, 4)
        if (kept, first) != (50, 2)
    },
    **{
        f"TPE, halving from epoch {first}, factor {factor}": (tpe(10), halving(first, factor))
        for first in (1, 2, 3)
        for factor in (2, 3, 4)
    },
    "TPE, Hyperband from epoch 1, factor 3": (tpe(10), hyperband(1, 3)),
    "TPE after 5, best 25 % from epoch 2": (tpe(5), percentile(25, 2)),
    "TPE after 20, best 25 % from epoch 2": (tpe(20), percentile(25, 2)),
    "random, median from epoch 2": (lambda seed: RandomSampler(seed=seed), percentile(50, 2)),
    "random, best 25 % from epoch 2": (lambda seed: RandomSampler(seed=seed), percentile(25, 2)),
    "quasi-random, best 25 % from epoch 2": (lambda seed: QMCSampler(seed=seed, scramble=True), percentile(25, 2)),
    "GP, best 25 % from epoch 2": (
        lambda seed: GPSampler(seed=seed, n_startup_trials=10, deterministic_objective=False),
        percentile(25, 2),
    ),
}


@dataclass(frozen=True)
class Outcome:
    trainings: float  # epochs run, in full trainings
    seconds: float
    other: float  # the value of the found configuration with the other seed
    is_top: bool  # whether it is among the best tenth, by the mean of both seeds


def search(table: Table, way: tuple[MakeSampler, MakePruner], *, seed: int, sampler_seed: int) -> Outcome:
    make_sampler, make_pruner = way
    sampler = FromTable(make_sampler(sampler_seed), table)
    pruner = make_pruner(table.epochs)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    epochs, seconds, found = 0, 0.0, {}
    for _ in range(min(TRIALS, len(table.parameters))):
        trial = study.ask(table.space)
        number, pruned = sampler.chosen, False
        curve = table.curves[seed][number]
        for epoch, score in enumerate(curve):
            trial.report(score, epoch)
            epochs += 1
            seconds += table.seconds[number] / table.epochs
            if epoch < table.epochs - 1 and trial.should_prune():
                pruned = True
                break
        if pruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif curve:
            found[number] = curve[-1]
            study.tell(trial, curve[-1])
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
    best = max(found, key=lambda number: found[number])
    means = table.values.mean(axis=0)
    top = np.argsort(-means)[: max(1, len(means) // 10)]
    return Outcome(epochs / table.epochs, seconds, float(table.values[1 - seed][best]), best in top)


def replay(task: Task, *, times: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = Table(task)
    print(
        f"{task.file.stem}: {len(table.parameters)} configurations; the best by both seeds has "
        f"{table.values.mean(axis=0).max():.4f}, the default one {table.values[:, 0].mean():.4f}"
    )
    print(f"{'':<42}{'trainings':>10}{'minutes':>9}{'value with the other seed':>28}{'misses the best tenth':>23}")
    for name, way in WAYS.items():
        outcomes = [search(table, way, seed=run % 2, sampler_seed=run) for run in range(times)]
        other = np.array([outcome.other for outcome in outcomes])
        print(
            f"{name:<42}{np.mean([outcome.trainings for outcome in outcomes]):>10.1f}"
            f"{np.mean([outcome.seconds for outcome in outcomes]) / 60:>9.1f}"
            f"{other.mean():>20.4f} ± {other.std(ddof=1) / times**0.5:.4f}"
            f"{1 - np.mean([outcome.is_top for outcome in outcomes]):>20.0%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpora", nargs="*", default=["r8"])
    parser.add_argument("--space", choices=["default", "wide"], default="default")
    parser.add_argument("--times", type=int, default=100)
    arguments = parser.parse_args()
    for corpus in arguments.corpora:
        replay(Task(corpus, arguments.space), times=arguments.times)


if __name__ == "__main__":
    main()
