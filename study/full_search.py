"""A search from beginning to end: prepare the texts, open the study, put workers to it, tell what they found."""

import shlex
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial

import torch
from rich.console import Console

from preprocessing.prepared import PreparedTexts
from study.command_line import DATA_VARIABLE, STORAGE_VARIABLE
from study.configuration import StudyConfiguration
from study.devices import default_workers, find_study_device
from study.display import SearchDisplay, describe_search, summarize
from study.errors import StudyError
from study.preparation import prepare_texts
from study.storage import STORAGE_ERRORS, parse_url, safe_url, sqlite_file
from study.stored_study import check_name, opened_study
from study.supervision import LocalWorker, Worker, supervise
from study.trial_queue import TrialQueue, finished_trials
from study.work import work


def search_study(
    configuration: StudyConfiguration,
    name: str,
    url: str,
    *,
    trials: int,
    timeout: float | None,
    workers: int | None,
    cluster: str | None,
    console: Console,
) -> None:
    """Go on until `trials` have finished in all. One worker is this process itself, several are processes of their own.

    `cluster` is the address of a Dask scheduler, on whose machines they run. Raises `UserError`, also when workers
    fail; `Interrupted` when it is asked to end.
    """
    start = time.monotonic()
    if sqlite_file(parse_url(url)) is not None and cluster is not None:
        raise StudyError("SQLite is a file of one machine; --cluster needs --storage postgresql:// for all of them.")
    check_name(name)
    device = find_study_device(configuration.device) if cluster is None else torch.device("cpu")  # the nodes' own
    prepared = prepare_texts(configuration, console)
    epochs, metric = configuration.base.training.epochs, configuration.metric
    with opened_study(url, name, configuration, device=device, trials=trials) as (queue, notes):
        for note in notes:
            console.print(f"Note: {note}")
        finished = len(finished_trials(queue.study))
        console.print(f"Study: {name} in {safe_url(url)}; {finished} trials finished, {trials} asked for.")
        display = SearchDisplay(console, queue.study, trials=trials, epochs=epochs, metric=metric)
        deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
        run = _Run(queue, configuration, prepared, url, trials, deadline, trials - finished, console, display)
        with ExitStack() as stack:
            stack.callback(partial(_summarize, queue, configuration, url, console, start))
            if finished >= trials:
                console.print(f"Nothing to do; --trials {finished + 30} would add 30.")
                return
            console.print(describe_search(configuration))
            if cluster is not None:
                run.on_cluster(cluster, workers)
            elif (count := min(workers or default_workers(device), trials - finished)) > 1:
                run.with_workers(count, device)
            else:
                run.here(device)


def _summarize(queue: TrialQueue, configuration: StudyConfiguration, url: str, console: Console, start: float) -> None:
    """Also after an interruption or a failure, which must not be hidden by one of the database here."""
    epochs, metric = configuration.base.training.epochs, configuration.metric
    with suppress(*STORAGE_ERRORS):
        for line in summarize(queue.study, epochs=epochs, metric=metric, seconds=time.monotonic() - start):
            console.print(line)
    console.print(f"Browse: optuna-dashboard {shlex.quote(safe_url(url))}")


@dataclass(frozen=True)
class _Run:
    """The three ways to put workers to a study."""

    queue: TrialQueue
    configuration: StudyConfiguration
    prepared: PreparedTexts
    url: str
    trials: int
    deadline: float  # on the monotonic clock: no new trial begins after it
    missing: int  # trials, at the start
    console: Console
    display: SearchDisplay

    def here(self, device: torch.device) -> None:
        """One worker: this process."""
        self.console.print(f"Workers: 1 on {device.type}.")
        with self.display as display:
            work(
                self.queue,
                self.configuration,
                self.prepared,
                device=device,
                trials=self.trials,
                deadline=self.deadline,
                on_change=display.update,
                on_event=partial(self.console.print, "Note:"),
            )

    def with_workers(self, count: int, device: torch.device) -> None:
        """Processes on this machine."""
        self.console.print(f"Workers: {count} on {device.type}.")
        paths = ["--prepared", str(self.prepared.entry.folder), "--cache-dir", self.configuration.cache_dir]
        environment = {STORAGE_VARIABLE: self.url, DATA_VARIABLE: ""}  # which is for workers that someone else starts
        self._supervise(count, lambda number: LocalWorker(number, [*self._arguments(), *paths], environment))

    def on_cluster(self, address: str, workers: int | None) -> None:
        """Processes on the machines of a Dask cluster."""
        try:
            from study import cluster
        except ImportError:
            raise StudyError("--cluster needs Dask: pip install -e '.[cluster]'.") from None
        with cluster.connected(address) as client:
            count = min(workers or cluster.default_workers(client), self.missing)
            self.console.print(f"Workers: {count} on the cluster {address}.")
            self._supervise(
                count, lambda number: cluster.ClusterWorker(client, number, self._arguments(), self.url), alike=False
            )

    def _supervise(self, count: int, start_worker: Callable[[int], Worker], *, alike: bool = True) -> None:
        with self.display as display:
            supervise(
                self.queue,
                start_worker,
                workers=count,
                trials=self.trials,
                alike=alike,
                on_change=display.update,
                on_event=self.console.print,
            )

    def _arguments(self) -> list[str]:
        arguments = ["--name", self.queue.study.study_name, "--trials", str(self.trials)]
        if self.deadline < float("inf"):
            arguments += ["--timeout", str(max(self.deadline - time.monotonic(), 0.001))]
        return arguments
