"""`python -m study.worker`: join a study that `study.run` has started, from another shell or another machine."""

import os
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.choices import DeviceName
from study.command_line import (
    ARTIFACT_VARIABLE,
    BERT_MODEL_VARIABLE,
    CACHE_VARIABLE,
    DATA_VARIABLE,
    DEFAULT_STORAGE,
    VECTORS_VARIABLE,
    ExistingStudy,
    Storage,
    Timeout,
    count,
    interruptible,
    own_copy,
    run_command,
)
from study.storage.attributes import CONFIRMS

if TYPE_CHECKING:
    from rich.console import Console

    from study.configuration import StudyConfig

ORPHANED = 3  # the exit code of a worker whose supervisor is gone
EXAMPLES = """
Examples:

  python -m study.worker                                                the one study in study.db

  python -m study.worker --storage postgresql://db.example/studies --name r8-lstm

  python -m study.worker --storage postgresql://db.example/studies --data bios.csv --cache-dir /scratch/cache
"""

app = typer.Typer(add_completion=False, rich_markup_mode="markdown", pretty_exceptions_enable=False)


@app.command(help=f"Run trials of a study that `study.run` has started, as one process with one thread.\n{EXAMPLES}")
def join(
    storage: Storage = DEFAULT_STORAGE,
    name: ExistingStudy = None,
    trials: Annotated[
        int | None, count("Trials in all, over all workers.", most=10_000_000, default="what study.run asked for")
    ] = None,
    timeout: Timeout = None,
    data: Annotated[Path | None, own_copy("copy of the data", metavar="FILE", variable=DATA_VARIABLE)] = None,
    vectors: Annotated[
        Path | None, own_copy("copy of the word vectors", metavar="FILE", variable=VECTORS_VARIABLE)
    ] = None,
    bert_model: Annotated[
        Path | None,
        own_copy("copy of BERT's encoder", metavar="DIR", variable=BERT_MODEL_VARIABLE, stored="folder or model id"),
    ] = None,
    cache_dir: Annotated[Path | None, own_copy("cache", metavar="DIR", variable=CACHE_VARIABLE)] = None,
    artifact_dir: Annotated[
        Path | None, own_copy("folder for pictures and logs of trials", metavar="DIR", variable=ARTIFACT_VARIABLE)
    ] = None,
    device: Annotated[
        DeviceName | None, typer.Option(help="Where to compute.", show_default="as the study was started")
    ] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    prepared: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    if supervised:
        threading.Thread(target=_end_with_supervisor, daemon=True).start()
    paths = LocalPaths(data, vectors, bert_model, cache_dir, artifact_dir)
    with interruptible(module="study.worker", stderr=supervised) as console:
        _join(storage, name, trials, timeout, paths, device, prepared, console, show=not supervised)


@dataclass(frozen=True)
class LocalPaths:
    """This machine's paths of the files that a study needs; None: the stored path."""

    data: Path | None
    vectors: Path | None
    bert_model: Path | None
    cache_dir: Path | None
    artifact_dir: Path | None

    def put_into(self, configuration: "StudyConfig") -> "StudyConfig":
        """The study's configuration with these paths. Raises `UserError` for files with other content."""
        from data.source import find_copy
        from study.model_settings import copies_of

        return replace(
            configuration,
            source=find_copy(configuration.source, self.data) if self.data else configuration.source,
            base=copies_of(configuration.base, vectors=self.vectors, bert_model=self.bert_model),
            cache_dir=str(self.cache_dir.resolve()) if self.cache_dir else configuration.cache_dir,
            artifact_dir=str(self.artifact_dir.resolve()) if self.artifact_dir else configuration.artifact_dir,
        )


def _join(
    url: str,
    name: str | None,
    trials: int | None,
    timeout: float | None,
    paths: LocalPaths,
    device: DeviceName | None,
    prepared_in: Path | None,
    console: "Console",
    *,
    show: bool,
) -> None:
    from preprocessing.prepared import open_prepared
    from study.formatting import describe_search
    from study.storage.fingerprint import check_preparation
    from study.storage.studies import joined_study, load_budget, load_configuration, make_queue
    from study.trials.texts import prepare_texts
    from study.workers.devices import find_study_device
    from study.workers.display import SearchDisplay
    from study.workers.loop import run_worker

    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    with joined_study(url, name) as (study, storage), ExitStack() as stack:
        check_preparation(study)
        configuration = paths.put_into(load_configuration(study, storage))
        configuration = replace(configuration, device=device or configuration.device)
        confirms = CONFIRMS in study.user_attrs
        if trials is None and (show or not confirms):  # else the supervisor says when it is over
            trials = load_budget(study)
        torch_device = find_study_device(configuration.device)
        prepared = open_prepared(prepared_in) if prepared_in else None
        if prepared is None and not confirms:
            prepared = prepare_texts(configuration, console, device=torch_device, warn=False)
        if show:
            assert trials is not None
            console.print(f"Study: {study.study_name}; {trials} trials in all. {describe_search(configuration)}")
            display = SearchDisplay(console, study, configuration, trials=trials)
            stack.enter_context(display)
        run_worker(
            make_queue(study, storage, configuration),
            configuration,
            prepared,
            device=torch_device,
            trials=trials,
            deadline=deadline,
            on_change=display.update if show else _nothing,
            on_event=partial(console.print, "Note:"),
        )
    if show:
        console.print("Nothing is left to do for this worker.")


def _nothing() -> None: ...


def _end_with_supervisor() -> None:
    """End this process when its standard input, a pipe from the supervisor, is closed. It may end at any moment."""
    while os.read(0, 1024):
        pass
    os._exit(ORPHANED)


def main() -> None:
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
