"""`python -m study.run`: search for the best hyper-parameters of a text classifier.

Slow imports are local, so that `--help` answers at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from data.files import user_path
from models.registry import DEFAULT_MODEL, MODELS
from study.choices import DeviceName, PrunerName, SamplerName, SpaceName
from study.command_line import (
    DEFAULT_STORAGE,
    CacheDir,
    DataFiles,
    Encoding,
    GroupColumn,
    Header,
    LabelColumn,
    Separator,
    SplitColumn,
    SplitSeed,
    Storage,
    TestData,
    TextColumn,
    Timeout,
    Workers,
    count,
    interruptible,
    reading_options,
    run_command,
)
from study.training_options import (
    BertModel,
    BudgetTexts,
    Classifier,
    Epochs,
    MaxTokens,
    MaxTrainingTexts,
    MinFrequency,
    Patience,
    Precision,
    Strategy,
    Truncate,
    Vectors,
    VocabularySize,
)

EXAMPLES = """
Examples:

  python -m study.run --trials 50                      Reuters R8, 50 trials in all

  python -m study.run --trials 80                      continues it: 30 more

  python -m study.run --trials 50 --data bios.csv --label-column job --text-column bio
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(help=f"Search the hyper-parameters of a text classifier; a rerun continues it.\n{EXAMPLES}")
def run(
    trials: Annotated[
        int, count("Trials in all, over restarts: complete, pruned and failed ones count.", most=10_000_000)
    ] = 50,
    model: Annotated[
        Literal[tuple(MODELS)],  # type: ignore[valid-type]  # known only when it runs
        typer.Option(help="What is trained; see docs/models/."),
    ] = DEFAULT_MODEL,
    workers: Workers = None,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Run the workers on a Dask cluster, as tcp://scheduler:8786; see docs/scaling.md.",
            show_default="on this machine",
        ),
    ] = None,
    timeout: Timeout = None,
    data: DataFiles = None,
    label_column: LabelColumn = "Category",
    text_column: TextColumn = "description_pre",
    separator: Separator = None,
    encoding: Encoding = None,
    header: Header = True,
    split_column: SplitColumn = None,
    group_column: GroupColumn = None,
    test_data: TestData = None,
    split_seed: SplitSeed = 0,
    storage: Storage = DEFAULT_STORAGE,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The study's name.", show_default="<data>-<model>")
    ] = None,
    space: Annotated[
        SpaceName,
        typer.Option(help="default: two parameters of the model; wide: all that may matter."),
    ] = "default",
    sampler: Annotated[
        SamplerName, typer.Option(help="Who chooses parameters; random for an unbiased picture.")
    ] = "tpe",
    pruner: Annotated[
        PrunerName, typer.Option(help="Whether trials below the best quarter of others end early.")
    ] = "percentile",
    metric: Annotated[
        Literal["macro_f1", "accuracy"], typer.Option(help="The validation score to maximise.")
    ] = "macro_f1",
    epochs: Epochs = None,
    budget_texts: BudgetTexts = None,
    patience: Patience = None,
    max_tokens: MaxTokens = None,
    truncate: Truncate = None,
    vocabulary_size: VocabularySize = None,
    min_frequency: MinFrequency = None,
    vectors: Vectors = None,
    classifier: Classifier = None,
    strategy: Strategy = None,
    bert_model: BertModel = None,
    max_training_texts: MaxTrainingTexts = None,
    seed: Annotated[int, count("Seeds the sampler and every training.", least=0, most=2**32 - 1)] = 0,
    device: Annotated[DeviceName, typer.Option(help="Where to compute.")] = "auto",
    precision: Precision = None,
    heartbeat: Annotated[
        int,
        typer.Option(
            metavar="SECONDS",
            min=1,
            max=86_400,
            help="Interval of heartbeats of workers on other machines; after four missed ones, their trial continues.",
        ),
    ] = 30,
    cache_dir: CacheDir = Path(".cache"),
    artifact_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="Pictures and a log of each trial, for optuna-dashboard --artifact-dir.",
        ),
    ] = Path("artifacts"),
) -> None:
    with interruptible("A rerun continues each trial from its last finished epoch.", module="study.run") as console:
        from data.source import find_source

        reading = reading_options(separator, encoding, header)
        source, sentence = find_source(
            data,
            label_column=label_column,
            text_column=text_column,
            reading=reading,
            split_column=split_column,
            group_column=group_column,
            test_data=test_data,
        )
        console.print(f"Data: {sentence}")

        from study.configuration import StudyConfig
        from study.model_settings import asked_fields, choose_settings, default_name
        from study.workers.search import search_study

        options = {
            "vectors": vectors,
            "classifier": classifier,
            "strategy": strategy,
            "bert_model": bert_model,
            "max_training_texts": max_training_texts,
            "metric": metric,
            "seed": seed,
            "epochs": epochs,
            "budget_texts": budget_texts,
            "patience": patience,
            "max_tokens": max_tokens,
            "truncate": truncate,
            "vocabulary_size": vocabulary_size,
            "min_frequency": min_frequency,
            "precision": precision,
        }
        base = choose_settings(model, options)
        configuration = StudyConfig(
            source=source,
            cache_dir=str(cache_dir.resolve()),
            base=base,
            split_seed=split_seed,
            space=space,
            sampler=sampler,
            pruner=pruner,
            seed=seed,
            device=device,
            heartbeat_seconds=heartbeat,
            artifact_dir=str(artifact_dir.resolve()),
        )
        study_name = default_name(source.name, base) if name is None else name
        search_study(
            configuration,
            study_name,
            storage,
            trials=trials,
            timeout=timeout,
            workers=workers,
            cluster=cluster,
            console=console,
            asked=asked_fields(options),
        )


def main() -> None:
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
