"""Optuna's samplers and pruners, as studies use them."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from models.training.config import TrainingConfig
from study.choices import PrunerName, SamplerName
from study.configuration import StudyConfig

RANDOM_TRIALS_BEFORE_TPE = 10
PRUNING_RULE = 5  # the version of what `make_pruner` makes
KEPT_PERCENT = {1: 50, 2: 50, 3: 50, 4: 100 / 3, 5: 25}  # by version: of the complete trials, those that set the bar
UNPRUNED_TRIALS = 3  # complete trials, before any is pruned
JUDGED_AFTER = 7  # a trial may be pruned for the first time after this part of its epochs, a seventh, rounded up


class SeededPerTrialSampler(BaseSampler):
    """A wrapper that makes a new sampler for each trial, seeded by the study's seed and the trial's number.

    A sampler with one seed for the whole study would draw the same points again after a restart. After an interruption
    between two parameters, the first one's random numbers are drawn again before the second parameter is.
    """

    def __init__(self, make_sampler: Callable[[int], BaseSampler], *, seed: int) -> None:
        self._make_sampler = make_sampler
        self.on_start: Callable[[FrozenTrial], None] | None = None  # called before a trial's parameters are drawn
        self._seed = seed
        self._sampler = make_sampler(seed)
        self._drawn: set[str] = set()  # the trial's parameters that were drawn so far

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if self.on_start:
            self.on_start(trial)
        seed = np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]
        self._sampler = self._make_sampler(int(seed))
        self._drawn = set(trial.system_attrs.get("fixed_params", {}))  # those were given, not drawn
        self._sampler.before_trial(study, trial)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        together = self._sampler.sample_relative(study, trial, search_space)
        self._drawn |= together.keys()
        return together

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        for name, distribution in trial.distributions.items():
            if name not in self._drawn:
                self._drawn.add(name)
                self._sampler.sample_independent(study, trial, name, distribution)
        self._drawn.add(param_name)
        return self._sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._sampler.after_trial(study, trial, state, values)


def make_sampler(name: SamplerName, *, seed: int) -> BaseSampler:
    makers: dict[SamplerName, Callable[[int], BaseSampler]] = {
        "random": lambda trial_seed: RandomSampler(seed=trial_seed),
        "tpe": lambda trial_seed: TPESampler(
            n_startup_trials=RANDOM_TRIALS_BEFORE_TPE, multivariate=True, constant_liar=True, seed=trial_seed
        ),
    }
    return SeededPerTrialSampler(makers[name], seed=seed)


class LastValuePruner(BasePruner):
    """A wrapper that shows a pruner only a trial's last reported value, which would be its value if it ended now.

    Optuna's pruners judge a trial by the best of all its steps. Early epochs do not count for a trial's value, so a
    lucky one must not protect it from pruning either.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        if (step := trial.last_step) is None:
            return False
        shown = copy.copy(trial)
        shown.intermediate_values = {step: trial.intermediate_values[step]}
        return self._pruner.prune(study, shown)


def make_pruner(name: PrunerName, training: TrainingConfig) -> BasePruner:
    """`percentile` prunes a trial whose present value is below the best quarter of the complete trials' at its epoch.

    `benchmarks/search/search_replay.py` compares it with others, docs/benchmarks.md has the result.
    """
    if name == "none":
        return NopPruner()
    return LastValuePruner(
        PercentilePruner(
            KEPT_PERCENT[PRUNING_RULE],
            n_startup_trials=UNPRUNED_TRIALS,
            n_warmup_steps=_first_judged_epoch(training) - 1,
            n_min_trials=UNPRUNED_TRIALS,  # at the same epoch, to which others may not have come
        )
    )


def score_to_reach(complete: Sequence[float], rule: int) -> float:
    """The score below which a trial was pruned under this version of the rule, if these were complete."""
    return float(np.percentile(complete, 100 - KEPT_PERCENT.get(rule, KEPT_PERCENT[PRUNING_RULE])))


def may_prune(configuration: StudyConfig) -> bool:
    """Whether a trial can be pruned after some epoch: neither a first one that says too little nor the last."""
    training = configuration.base.training
    return configuration.pruner != "none" and training.epochs > _first_judged_epoch(training)


def _first_judged_epoch(training: TrainingConfig) -> int:
    """The first epoch, from 1, after which a trial may be pruned."""
    return math.ceil(training.epochs / JUDGED_AFTER)
