"""A search from beginning to end: prepare the texts, open the study, run the workers, print the result."""

import time
from collections.abc import Collection
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial

import torch
from rich.console import Console

from preprocessing.prepared import PreparedTexts
from study.adaptation import RULES, adapted, changes_of, may_follow_texts, rules_for, values_of
from study.configuration import StudyConfig, with_training
from study.errors import StudyError, safe_url
from study.formatting import describe_search, plural
from study.model_settings import DEFAULTS, usual_budget, variant_of
from study.storage.dashboard import browse_command
from study.storage.queries import finished_trials
from study.storage.retrying import STORAGE_ERRORS
from study.storage.studies import check_name, opened_study
from study.storage.trial_queue import TrialQueue
from study.storage.urls import parse_url, sqlite_file
from study.trials.texts import open_texts, prepare_shared, tell_texts, training_texts, with_encoder
from study.workers.deployment import Deployment
from study.workers.devices import choose_precision, find_study_device
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
    asked: Collection[str] | None = None,
) -> None:
    """Search until `trials` have finished in all.

    `cluster` is the address of a Dask scheduler, on whose machines the workers run; `asked`: the fields of the settings
    that the user asked for, while the defaults of all others follow the texts; None: none do. Raises `UserError`, also
    when workers fail; `Interrupted` when it is asked to end.
    """
    start = time.monotonic()
    if sqlite_file(parse_url(url)) is not None and cluster is not None:
        raise StudyError("SQLite is a file of one machine; --cluster needs --storage postgresql:// for all of them.")
    check_name(name)
    # On a cluster, the nodes choose their own devices.
    device = find_study_device(configuration.device) if cluster is None else torch.device("cpu")
    configuration = with_encoder(configuration, console)
    prepared = open_texts(configuration, console)
    prepare_shared(configuration, prepared, console, device=device)
    configuration, chosen = _follow_texts(configuration, prepared, asked)
    configuration, precision = _choose_precision(configuration, device if cluster is None else None)
    with opened_study(url, name, configuration, device=device, trials=trials, chosen=chosen | precision) as opened:
        queue, configuration, notes = opened
        tell_texts(configuration, prepared, console)
        for note in notes:
            console.print(f"Note: {note}")
        finished = len(finished_trials(queue.study))
        console.print(f"Study: {name} in {safe_url(url)}; {plural(finished, 'trial')} finished, {trials} asked for.")
        with ExitStack() as stack:
            stack.callback(partial(_summarize, queue, configuration, url, console, start))
            if finished >= trials:
                console.print(f"Nothing to do; --trials {finished + 30} would add 30.")
                return
            _announce(configuration, prepared, console, asked=asked)
            deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
            deployment = Deployment(queue, configuration, prepared, url, trials, deadline, console)
            deployment.run(workers, cluster, device)


def _follow_texts(
    configuration: StudyConfig, prepared: PreparedTexts, asked: Collection[str] | None
) -> tuple[StudyConfig, set[str]]:
    """The configuration with the defaults that suit the texts, and the names of all fields that may follow them."""
    base = configuration.base
    if asked is None:
        return configuration, set()
    budget = usual_budget(base, training_texts(base, prepared)) if "epochs" not in asked else {}
    if "patience" in asked:
        budget.pop("patience", None)
    may_follow = {*(changes_of(RULES) if may_follow_texts(base) else ())}
    may_follow |= {*(budget if base.training.budget_texts is None else ())}
    configuration = replace(configuration, base=adapted(base, rules_for(base, prepared), asked=asked))
    return with_training(configuration, budget), may_follow - set(asked)


def _choose_precision(configuration: StudyConfig, device: torch.device | None) -> tuple[StudyConfig, set[str]]:
    """The configuration with a precision that suits the device, and the name of its field if none was asked for."""
    if configuration.base.training.precision != "auto":
        return configuration, set()
    precision = {"precision": choose_precision(configuration.base, device)}
    return with_training(configuration, precision), set(precision)


def _announce(
    configuration: StudyConfig, prepared: PreparedTexts, console: Console, *, asked: Collection[str] | None
) -> None:
    """Say what is searched, which defaults follow the texts, and how long each trial trains where that is not usual."""
    training, texts = configuration.base.training, training_texts(configuration.base, prepared)
    console.print(describe_search(configuration))
    values, told = values_of(configuration.base), set(asked or ())
    for rule, detail in ({} if asked is None else rules_for(configuration.base, prepared)).items():
        changes = {name: value for name, value in changes_of([rule]).items() if name in values and name not in told}
        told |= changes.keys()
        if changes and changes.items() <= values.items():  # a study of before the rule has its own
            shown = ", ".join(f"{name} {value}" for name, value in changes.items())
            console.print(f"Defaults for {rule} ({detail}): {shown}.")
    if training.epoch_texts is not None and training.epoch_texts < texts:
        console.print(
            f"Budget: {plural(training.epochs, 'epoch')} of {training.epoch_texts:,} of the {texts:,} training texts "
            "(--budget-texts)."
        )
    elif training.epochs != DEFAULTS[variant_of(configuration.base)].training.epochs:
        console.print(f"Budget: {plural(training.epochs, 'epoch')} of all {texts:,} training texts (--epochs).")
    if training.precision == "bfloat16":
        console.print("Precision: training in bfloat16, evaluation in float32.")


def _summarize(queue: TrialQueue, configuration: StudyConfig, url: str, console: Console, start: float) -> None:
    """Print the result, also after an interruption or a failure; a database error here must not hide the cause."""
    with suppress(*STORAGE_ERRORS):
        for line in summarize(queue.study, configuration, seconds=time.monotonic() - start):
            console.print(line)
    console.print(f"Browse: {browse_command(url, configuration.artifact_dir)}")
