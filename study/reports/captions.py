"""The words that go with the figures of a study: titles, captions, and what each figure shows in numbers."""

from collections import Counter
from collections.abc import Iterable

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from study.analysis.findings import Importances, find_cost, most_important_pair, parallel_parameters
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


def describe_figures(study: Study, configuration: StudyConfig, importances: Importances) -> dict[str, str]:
    """What each figure shows, in words and numbers, by its name."""
    metric, space, trials = metric_title(configuration), configuration.search_space, finished_trials(study)
    counts = Counter(trial.state for trial in trials)
    best, default, complete = best_trial(study, space), default_value(study, configuration), complete_trials(study)
    names = most_important_pair(space, importances)
    reached = with_parameters = f"No trial is complete, so there is no best {metric}."
    if best is not None:
        reached = f"The best {metric}, {best.value:.4f}, was reached in trial {best.number}."
        with_parameters = f"{reached[:-1]} with {format_parameters(best.params).replace('  ', ', ')}."
    finished = f"{plural(len(trials), 'trial')} finished: " + ", ".join(
        f"{counts[state]} {name}" for state, name in STATES.items()
    )
    against = "" if default is None else f" The default configuration reached {default:.4f}."
    bests = running_best(study, space)
    if first_good := next((number for number, value in bests.items() if value >= 0.99 * max(bests.values())), None):
        against += f" Within 1 % of the best for the first time: trial {first_good}."
    curve = curve_of(best, configuration.metric) if best else []
    curves = f" Its curve: {', '.join(f'{value:.3f}' for value in curve)}." if curve else ""
    ends = Counter(len(curve_of(trial, configuration.metric)) for trial in trials if trial.state == TrialState.PRUNED)
    pruned = ", ".join(f"{count} after epoch {epoch}" for epoch, count in sorted(ends.items()) if epoch)
    cost = find_cost(study, configuration)
    longest = max(cost.trial_seconds, key=lambda number: cost.trial_seconds[number], default=None)
    ran = [trial for trial in trials if trial.user_attrs.get(WORKER)]
    ran_by_state = Counter(trial.state for trial in ran)
    workers = len({str(trial.user_attrs[WORKER]) for trial in ran})
    tops = sorted(complete, key=best_first)[: max(1, len(complete) // 4)]

    def best_quarter(parameters: Iterable[str]) -> str:
        if not tops:
            return reached
        spans = (f"{parameter_words(name)} {span(space[name], name, tops)}" for name in parameters)
        return f"The best quarter of the complete trials ({len(tops)}) has {', '.join(spans)}."

    def best_quarter_of_all(parameters: Iterable[str]) -> str:
        spans = (
            f"{parameter_title(name)}: {span(space[name], name, complete)}, the best quarter "
            f"{span(space[name], name, tops)}."
            for name in parameters
        )
        return f"Of the {plural(len(complete), 'complete trial')}: {' '.join(spans)}" if tops else reached

    all_spans = (f"{parameter_words(name)} {span(space[name], name, complete)}" for name in names)
    return {
        "history": f"{finished}. {with_parameters}{against}",
        "learning-curves": f"{finished}. {reached}{curves}" + (f" Pruned: {pruned}." if pruned else ""),
        "contour": f"{reached} The complete trials lie in {' and '.join(all_spans)}. {best_quarter(names)}"
        if complete
        else reached,
        "slices": best_quarter_of_all(space),
        "parallel-coordinates": best_quarter(parallel_parameters(space, importances)),
        "importance": importances.reason or _importances_in_words(importances),
        "durations": f"{plural(len(cost.trial_seconds), 'trial')} trained for "
        f"{format_seconds(cost.total_seconds)} together; the median is {cost.median_seconds:.1f} s"
        + ("." if longest is None else f", the longest {cost.trial_seconds[longest]:.1f} s in trial {longest}."),
        "timeline": f"{plural(workers, 'worker')} ran {plural(len(ran), 'trial')} within "
        f"{format_seconds(cost.elapsed_seconds)}: "
        f"{', '.join(f'{ran_by_state[state]} {name}' for state, name in STATES.items())}.",
    }


def figure_titles(configuration: StudyConfig, importances: Importances) -> dict[str, tuple[str, str]]:
    """Title and caption of each figure."""
    metric, space = metric_title(configuration), configuration.search_space
    first, second = (parameter_words(name) for name in most_important_pair(space, importances))
    shown = len(parallel_parameters(space, importances))
    some = "" if shown == len(space) else f" Of the {len(space)} parameters, it shows the {shown} most important ones."
    return {
        "history": (
            "Optimisation history",
            f"The {metric} of each trial, the best one so far, and what the default configuration reaches.",
        ),
        "learning-curves": (
            "Learning curves",
            f"The {metric} after each epoch; pruned trials end at a cross. A trial's value is the best one from epoch "
            f"{configuration.base.training.first_settled_epoch + 1} on.",
        ),
        "contour": (
            f"{capital(first)} and {second}",
            f"The {metric} over both, a smooth surface (a Gaussian process) near the complete trials.",
        ),
        "slices": (
            "One parameter at a time",
            f"The {metric} over each parameter; that of a pruned trial is its value when it ended.",
        ),
        "parallel-coordinates": (
            "Parallel coordinates",
            f"A line is a complete trial, its colour the quarter that its {metric} lies in.{some}",
        ),
        "importance": ("Parameter importance", importances.about),
        "durations": ("Durations", "The training time of each trial, and the median."),
        "timeline": (
            "Timeline",
            "Which worker ran which trial when; an interrupted one since it went on.",
        ),
    }


def _importances_in_words(importances: Importances) -> str:
    shares = [
        f"{parameter_title(one.parameter)} {one.mean:.2f}"
        + ("" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})")
        for one in importances.parameters
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
