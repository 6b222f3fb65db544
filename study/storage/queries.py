"""The trials that a study's parameters are judged from, and what has biased the choice of them."""

from dataclasses import dataclass

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.configuration import StudyConfiguration
from study.search_space import is_configuration
from study.storage.trial_queue import complete_trials


@dataclass(frozen=True)
class TrialSample:
    trials: list[FrozenTrial]  # complete ones of the space, without the default configuration: that one was not sampled
    biases: tuple[str, ...]  # what has biased the choice of them; none for random, unpruned trials

    @property
    def caveat(self) -> str:
        """What figures from a biased sample tell, in a sentence; empty for an unbiased one."""
        if not self.biases:
            return ""
        return (
            f"Taken from the trials that {' and '.join(self.biases)}, it tells where this search has looked, not how "
            "the score depends on a parameter everywhere; a study with --sampler random --pruner none tells that, "
            "with an interval."
        )


def sample_of(study: Study, configuration: StudyConfiguration) -> TrialSample:
    """The trials to judge parameters from. Where they are biased, an interval would promise what they cannot tell."""
    trials = [
        trial
        for trial in complete_trials(study)
        if "fixed_params" not in trial.system_attrs and is_configuration(trial.params, configuration.search_space)
    ]
    pruned = study.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
    biases = [
        *(["TPE chose"] if configuration.sampler == "tpe" else []),
        *(["pruning left"] if pruned else []),
    ]
    return TrialSample(trials, tuple(biases))
