"""How many full trainings a search needs, and what it finds: samplers and pruners on tables of learning curves.

    python benchmarks/search/search_replay.py r8 r52 20ng:3000               # every way of searching, 100 times each

The tables are those of `learning_curves.py`. A replay searches with one of the two seeds: whatever the sampler
suggests, the nearest configuration of the table that was not tried is run, and its curve reported, epoch by epoch.
Its cost is the number of epochs run, in full trainings; the value of the configuration that it finds is that on
the other seed.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import optuna
import torch
from learning_curves import SEEDS, Task, read
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from search_ways import TRIALS, WAYS, Way

from models.training.config import TrainingConfig
from models.training.optimizer import WARM_UP_SHARES
from models.training.trainer import EpochResult, best_epoch
from study.analysis.surrogate import encode


class Table:
    """The curves of configurations that were trained with both seeds, as a search would see them."""

    def __init__(self, task: Task, configurations: int | None = None) -> None:
        rows = {(row["number"], row["seed"]): row for row in read(task)}
        rows = {key: row for key, row in rows.items() if configurations is None or key[0] < configurations}
        self.numbers = sorted(number for number, seed in rows if seed == SEEDS[0] and (number, SEEDS[1]) in rows)
        assert self.numbers[0] == 0, "the default configuration is missing"
        self.space = task.ranges
        self.parameters = [task.parameters(number) for number in self.numbers]
        self.points = encode(self.parameters, self.space)
        self.epochs = rows[0, SEEDS[0]]["epochs"]
        self.training = TrainingConfig(epochs=self.epochs, schedule=task.schedule)
        self.seconds = [sum(rows[number, SEEDS[0]]["seconds"]) for number in self.numbers]
        self.curves = [[self._reported(rows[number, seed]["macro_f1"]) for number in self.numbers] for seed in SEEDS]
        self.values = np.array([[curve[-1] if curve else 0.0 for curve in curves] for curves in self.curves])
        means = self.values.mean(axis=0)
        self.top = set(np.argsort(-means)[: max(1, len(means) // 10)].tolist())

    def _reported(self, scores: Sequence[float]) -> list[float]:
        """What a trial reports after each epoch: the value that it would have if it ended there."""
        results = [EpochResult(epoch, 0, 0, score, score, 0, torch.empty(0)) for epoch, score in enumerate(scores)]
        return [best_epoch(results[: end + 1], self.training).macro_f1 for end in range(len(results))]


class FromTable(BaseSampler):
    """A sampler whose suggestions are moved to the nearest configuration of the table that was not tried."""

    def __init__(self, sampler: BaseSampler, table: Table) -> None:
        self.sampler, self.table = sampler, table
        self.left = set(range(1, len(table.numbers)))
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


SHORT_FIRST = (5, 10)  # how many of the best of short trainings are trained in full


@dataclass(frozen=True)
class Outcome:
    trainings: float  # epochs run, in full trainings
    seconds: float  # of a processor
    values: dict[int, float]  # of the complete trials, by the row of the table

    @property
    def best(self) -> int:
        return max(self.values, key=lambda row: self.values[row])


def search(table: Table, way: Way, *, seed: int, sampler_seed: int) -> Outcome:
    sampler = FromTable(way.make_sampler(sampler_seed), table)
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=way.make_pruner(table.training))
    epochs, seconds, values, best = 0, 0.0, {}, 0
    for number in range(min(TRIALS, len(table.numbers))):
        if number - best > way.patience:
            break
        trial = study.ask(table.space)
        row, pruned = sampler.chosen, False
        curve = table.curves[seed][row]
        for epoch, score in enumerate(curve):
            trial.report(score, epoch)
            epochs += 1
            seconds += table.seconds[row] / table.epochs
            if epoch < table.epochs - 1 and trial.should_prune():
                pruned = True
                break
        if pruned:
            study.tell(trial, state=TrialState.PRUNED)
        elif curve:
            best = number if curve[-1] > max(values.values(), default=0) else best
            values[row] = curve[-1]
            study.tell(trial, curve[-1])
        else:  # it has diverged
            study.tell(trial, state=TrialState.FAIL)
    return Outcome(epochs / table.epochs, seconds, values)


def search_short_first(table: Table, short: Table, kept: int, *, seed: int, sampler_seed: int) -> Outcome:
    """Every trial with a short schedule, then the best of them with the full one."""
    first = search(short, WAYS["TPE, no pruner"], seed=seed, sampler_seed=sampler_seed)
    numbers = [short.numbers[row] for row in sorted(first.values, key=lambda row: -first.values[row])]
    rows = [table.numbers.index(number) for number in numbers if number in table.numbers][:kept]
    trainings = first.trainings * short.epochs / table.epochs + len(rows)
    seconds = first.seconds + sum(table.seconds[row] for row in rows)
    return Outcome(trainings, seconds, {row: float(table.values[seed][row]) for row in rows})


def replay(task: Task, arguments: argparse.Namespace) -> None:
    table, times = Table(task, arguments.configurations), arguments.times
    searches = {name: partial(search, table, way) for name, way in WAYS.items()}
    for epochs in range(1, table.epochs):
        if read(shorter := replace(task, epochs=epochs)):
            searches |= {
                f"{epochs} epochs first, then the best {kept}": partial(search_short_first, table, Table(shorter), kept)
                for kept in SHORT_FIRST
            }
    best, default = table.values.mean(axis=0).max(), table.values[:, 0].mean()
    print(
        f"{task.file.stem}: {len(table.numbers)} configurations of {table.epochs} epochs; by the mean of both seeds, "
        f"the best one has {best:.4f}, the default one {default:.4f}"
    )
    print(f"{'':<48}{'trainings':>10}{'minutes':>9}{'value, other seed':>21}{'misses the best tenth':>23}")
    for name, run in searches.items():
        if arguments.only not in name:
            continue
        outcomes = [run(seed=number % 2, sampler_seed=number) for number in range(times)]
        others = np.array([table.values[1 - number % 2][outcome.best] for number, outcome in enumerate(outcomes)])
        print(
            f"{name:<48}{np.mean([outcome.trainings for outcome in outcomes]):>10.1f}"
            f"{np.mean([outcome.seconds for outcome in outcomes]) / 60:>9.1f}"
            f"{others.mean():>13.4f} ± {others.std(ddof=1) / times**0.5:.4f}"
            f"{np.mean([outcome.best not in table.top for outcome in outcomes]):>20.0%}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("corpora", nargs="*", default=["r8"])
    parser.add_argument("--space", choices=["default", "wide"], default="default")
    parser.add_argument("--schedule", choices=list(WARM_UP_SHARES), default="linear")
    parser.add_argument("--no-bag-of-words", action="store_true", help="the tables of the network without it")
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--only", default="", help="ways of searching whose names contain this")
    parser.add_argument("--configurations", type=int, help="only the first so many of a table")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for corpus in arguments.corpora:
        bag_of_words = not arguments.no_bag_of_words
        replay(Task(corpus, arguments.space, schedule=arguments.schedule, bag_of_words=bag_of_words), arguments)


if __name__ == "__main__":
    main()
