"""The display of a running search: live on a terminal, plain lines elsewhere."""

import time
from collections import Counter
from types import TracebackType

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from study.configuration import FIRST_REFIT, StudyConfig
from study.formatting import METRIC_TITLES, format_parameters, format_seconds
from study.storage.attributes import FAILURE, REPEAT, WITHDRAWN, WORKER
from study.storage.queries import FINISHED, best_of, best_trial, epochs_of, seconds_of
from study.trials.repeats import FIRST_CONFIRMING

TRIALS_BEFORE_TIME_LEFT = 3  # with fewer, the estimate jumps


class SearchDisplay:
    """Shows the trials of all workers, read from the storage; a context manager, since a live display must end."""

    def __init__(
        self, console: Console, study: Study, configuration: StudyConfig, *, trials: int, noun: str = "trial"
    ) -> None:
        self._console, self._noun = console, noun
        self._study = study
        self._epochs, self._space = configuration.base.training.epochs, configuration.search_space
        self._shown = {trial.number for trial in study.get_trials(deepcopy=False, states=FINISHED)}
        self._start, self._finished_before = time.monotonic(), len(self._shown)
        self._ended, self._best = "", ""
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            expand=True,
        )
        self.trials = trials  # in all; may grow
        self._all = self._bars.add_task(f"{noun}s", total=trials, completed=len(self._shown), note="")
        self._rows: dict[int, TaskID] = {}  # by trial number
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4)

    def __enter__(self) -> "SearchDisplay":
        self.update()
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self) -> None:
        """Read the storage: a line for each trial that has ended since, a bar for each running trial."""
        trials = self._study.get_trials(deepcopy=False)
        ended = [trial for trial in trials if trial.state in FINISHED]
        for trial in sorted(ended, key=lambda trial: (trial.datetime_complete, trial.number)):
            if trial.number not in self._shown:
                self._shown.add(trial.number)
                self._console.print(Text(describe_trial(trial, self._noun)), soft_wrap=True)
        running = {trial.number: trial for trial in trials if trial.state == TrialState.RUNNING}
        for number in self._rows.keys() - running.keys():
            self._bars.remove_task(self._rows.pop(number))
        for number, trial in running.items():
            if number not in self._rows:
                self._rows[number] = self._bars.add_task(f"{self._noun} {number}", total=self._epochs, note="")
            best = "" if trial.last_step is None else f"{trial.intermediate_values[trial.last_step]:.4f}  "
            self._bars.update(
                self._rows[number],
                completed=0 if trial.last_step is None else trial.last_step + 1,
                note=f"{best}{format_parameters(trial.params)}",
            )
        states = Counter(trial.state for trial in ended if WITHDRAWN not in trial.user_attrs)
        self._ended = f"{states[TrialState.PRUNED]} pruned, {states[TrialState.FAIL]} failed"
        self._best = _describe_best(best_of(filter(_is_validated, ended), self._space), self._noun)
        self._bars.update(self._all, completed=len(ended), total=self.trials)

    def _render(self) -> RenderableType:
        every = self._bars.tasks[0]
        waiting = "" if self._rows else ", finishing" if every.completed == every.total else ", starting"
        self._bars.update(self._all, note=f"{self._ended}{waiting}{self._time_left()}")
        return Group(self._bars, Text(self._best, style="bold", overflow="ellipsis", no_wrap=True))

    def _time_left(self) -> str:
        every = self._bars.tasks[0]
        if (
            every.completed < self._finished_before + TRIALS_BEFORE_TIME_LEFT
            or not every.total
            or every.completed == every.total
        ):
            return ""
        part = sum(row.completed / (row.total or 1) for row in self._bars.tasks[1:])  # of the running trials
        seconds = (time.monotonic() - self._start) / (every.completed + part - self._finished_before)
        return f", about {format_seconds(max(seconds * (every.total - every.completed - part), 0))} left"


def notebook_console() -> Console:
    """A console that prints lines only, also under Jupyter, where a live display would need widgets."""
    return Console(force_jupyter=False, force_terminal=False, highlight=False, markup=False, soft_wrap=True)


def describe_trial(trial: FrozenTrial, noun: str = "trial") -> str:
    """A line for the log: number, state, value, epochs, seconds, parameters, and what a confirmation trains it for."""
    value = "     -" if trial.value is None or not _is_validated(trial) else f"{trial.value:.4f}"
    epochs = epochs_of(trial)
    effort = f"{epochs:>3} {'epoch ' if epochs == 1 else 'epochs'}  {seconds_of(trial):>6.1f} s"
    line = (
        f"{noun} {trial.number:>3}  {trial.state.name.lower():<8}  {value}  {effort}  {format_parameters(trial.params)}"
    )
    return "  ".join(filter(None, (line, _repeat_in_words(trial), trial.user_attrs.get(FAILURE, ""))))


def _is_validated(trial: FrozenTrial) -> bool:
    """Whether a value is of texts that were not trained on."""
    return bool(trial.user_attrs.get(REPEAT, 0) < FIRST_REFIT)


def _repeat_in_words(trial: FrozenTrial) -> str:
    """The repeat of a training of a confirmation: one of the ranking, a further one, or a refit; else nothing."""
    if REPEAT not in trial.user_attrs:
        return ""
    repeat = int(trial.user_attrs[REPEAT])
    if repeat < FIRST_CONFIRMING:
        return f"repeat {repeat + 1} of the ranking"
    if repeat < FIRST_REFIT:
        return f"further repeat {repeat - FIRST_CONFIRMING + 1}"
    return f"refit {repeat - FIRST_REFIT + 1}, on all texts but the test's"


def summarize(study: Study, configuration: StudyConfig, *, seconds: float) -> list[str]:
    """The result and the cost of a search, a sentence per line."""
    trials = study.get_trials(deepcopy=False)
    counts = {state: sum(trial.state == state for trial in trials) for state in TrialState}
    complete, pruned, failed = (counts[state] for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    lines = ["No trial is complete yet, so there is no best one."]
    if best := best_trial(study, configuration.search_space):
        score = _describe_score(best, configuration.metric)
        lines = [f"Best: trial {best.number}, {score}: {format_parameters(best.params)}"]
    lines.append(
        f"Finished: {complete + pruned + failed} ({complete} complete, {pruned} pruned, {failed} failed); "
        f"this run took {format_seconds(seconds)}."
    )
    ends = [epochs_of(trial) for trial in trials if trial.state == TrialState.PRUNED and trial.user_attrs.get(WORKER)]
    if any(ends):
        run, most = sum(map(epochs_of, trials)), configuration.base.training.epochs * len(ends)
        lines.append(f"Pruning saved up to {most - sum(ends)} epochs; {run} were run.")
    return lines


def _describe_score(trial: FrozenTrial, metric: str) -> str:
    """The scores of a trial as far as they are known: a trial added by hand has a value only."""
    known, other = trial.user_attrs, next(name for name in METRIC_TITLES if name != metric)
    score = f"validation {METRIC_TITLES[metric]} {trial.value:.4f}"
    if other in known:
        score += f" ({METRIC_TITLES[other]} {known[other]:.4f})"
    return f"{score} after epoch {known['best_epoch'] + 1}" if "best_epoch" in known else score


def _describe_best(best: FrozenTrial | None, noun: str) -> str:
    if best is None:
        return ""
    return f"best   {best.value:.4f} in {noun} {best.number}: {format_parameters(best.params)}"
