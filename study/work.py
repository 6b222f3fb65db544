"""One worker's work on a study, in this process: its model, its texts and its device, put into the loop over trials."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from preprocessing.prepared import PreparedTexts
from study.configuration import StudyConfiguration
from study.devices import held_device
from study.objective import checkpoint_file, run_trial
from study.search import search
from study.stored_study import checkpoints_of
from study.trial_queue import TrialQueue


def work(
    queue: TrialQueue,
    configuration: StudyConfiguration,
    prepared: PreparedTexts,
    *,
    device: torch.device,
    trials: int,
    deadline: float,
    on_change: Callable[[], None],
    on_event: Callable[[str], None],
) -> None:
    """Run trials as `search` does; `on_event` gets a sentence for the user."""
    checkpoints = checkpoints_of(queue.study, configuration)

    def remove_checkpoint(number: int) -> None:
        with suppress(OSError):  # the next start of the study tries again
            checkpoint_file(checkpoints, number).unlink(missing_ok=True)

    with held_device(device, Path(configuration.cache_dir) / "workers") as held:
        search(
            queue,
            configuration.search_space,
            partial(
                run_trial,
                base=configuration.base,
                prepared=prepared,
                device=held,
                checkpoints=checkpoints,
                on_event=on_event,
            ),
            trials=trials,
            deadline=deadline,
            on_change=on_change,
            on_trial_end=remove_checkpoint,
        )
