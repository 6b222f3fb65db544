"""A search from beginning to end: prepare the texts, open the study, put workers to it, tell what they found."""

import shlex
import time
from functools import partial
from pathlib import Path

import torch
from rich.console import Console

from preprocessing.prepared import PreparedTexts
from study.command_line import STORAGE_VARIABLE
from study.configuration import StudyConfiguration
from study.devices import default_workers, find_study_device, held_device
from study.display import SearchDisplay, describe_search, summarize
from study.objective import make_objective
from study.preparation import prepare_texts
from study.search import search
from study.storage import parse_url, safe_url
from study.stored_study import check_name, opened_study
from study.supervision import LocalWorker, supervise
from study.trial_queue import TrialQueue, finished_trials


def search_study(
    configuration: StudyConfiguration,
    name: str,
    url: str,
    *,
    trials: int,
    timeout: float | None,
    workers: int | None,
    console: Console,
) -> None:
    """Go on until `trials` have finished in all. One worker is this process itself, several are processes of their own.

    Raises `UserError`, also when workers fail; `Interrupted` when it is asked to end.
    """
    start = time.monotonic()
    parse_url(url)
    check_name(name)
    device = find_study_device(configuration.device)
    prepared = prepare_texts(configuration, console)
    epochs, metric = configuration.base.training.epochs, configuration.metric
    with opened_study(url, name, configuration, device=device, trials=trials) as (queue, notes):
        for note in notes:
            console.print(f"Note: {note}")
        finished = len(finished_trials(queue.study))
        console.print(f"Study: {name} in {safe_url(url)}; {finished} trials finished, {trials} asked for.")
        try:
            if finished >= trials:
                console.print(f"Nothing to do; --trials {finished + 30} would add 30.")
                return
            count = min(workers or default_workers(device), trials - finished)
            console.print(describe_search(configuration))
            console.print(f"Workers: {count} on {device.type}.")
            with SearchDisplay(console, queue.study, trials=trials, epochs=epochs, metric=metric) as display:
                if count == 1:
                    _search_here(queue, configuration, prepared, device, trials, timeout, console, display)
                else:
                    _search_with_workers(queue, url, prepared, count, trials, timeout, console, display)
        finally:
            for line in summarize(queue.study, epochs=epochs, metric=metric, seconds=time.monotonic() - start):
                console.print(line)
            console.print(f"Browse: optuna-dashboard {shlex.quote(safe_url(url))}")


def _search_here(
    queue: TrialQueue,
    configuration: StudyConfiguration,
    prepared: PreparedTexts,
    device: torch.device,
    trials: int,
    timeout: float | None,
    console: Console,
    display: SearchDisplay,
) -> None:
    with held_device(device, Path(configuration.cache_dir) / "workers") as held:
        objective = make_objective(queue.study, configuration, prepared, device=held, on_event=console.print)
        space = configuration.search_space
        search(queue, space, objective, trials=trials, timeout=timeout, on_change=display.update)


def _search_with_workers(
    queue: TrialQueue,
    url: str,
    prepared: PreparedTexts,
    count: int,
    trials: int,
    timeout: float | None,
    console: Console,
    display: SearchDisplay,
) -> None:
    deadline = None if timeout is None else time.monotonic() + timeout

    def start(number: int) -> LocalWorker:
        arguments = ["--name", queue.study.study_name, "--trials", str(trials)]
        arguments += ["--prepared", str(prepared.entry.folder)]
        if deadline is not None:
            arguments += ["--timeout", str(max(deadline - time.monotonic(), 0.001))]
        return LocalWorker(number, arguments, {STORAGE_VARIABLE: url})

    supervise(
        queue,
        start,
        workers=count,
        trials=trials,
        on_change=display.update,
        on_event=partial(console.print, soft_wrap=True),
    )
