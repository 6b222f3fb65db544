"""`python -m study.run`: search for the best hyper-parameters of a text classifier.

Parses, calls, prints. What takes long to import is imported when it is needed, so that `--help` answers at once.
"""

import shlex
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from study.command_line import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from preprocessing.prepared import PreparedTexts
    from study.configuration import StudyConfiguration

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C has ended
EXAMPLES = """
Examples:

  python -m study.run --trials 50                      Reuters R8, 50 trials in all

  python -m study.run --trials 80                      goes on with it: 30 more

  python -m study.run --trials 50 --data bios.csv --label-column job --text-column bio
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(help=f"Search the hyper-parameters of an LSTM text classifier; a rerun goes on with it.\n{EXAMPLES}")
def run(
    trials: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=10_000_000,
            help="Trials in all, over restarts: complete, pruned and failed ones count.",
        ),
    ] = 50,
    timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.001,
            help="Seconds after which this call begins no new trial.",
            show_default="no limit",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .csv, .tsv, .parquet or .jsonl file (.gz too), or a standard corpus: r8, r52 or 20ng.",
            show_default="data/dataset_to_model.csv if it is there, otherwise r8",
        ),
    ] = None,
    label_column: Annotated[str, typer.Option(metavar="NAME", help="The column with the class.")] = "Category",
    text_column: Annotated[str, typer.Option(metavar="NAME", help="The column with the text.")] = "description_pre",
    split_seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=2**63 - 1, help="Draws training, validation and test; keep it to compare studies."
        ),
    ] = 0,
    storage: Annotated[
        str, typer.Option(metavar="URL", help="Where the trials are kept: sqlite:///FILE.db, or another database.")
    ] = "sqlite:///study.db",
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name.", show_default="<data>-<model>")
    ] = None,
    space: Annotated[
        Literal["default", "wide"],
        typer.Option(help="default: hidden size and learning rate; wide: ten more, from dropout to vocabulary."),
    ] = "default",
    sampler: Annotated[
        Literal["tpe", "random"], typer.Option(help="Who chooses parameters; random for an unbiased picture.")
    ] = "tpe",
    pruner: Annotated[
        Literal["median", "none"], typer.Option(help="Whether trials below the median of others end early.")
    ] = "median",
    metric: Annotated[
        Literal["macro_f1", "accuracy"], typer.Option(help="The validation score to maximise.")
    ] = "macro_f1",
    epochs: Annotated[int, typer.Option(metavar="N", min=1, max=10_000, help="Epochs per trial, at most.")] = 6,
    patience: Annotated[
        int, typer.Option(metavar="N", min=1, max=10_000, help="Epochs without a better score before a trial stops.")
    ] = 2,
    max_tokens: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=1_000_000,
            help="Words per text, the rest is cut off; with --space wide the first trial's.",
        ),
    ] = 200,
    vocabulary_size: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=3,
            max=2**31 - 1,
            help="Words known at most, the most frequent; with --space wide the first trial's.",
        ),
    ] = 30_000,
    min_frequency: Annotated[
        int, typer.Option(metavar="N", min=1, max=2**31 - 1, help="Rarer words of the training texts are unknown.")
    ] = 2,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Seeds the sampler and every training.")
    ] = 0,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
    cache_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Prepared texts and downloads; see them with python -m study.cache.")
    ] = Path(".cache"),
) -> int:
    from rich.console import Console

    from study.interruption import Interrupted, end_on_signals, hold_signals

    end_on_signals()
    console = Console(highlight=False, markup=False, soft_wrap=True)
    try:
        from data.source import find_source

        source, sentence = find_source(data, label_column=label_column, text_column=text_column)
        console.print(f"Data: {sentence}")

        from models.lstm import LSTMConfig
        from models.training import TrainingConfig
        from preprocessing.batches import TextLimits
        from study.configuration import StudyConfiguration
        from study.search_space import TrialSettings

        configuration = StudyConfiguration(
            source=source,
            cache_dir=str(cache_dir.resolve()),
            base=TrialSettings(
                LSTMConfig(),
                TrainingConfig(epochs=epochs, patience=patience, metric=metric, seed=seed),
                TextLimits(max_tokens, vocabulary_size, min_frequency),
            ),
            split_seed=split_seed,
            space=space,
            sampler=sampler,
            pruner=pruner,
            seed=seed,
            device=device,
        )
        study_name = f"{source.name}-{configuration.model}" if name is None else name
        _search(configuration, study_name, storage, trials=trials, timeout=timeout, console=console)
    except Interrupted:
        hold_signals()
        again = shlex.join(["python", "-m", "study.run", *sys.argv[1:]])
        console.print(f"Interrupted. A trial that was running will start anew, nothing else is lost. To go on: {again}")
        return INTERRUPTED
    return 0


def _search(
    configuration: "StudyConfiguration",
    name: str,
    url: str,
    *,
    trials: int,
    timeout: float | None,
    console: "Console",
) -> None:
    from study.display import SearchDisplay, describe_search, summarize
    from study.objective import run_trial
    from study.search import finished_trials, search
    from study.storage import parse_url, safe_url
    from study.stored_study import check_name, find_study_device, opened_study

    start = time.monotonic()
    parse_url(url)
    check_name(name)
    device = find_study_device(configuration)
    prepared = _prepare(configuration, console)
    training, metric = configuration.base.training, configuration.metric
    with opened_study(url, name, configuration, device=device) as (study, storage, notes):
        for note in notes:
            console.print(f"Note: {note}")
        finished = len(finished_trials(study))
        console.print(f"Study: {name} in {safe_url(url)}; {finished} trials finished, {trials} asked for.")
        if finished < trials:
            console.print(describe_search(configuration, device))
        else:
            console.print(f"Nothing to do; --trials {finished + 30} would add 30.")
        run_one = partial(run_trial, base=configuration.base, prepared=prepared, device=device)
        space = configuration.search_space
        display = SearchDisplay(console, study, trials=trials, finished=finished, epochs=training.epochs, metric=metric)
        try:
            if finished < trials:
                with display:
                    search(study, storage, space, run_one, trials=trials, timeout=timeout, watcher=display)
        finally:
            for line in summarize(study, epochs=training.epochs, metric=metric, seconds=time.monotonic() - start):
                console.print(line)
            console.print(f"Browse: optuna-dashboard {shlex.quote(safe_url(url))}")


def _prepare(configuration: "StudyConfiguration", console: "Console") -> "PreparedTexts":
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from preprocessing.prepared import prepare_for_search

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        download = bar.add_task("fetch", visible=False)

        def on_download(requirement: str, done: int, total: int) -> None:
            bar.update(download, description=f"Fetching {requirement}", completed=done, total=total, visible=True)

        prepared = prepare_for_search(
            configuration.source,
            split_seed=configuration.split_seed,
            cache_dir=Path(configuration.cache_dir),
            on_event=console.print,
            on_download=on_download,
        )
    known = configuration.base.limits.kept_words(prepared.word_counts)
    console.print(
        f"Texts: {len(prepared.training):,} for training, {len(prepared.validation):,} for validation, "
        f"{prepared.test_texts:,} held back for the test; {len(prepared.classes)} classes; "
        f"{known:,} words known of {len(prepared.word_counts):,} in training."
    )
    for note in prepared.notes:
        console.print(f"Note: {note}")
    return prepared


if __name__ == "__main__":
    sys.exit(run_command(app))
