"""The texts of a study's figures: titles, captions, and a description in numbers."""

from collections import Counter
from collections.abc import Iterable

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.analysis.findings import Cost, Findings, Importances, parallel_parameters
from study.analysis.surrogate import TRIALS_FOR_SURFACE
from study.configuration import StudyConfig
from study.formatting import (
    STATES,
    capital,
    format_parameters,
    format_seconds,
    metric_title,
    parameter_title,
    parameter_words,
    plural,
)
from study.search_space import Space
from study.storage.attributes import WORKER
from study.storage.queries import (
    best_first,
    best_trial,
    complete_trials,
    curve_of,
    default_value,
    finished_trials,
    running_best,
    with_values,
)


def describe_figures(study: Study, configuration: StudyConfig, findings: Findings) -> dict[str, str]:
    """The description of each figure, in words and numbers, by the figure's name."""
    space, importances = configuration.search_space, findings.importances
    complete = complete_trials(study)
    return {
        "history": _history_in_words(study, configuration),
        "learning-curves": _curves_in_words(study, configuration),
        "contour": _contour_in_words(study, configuration, findings.pair),
        "slices": _slices_in_words(complete, space) or _best_in_words(study, configuration),
        "parallel-coordinates": _best_quarter(complete, space, parallel_parameters(space, importances))
        or _best_in_words(study, configuration),
        "importance": importances.reason or _importances_in_words(importances),
        "durations": _durations_in_words(findings.cost),
        "timeline": _timeline_in_words(study, findings.cost),
    }


def _best_in_words(study: Study, configuration: StudyConfig, *, with_parameters: bool = False) -> str:
    metric, best = metric_title(configuration), best_trial(study, configuration.search_space)
    if best is None:
        return f"No trial is complete, so there is no best {metric}."
    parameters = f" with {format_parameters(best.params).replace('  ', ', ')}" if with_parameters else ""
    return f"The best {metric}, {best.value:.4f}, was reached in trial {best.number}{parameters}."


def _finished_in_words(trials: list[FrozenTrial]) -> str:
    return f"{plural(len(trials), 'trial')} finished: {_states_in_words(trials)}"


def _states_in_words(trials: list[FrozenTrial]) -> str:
    counts = Counter(trial.state for trial in trials)
    return ", ".join(f"{counts[state]} {name}" for state, name in STATES.items())


def _history_in_words(study: Study, configuration: StudyConfig) -> str:
    words = [f"{_finished_in_words(finished_trials(study))}."]
    words.append(_best_in_words(study, configuration, with_parameters=True))
    if (default := default_value(study, configuration)) is not None:
        words.append(f"The default configuration reached {default:.4f}.")
    bests = running_best(study, configuration.search_space)
    if first_good := next((number for number, value in bests.items() if value >= 0.99 * max(bests.values())), None):
        words.append(f"Within 1 % of the best for the first time: trial {first_good}.")
    return " ".join(words)


def _curves_in_words(study: Study, configuration: StudyConfig) -> str:
    trials, best = finished_trials(study), best_trial(study, configuration.search_space)
    words = [f"{_finished_in_words(trials)}.", _best_in_words(study, configuration)]
    if curve := curve_of(best, configuration.metric) if best else []:
        words.append(f"Its curve: {', '.join(f'{value:.3f}' for value in curve)}.")
    ends = Counter(len(curve_of(trial, configuration.metric)) for trial in trials if trial.state == TrialState.PRUNED)
    if pruned := [f"{count} after epoch {epoch}" for epoch, count in sorted(ends.items()) if epoch]:
        words.append(f"Pruned: {', '.join(pruned)}.")
    return " ".join(words)


def _contour_in_words(study: Study, configuration: StudyConfig, names: tuple[str, str]) -> str:
    space, complete = configuration.search_space, complete_trials(study)
    words = [_best_in_words(study, configuration)]
    if complete:
        spans = (f"{parameter_words(name)} {span(space[name], name, complete)}" for name in names)
        words += [f"The complete trials lie in {' and '.join(spans)}.", _best_quarter(complete, space, names)]
    return " ".join(words)


def _slices_in_words(complete: list[FrozenTrial], space: Space) -> str:
    """The values of the best quarter; empty if no trial is complete."""
    tops = _tops(complete)
    spans = (
        f"{parameter_title(name)}: {span(range_, name, complete)}, the best quarter {span(range_, name, tops)}."
        for name, range_ in space.items()
    )
    return f"Of the {plural(len(complete), 'complete trial')}: {' '.join(spans)}" if tops else ""


