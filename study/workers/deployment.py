"""Runs a study's trials in this process, in processes on this machine, or in tasks on a Dask cluster."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import joblib
import torch
from rich.console import Console

from preprocessing.prepared import PreparedTexts
from study.command_line import BERT_MODEL_VARIABLE, DATA_VARIABLE, STORAGE_VARIABLE, VECTORS_VARIABLE
from study.configuration import StudyConfig
from study.errors import StudyError
from study.formatting import plural
from study.storage.attributes import CONFIRMS
from study.storage.queries import finished_trials
from study.storage.trial_queue import TrialQueue
from study.workers.devices import default_workers
from study.workers.display import SearchDisplay
from study.workers.loop import run_worker
from study.workers.supervision import LocalWorker, Team, Worker


@dataclass(frozen=True)
class Deployment:
    """The trials to run, and the three ways to run them."""

    queue: TrialQueue
    configuration: StudyConfig
    prepared: PreparedTexts | None  # of the search; a confirmation has a split per repeat
    url: str
    trials: int | None  # in all; None: those that wait, until the workers are stopped
    deadline: float  # on the monotonic clock: no new trial starts after it
    console: Console

    def run(self, workers: int | None, cluster: str | None, device: torch.device) -> None:
        """Run the trials: one worker in this process, several as processes, or on the cluster if there is one.

        Raises `UserError`, also when workers fail; `Interrupted` when it is asked to end.
        """
        assert self.trials is not None
        missing = self.trials - len(finished_trials(self.queue.study))
        if cluster is not None:
            self._run_on_cluster(cluster, workers, missing)
        elif (count := min(workers or self.default_workers(device, missing), missing)) > 1:
            self.console.print(f"Workers: {count} on {device.type}.")
            self._run_team(self.local_team(), count)
        else:
            self.run_here(device)

    def default_workers(self, device: torch.device, missing: int) -> int:
        """The number of workers on this machine; a note says when there is too little memory for more."""
        workers = default_workers(device, are_small=self.configuration.base.pretrained is None)
        if device.type == "cpu" and workers < min(joblib.cpu_count(), missing):
            self.console.print(f"Note: the free memory is enough for {plural(workers, 'worker')}; --workers sets more.")
        return workers

    def run_here(self, device: torch.device) -> None:
        """Run the trials in this process."""
        self.console.print(f"Workers: 1 on {device.type}.")
        with self.display() as display:
            run_worker(
                self.queue,
                self.configuration,
                self.prepared,
                device=device,
                trials=self.trials,
                deadline=self.deadline,
                on_change=display.update,
                on_event=partial(self.console.print, "Note:"),
            )

    def local_team(self) -> Team:
        """A team of processes on this machine, none of which has started yet."""
        paths = ["--cache-dir", self.configuration.cache_dir]
        if self.configuration.artifact_dir:
            paths += ["--artifact-dir", self.configuration.artifact_dir]
        if self.prepared:
            paths += ["--prepared", str(self.prepared.entry.folder)]
        elsewhere = (DATA_VARIABLE, VECTORS_VARIABLE, BERT_MODEL_VARIABLE)  # for workers on other machines
        environment = {STORAGE_VARIABLE: self.url, **dict.fromkeys(elsewhere, "")}
        return self._team(lambda number: LocalWorker(number, [*self._arguments(), *paths], environment))

    def _run_on_cluster(self, address: str, workers: int | None, missing: int) -> None:
        try:
            from study.workers import cluster
        except ImportError:
            raise StudyError("--cluster needs Dask: pip install -c constraints.txt -e '.[cluster]'.") from None
        with cluster.connected(address) as client:
            count = min(workers or cluster.default_workers(client), missing)
            self.console.print(f"Workers: {count} on the cluster {address}.")
            team = self._team(
                lambda number: cluster.ClusterWorker(client, number, self._arguments(), self.url), homogeneous=False
            )
            self._run_team(team, count)

    def _team(self, start_worker: Callable[[int], Worker], *, homogeneous: bool = True) -> Team:
        return Team(self.queue, start_worker, trials=self.trials, homogeneous=homogeneous, on_event=self.console.print)

    def _run_team(self, team: Team, count: int) -> None:
        with self.display() as display, team:
            team.grow(count)
            while team.watch():
                display.update()
            display.update()

    def display(self) -> SearchDisplay:
        """The display of the trials."""
        study = self.queue.study
        noun = "training" if CONFIRMS in study.user_attrs else "trial"  # trial numbers are the search's
        return SearchDisplay(self.console, study, self.configuration, trials=self.trials or 0, noun=noun)

    def _arguments(self) -> list[str]:
        arguments = ["--name", self.queue.study.study_name]
        if self.trials is not None:
            arguments += ["--trials", str(self.trials)]
        if self.deadline < float("inf"):
            arguments += ["--timeout", str(max(self.deadline - time.monotonic(), 0.001))]
        return arguments
