"""A loop as in Optuna's own examples: TPE, the median pruner, one trial after the other, PyTorch's default threads."""

from typing import Any

import optuna
from common import HIDDEN_SIZES, LEARNING_RATES, TRIALS, prepare, train


def main() -> None:
    prepared = prepare()

    def objective(trial: optuna.Trial) -> float:
        parameters: dict[str, Any] = {
            "hidden_size": trial.suggest_int("hidden_size", *HIDDEN_SIZES, log=True),
            "learning_rate": trial.suggest_float("learning_rate", *LEARNING_RATES, log=True),
        }
        best = 0.0
        for epoch, score in enumerate(train(parameters, prepared)):
            best = max(best, score)
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return best

    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0), pruner=optuna.pruners.MedianPruner()
    )
    study.optimize(objective, n_trials=TRIALS)


if __name__ == "__main__":
    main()