def _best_quarter(complete: list[FrozenTrial], space: Space, names: Iterable[str]) -> str:
    """The values of the best quarter; empty if no trial is complete."""
    tops = _tops(complete)
    spans = (f"{parameter_words(name)} {span(space[name], name, tops)}" for name in names)
    return f"The best quarter of the complete trials ({len(tops)}) has {', '.join(spans)}." if tops else ""


def _tops(complete: list[FrozenTrial]) -> list[FrozenTrial]:
    """The best quarter of the trials."""
    return sorted(complete, key=best_first)[: max(1, len(complete) // 4)]


def _durations_in_words(cost: Cost) -> str:
    longest = max(cost.trial_seconds, key=lambda number: cost.trial_seconds[number], default=None)
    return (
        f"{plural(len(cost.trial_seconds), 'trial')} trained for {format_seconds(cost.total_seconds)} together; the "
        f"median is {cost.median_seconds:.1f} s"
        + ("." if longest is None else f", the longest {cost.trial_seconds[longest]:.1f} s in trial {longest}.")
    )


def _timeline_in_words(study: Study, cost: Cost) -> str:
    ran = [trial for trial in finished_trials(study) if trial.user_attrs.get(WORKER)]
    workers = len({str(trial.user_attrs[WORKER]) for trial in ran})
    return (
        f"{plural(workers, 'worker')} ran {plural(len(ran), 'trial')} within {format_seconds(cost.elapsed_seconds)}: "
        f"{_states_in_words(ran)}."
    )


def figure_titles(configuration: StudyConfig, findings: Findings) -> dict[str, tuple[str, str]]:
    """The title and the caption of each figure, by name."""
    metric, space = metric_title(configuration), configuration.search_space
    first, second = map(parameter_words, findings.pair)
    shown = len(parallel_parameters(space, findings.importances))
    some = "" if shown == len(space) else f" Of the {len(space)} parameters, it shows the {shown} most important ones."
    return {
        "history": (
            "Optimisation history",
            f"The {metric} of each trial, the best one so far, and what the default configuration reaches.",
        ),
        "learning-curves": (
            "Learning curves",
            f"The {metric} after each epoch; pruned trials end at a cross. A trial's value is the best one from epoch "
            f"{configuration.base.training.first_settled_epoch + 1} on, when the learning rate is below half its peak.",
        ),
        "contour": (
            f"{capital(first)} and {second}",
            f"The {metric} over both, "
            + (
                "a smooth surface (a Gaussian process) near the complete trials."
                if findings.surface
                else f"for each trial; a surface takes {TRIALS_FOR_SURFACE} complete trials with different values."
            ),
        ),
        "slices": (
            "One parameter at a time",
            f"The {metric} over each parameter; that of a pruned trial is its value when it ended.",
        ),
        "parallel-coordinates": (
            "Parallel coordinates",
            f"A line is a complete trial, its colour the quarter that its {metric} lies in.{some}",
        ),
        "importance": ("Parameter importance", findings.importances.about),
        "durations": ("Durations", "The training time of each trial, and the median."),
        "timeline": (
            "Timeline",
            "Which worker ran which trial when; for an interrupted trial, its last part.",
        ),
    }


def _importances_in_words(importances: Importances) -> str:
    shares = [
        f"{parameter_title(importance.parameter)} {importance.mean:.2f}"
        + ("" if importance.low is None else f" ({importance.low:.2f} to {importance.high:.2f})")
        for importance in importances.parameters
    ]
    intervals = "" if importances.caveat else ", with 95 % intervals,"
    return f"{'; '.join(shares)}; shares{intervals} from {importances.trials} complete trials."


def span(range_: BaseDistribution, name: str, trials: list[FrozenTrial]) -> str:
    values = [trial.params[name] for trial in with_values(trials, {name: range_}, [name])]
    if not values or isinstance(range_, CategoricalDistribution):
        counts = Counter(map(str, values)).most_common()
        return " or ".join(f"{value} ({count})" for value, count in counts) or "unknown"
    ends = (min(values), max(values))
    return " to ".join(dict.fromkeys(f"{end:.3g}" if isinstance(end, float) else str(end) for end in ends))
