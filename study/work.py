"""One worker's work on a study, in this process: its model, its texts and its device, put into the loop over trials."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch

from preprocessing.prepared import PreparedTexts
from study.configuration import StudyConfiguration
from study.devices import held_device
from study.search import RunTrial, search
from study.storage.attributes import CONFIRMS
from study.storage.studies import checkpoints_of
from study.storage.trial_queue import TrialQueue
from study.trials.artifacts import ArtifactFolder
from study.trials.objective import checkpoint_file, run_trial
from study.trials.repeats import run_confirming_trial


def work(
    queue: TrialQueue,
    configuration: StudyConfiguration,
    prepared: PreparedTexts | None,
    *,
    device: torch.device,
    trials: int,
    deadline: float,
    on_change: Callable[[], None],
    on_event: Callable[[str], None],
) -> None:
    """Run trials of a search or of its confirmation; `on_event` gets a sentence for the user.

    `prepared`: the texts of a search; a confirmation divides them anew.
    """
    checkpoints = checkpoints_of(queue.study, configuration)

    def remove_checkpoint(number: int) -> None:
        with suppress(OSError):  # the next start of the study tries again
            checkpoint_file(checkpoints, number).unlink(missing_ok=True)

    with held_device(device, Path(configuration.cache_dir) / "workers") as held:
        common: dict[str, Any] = {"device": held, "checkpoints": checkpoints, "on_event": on_event}
        if configuration.artifact_dir:
            common["artifacts"] = ArtifactFolder(Path(configuration.artifact_dir), on_event)
        run: RunTrial
        if CONFIRMS in queue.study.user_attrs:
            run = partial(run_confirming_trial, configuration=configuration, **common)
        else:
            assert prepared is not None
            run = partial(
                run_trial,
                base=configuration.base,
                prepared=prepared,
                cache_dir=Path(configuration.cache_dir),
                **common,
            )
        search(
            queue,
            configuration.search_space,
            run,
            trials=trials,
            deadline=deadline,
            on_change=on_change,
            on_trial_end=remove_checkpoint,
            bears_failures=CONFIRMS in queue.study.user_attrs,  # a configuration's repeats have numbers in a row
        )
