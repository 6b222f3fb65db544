"""The display of downloads: a progress bar that appears when something is downloaded."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

from data.wheels import OnDownload


@contextmanager
def downloading(console: Console) -> Iterator[OnDownload]:
    """A progress bar that appears when something is downloaded."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        download = bar.add_task("fetch", visible=False)

        def on_download(requirement: str, done: int, total: int) -> None:
            bar.update(download, description=f"Fetching {requirement}", completed=done, total=total, visible=True)

        yield on_download
