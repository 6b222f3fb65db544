"""`python -m study.look`: what is in the texts, before any search.

Slow imports are local, so that `--help` answers at once.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from data.files import user_path
from study.command_line import (
    CacheDir,
    DataFiles,
    Encoding,
    GroupColumn,
    Header,
    LabelColumn,
    Separator,
    SplitColumn,
    SplitSeed,
    TestData,
    TextColumn,
    interruptible,
    reading_options,
    run_command,
)

EXAMPLES = """
Examples:

  python -m study.look --data bios.csv --label-column job --text-column bio

  python -m study.look --data bios.csv --output look.html            also as a page
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(
    help="Tell what is in the texts before a search: classes, lengths, duplicates, what a linear model makes of them, "
    f"and how long a search will take. The test split stays closed.\n{EXAMPLES}"
)
def look(
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
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=user_path, help="Write a page, too.", show_default="lines only"),
    ] = None,
    cache_dir: CacheDir = Path(".cache"),
) -> None:
    with interruptible() as console:
        from data.source import Split, find_source
        from preprocessing.prepared import prepare_for_search
        from study.downloads import downloading
        from study.errors import StudyError

        if output and output.is_dir():
            raise StudyError(f"{output} is a folder; name a file with --output.")
        source, sentence = find_source(
            data,
            label_column=label_column,
            text_column=text_column,
            reading=reading_options(separator, encoding, header),
            split_column=split_column,
            group_column=group_column,
            test_data=test_data,
        )
        console.print(f"Data: {sentence}")
        cache_dir = cache_dir.resolve()
        with ThreadPoolExecutor(1) as pool, downloading(console) as on_download:
            pool.submit(import_module, "study.reports.look")  # this takes seconds, as the texts do
            prepared = prepare_for_search(
                Split(source, split_seed), cache_dir=cache_dir, on_event=console.print, on_download=on_download
            )

        from study.reports.look import look_at

        look_at(prepared, name=source.name, cache_dir=cache_dir, output=output, console=console)


def main() -> None:
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
