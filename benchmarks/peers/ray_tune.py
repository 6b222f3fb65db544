"""Ray Tune: ASHA over Optuna's TPE, two trials at a time, a core each."""

from typing import Any

import torch
from common import EPOCHS, HIDDEN_SIZES, LEARNING_RATES, TRIALS, prepare, train
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch


def objective(parameters: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    for score in train(parameters, prepare()):
        tune.report({"macro_f1": score})


def main() -> None:
    prepare()  # once, into the cache
    tuner = tune.Tuner(
        tune.with_resources(objective, {"cpu": 1}),
        param_space={
            "hidden_size": tune.lograndint(*HIDDEN_SIZES),
            "learning_rate": tune.loguniform(*LEARNING_RATES),
        },
        tune_config=tune.TuneConfig(
            metric="macro_f1",
            mode="max",
            num_samples=TRIALS,
            max_concurrent_trials=2,
            search_alg=OptunaSearch(metric="macro_f1", mode="max", seed=0),
            scheduler=ASHAScheduler(max_t=EPOCHS),
        ),
    )
    tuner.fit()


if __name__ == "__main__":
    main()
