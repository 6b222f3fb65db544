"""`python -m study.run`: search for the best hyper-parameters of a text classifier.

Parses, calls, prints. What takes long to import is imported when it is needed, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from study.command_line import INTERRUPTED, STORAGE_VARIABLE, command_again, run_command

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
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            max=100_000,
            help="Processes that run trials at the same time.",
            show_default="one per core on the CPU, otherwise one per GPU; what the cluster has room for",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run the workers on a Dask cluster, as tcp://scheduler:8786; see docs/scaling.md.",
            show_default="on this machine",
        ),
    ] = None,
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
            metavar="N", min=0, max=2**32 - 1, help="Draws training, validation and test; keep it to compare studies."
        ),
    ] = 0,
    storage: Annotated[
        str,
        typer.Option(
            metavar="URL",
            envvar=STORAGE_VARIABLE,
            help="Where the trials are kept: sqlite:///FILE.db, or postgresql://HOST/DATABASE.",
        ),
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
    heartbeat: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=86_400,
            help="Between the signs of life of workers on other machines; after four without one, their trial goes on.",
        ),
    ] = 30,
    cache_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Prepared texts and downloads; see them with python -m study.cache.")
    ] = Path(".cache"),
    artifact_dir: Annotated[
        Path, typer.Option(metavar="DIR", help="Pictures and a log of each trial, for optuna-dashboard --artifact-dir.")
    ] = Path("artifacts"),
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
        from study.full_search import search_study
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
            heartbeat_seconds=heartbeat,
            artifact_dir=str(artifact_dir.resolve()),
        )
        study_name = f"{source.name}-{configuration.model}" if name is None else name
        search_study(
            configuration,
            study_name,
            storage,
            trials=trials,
            timeout=timeout,
            workers=workers,
            cluster=cluster,
            console=console,
        )
    except Interrupted:
        hold_signals()
        again = command_again("study.run", sys.argv[1:])
        console.print(f"Interrupted. What was running goes on from its last finished epoch. To go on: {again}")
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(run_command(app))
