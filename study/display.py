"""What a running search shows: a live display on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any

import torch
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from models.training import EpochResult
from study.configuration import StudyConfiguration
from study.search_space import describe

METRIC_TITLES = {"macro_f1": "macro-F1", "accuracy": "accuracy"}


class SearchDisplay:
    """Shows the trials as they run; a context manager, since the live display must be taken down again."""

    def __init__(self, console: Console, study: Study, *, trials: int, finished: int, epochs: int, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._counts = {state: len(study.get_trials(deepcopy=False, states=(state,))) for state in TrialState}
        self._best = _describe_best(study)
        self._parameters = ""
        self._start, self._finished_before = time.monotonic(), finished
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}")
        )
        self._all = self._bars.add_task("trials", total=trials, completed=finished, note="")
        self._current = self._bars.add_task("epochs", total=epochs, note="")
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)

    def __enter__(self) -> "SearchDisplay":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def trial_started(self, trial: Trial) -> None:
        self._parameters = f"trial {trial.number}: {format_parameters(trial.params)}"
        self._bars.update(self._current, completed=0, note="")

    def epoch_ended(self, result: EpochResult) -> None:
        note = f"· {METRIC_TITLES[self._metric]} {getattr(result, self._metric):.4f} in this epoch"
        self._bars.update(self._current, completed=result.epoch + 1, note=note)

    def trial_ended(self, study: Study, trial: FrozenTrial) -> None:
        self._counts[trial.state] += 1
        self._best = _describe_best(study)
        self._bars.update(self._current, completed=0, note="")
        self._bars.advance(self._all)
        self._console.print(Text(describe_trial(trial)), soft_wrap=True)

    def _render(self) -> RenderableType:
        counts = self._counts
        ended = f"· {counts[TrialState.PRUNED]} pruned, {counts[TrialState.FAIL]} failed"
        self._bars.update(self._all, note=f"{ended}{self._time_left()}")
        running = Text(self._parameters, overflow="ellipsis", no_wrap=True)
        best = Text(self._best, style="bold", overflow="ellipsis", no_wrap=True)
        return Group(self._bars, running, best)

    def _time_left(self) -> str:
        every, current = self._bars.tasks[self._all], self._bars.tasks[self._current]
        done = every.completed + current.completed / (current.total or 1)  # trials, with the part of the current one
        if every.completed == self._finished_before or not every.total:
            return ""
        seconds = (time.monotonic() - self._start) / (done - self._finished_before) * (every.total - done)
        return f", about {format_seconds(seconds)} left"


def best_trial(study: Study) -> FrozenTrial | None:
    """The complete trial with the highest value, the earliest of equals."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return max(complete, key=lambda trial: (trial.value or 0.0, -trial.number), default=None)


def describe_trial(trial: FrozenTrial) -> str:
    """One line that fits a log: number, state, value, effort and parameters."""
    value = "     -" if trial.value is None else f"{trial.value:.4f}"
    epochs, seconds = trial.user_attrs.get("epochs", 0), trial.user_attrs.get("seconds", 0.0)
    effort = f"{epochs:>3} {'epoch ' if epochs == 1 else 'epochs'}  {seconds:>6.1f} s"
    line = (
        f"trial {trial.number:>3}  {trial.state.name.lower():<8}  {value}  {effort}  {format_parameters(trial.params)}"
    )
    return f"{line}  {trial.user_attrs.get('failure', '')}".rstrip()


def format_parameters(parameters: dict[str, Any]) -> str:
    return "  ".join(
        f"{name}={value:.3g}" if isinstance(value, float) else f"{name}={value}" for name, value in parameters.items()
    )


def format_seconds(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def describe_search(configuration: StudyConfiguration, device: torch.device) -> str:
    """What is searched, for what, and on what."""
    ranges = ", ".join(f"{name} {range_}" for name, range_ in describe(configuration.search_space).items())
    threads = ", 1 thread" if device.type == "cpu" else ""
    return f"Search: highest validation {METRIC_TITLES[configuration.metric]} over {ranges}; on {device}{threads}."


def summarize(study: Study, *, epochs: int, metric: str, seconds: float) -> list[str]:
    """What a search has found and what it has cost, a sentence a line."""
    trials = study.get_trials(deepcopy=False)
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    complete, pruned, failed = (counts[state] for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    other = next(name for name in METRIC_TITLES if name != metric)
    lines = ["No trial is complete yet, so there is no best one."]
    if best := best_trial(study):
        lines = [
            f"Best: trial {best.number}, validation {METRIC_TITLES[metric]} {best.value:.4f} ({METRIC_TITLES[other]} "
            f"{best.user_attrs[other]:.4f}) after epoch {best.user_attrs['best_epoch'] + 1}: "
            f"{format_parameters(best.params)}"
        ]
    lines.append(
        f"Finished: {complete + pruned + failed} ({complete} complete, {pruned} pruned, {failed} failed); "
        f"this run took {format_seconds(seconds)}."
    )
    if pruned:
        saved = sum(epochs - trial.user_attrs["epochs"] for trial in trials if trial.state == TrialState.PRUNED)
        run = sum(trial.user_attrs.get("epochs", 0) for trial in trials)
        lines.append(f"Pruning saved up to {saved} epochs; {run} were run.")
    return lines


def _describe_best(study: Study) -> str:
    if (best := best_trial(study)) is None:
        return ""
    return f"best   {best.value:.4f} in trial {best.number}: {format_parameters(best.params)}"
