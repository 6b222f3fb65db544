"""The texts of a study, prepared or found in the cache, with a progress display and what the user should know."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from preprocessing.prepared import PreparedTexts, prepare_for_search
from study.configuration import StudyConfiguration


def prepare_texts(configuration: StudyConfiguration, console: Console) -> PreparedTexts:
    """Raises `UserError` for texts that cannot be used, or a cache that cannot be written."""
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
