"""A search from beginning to end: prepare the texts, open the study, run the workers, print the result."""

import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from models.precision import Precision
from models.registry import make_learner
from study.configuration import StudyConfig
from study.errors import StudyError
from study.formatting import describe_search, plural, safe_url
from study.storage.connection import STORAGE_ERRORS, parse_url, sqlite_file
from study.storage.dashboard import browse_command
from study.storage.queries import finished_trials
from study.storage.studies import check_name, load_configuration, opened_study
from study.storage.trial_queue import TrialQueue
from study.trials.precision import measured_precision
from study.trials.texts import prepare_texts, with_encoder
from study.workers.deployment import Deployment
from study.workers.devices import find_study_device
from study.workers.display import summarize


def search_study(
    configuration: StudyConfig,
    name: str,
    url: str,
    *,
    trials: int,
    timeout: float | None,
    workers: int | None,
    cluster: str | None,
    console: Console,
) -> None:
    """Search until `trials` have finished in all.

    `cluster` is the address of a Dask scheduler, on whose machines the workers run. Raises `UserError`, also when
    workers fail; `Interrupted` when it is asked to end.
    """
    start = time.monotonic()
    if sqlite_file(parse_url(url)) is not None and cluster is not None:
        raise StudyError("SQLite is a file of one machine; --cluster needs --storage postgresql:// for all of them.")
    check_name(name)
    # On a cluster, the nodes choose their own devices.
    device = find_study_device(configuration.device) if cluster is None else torch.device("cpu")
    configuration = with_encoder(configuration, console)
    prepared = prepare_texts(configuration, console, device=device)

    def measure_precision() -> Precision:
        if cluster is not None:
            return "auto"
        learner = make_learner(configuration.base, prepared, Path(configuration.cache_dir), device)
        precision, ratio = measured_precision(learner)
        if precision != "auto":
            console.print(f"Precision: {precision}; bfloat16 is {ratio:.1f} times as fast as float32 here.")
        return precision

    with opened_study(url, name, configuration, device=device, trials=trials, measure_precision=measure_precision) as (
        queue,
        notes,
    ):
        configuration = load_configuration(queue.study)
        for note in notes:
            console.print(f"Note: {note}")
        finished = len(finished_trials(queue.study))
        console.print(f"Study: {name} in {safe_url(url)}; {plural(finished, 'trial')} finished, {trials} asked for.")
        with ExitStack() as stack:
            stack.callback(partial(_summarize, queue, configuration, url, console, start))
            if finished >= trials:
                console.print(f"Nothing to do; --trials {finished + 30} would add 30.")
                return
            console.print(describe_search(configuration))
            deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
            deployment = Deployment(queue, configuration, prepared, url, trials, deadline, console)
            deployment.run(workers, cluster, device)


def _summarize(queue: TrialQueue, configuration: StudyConfig, url: str, console: Console, start: float) -> None:
    """Print the result, also after an interruption or a failure; a database error here must not hide the cause."""
    with suppress(*STORAGE_ERRORS):
        for line in summarize(queue.study, configuration, seconds=time.monotonic() - start):
            console.print(line)
    console.print(f"Browse: {browse_command(url, configuration.artifact_dir)}")
