"""Options that several commands share, and exit codes: a user's mistake gives one line and exit code 2."""

import io
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from data.errors import UserError
from data.files import user_path

if TYPE_CHECKING:
    from rich.console import Console

    from data.dialect import Reading

INTERRUPTED = 130  # the shell's exit code for a program ended by Ctrl-C
STORAGE_VARIABLE = "STUDY_STORAGE"  # the environment variable for --storage, since others can read command lines
DATA_VARIABLE = "STUDY_DATA"  # this and the next: for paths that differ on a worker's machine
VECTORS_VARIABLE = "STUDY_VECTORS"
BERT_MODEL_VARIABLE = "STUDY_BERT_MODEL"
CACHE_VARIABLE = "STUDY_CACHE_DIR"
ARTIFACT_VARIABLE = "STUDY_ARTIFACT_DIR"
DEFAULT_STORAGE = "sqlite:///study.db"
MOST = 2**31 - 1


def _storage_url(url: str) -> str:
    """A URL whose file of SQLite may be in the home folder."""
    scheme = "sqlite:///"
    return f"{scheme}{user_path(url.removeprefix(scheme))}" if url.startswith(f"{scheme}~") else url


def count(help_text: str, *, least: int = 1, most: int = MOST, default: str | None = None) -> typer.models.OptionInfo:
    """An option for a whole number; `default` describes the default in words."""
    option: typer.models.OptionInfo = typer.Option(
        metavar="N", min=least, max=most, help=help_text, show_default=default if default else True
    )
    return option


Storage = Annotated[
    str,
    typer.Option(
        metavar="URL",
        parser=_storage_url,
        envvar=STORAGE_VARIABLE,
        help="Where the trials are kept: sqlite:///FILE.db, or postgresql://HOST/DATABASE.",
    ),
]
ExistingStudy = Annotated[
    str | None, typer.Option(metavar="NAME", help="The study's name.", show_default="the only one there")
]
Timeout = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS", min=0.001, help="Seconds after which no new trial begins.", show_default="no limit"
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=100_000,
        help="Processes that train at the same time.",
        show_default="one per core on the CPU, otherwise one per GPU; what a cluster has room for",
    ),
]
DataFiles = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="A table (CSV and the like, JSON, Parquet, Feather, Excel, compressed or not), several of them or a "
        "pattern, a folder with a text a file in LABEL/, or a standard corpus: r8, r52 or 20ng.",
        show_default="data/dataset_to_model.csv if it is there, otherwise r8",
    ),
]
LabelColumn = Annotated[str, typer.Option(metavar="NAME", help="The column with the class.")]
TextColumn = Annotated[str, typer.Option(metavar="NAME", help="The column with the text.")]
SplitColumn = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The column with train, validation or test, if texts are split.", show_default="none"
    ),
]
GroupColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Rows with the same value here stay on one side.", show_default="none"),
]
TestData = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Your own test texts, with the same columns.", show_default="a tenth of --data"),
]
SplitSeed = Annotated[
    int, count("Draws training, validation and test; keep it to compare studies.", least=0, most=2**32 - 1)
]
Separator = Annotated[
    str | None,
    typer.Option(metavar="CHARACTER", help="Between the cells of a text file; or: tab.", show_default="found in it"),
]
Encoding = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Of a text file, as cp1252.", show_default="UTF-8, or what its first bytes tell"),
]
Header = Annotated[
    bool,
    typer.Option("--header/--no-header", help="Whether the first row holds names; else columns are numbered from 1."),
]
CacheDir = Annotated[
    Path,
    typer.Option(
        metavar="DIR", parser=user_path, help="Prepared texts and downloads; see them with python -m study.cache."
    ),
]


def reading_options(separator: str | None, encoding: str | None, header: bool) -> "Reading":
    """How files are to be read. Raises `UserError` for a value that is none."""
    from data.dialect import Reading

    separator = {"tab": "\t", "\\t": "\t"}.get(separator or "", separator)
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise UserError(f"--separator must be one character, or the word tab, got {separator!r}.")
    try:
        if encoding is not None:
            "".encode(encoding)
    except (LookupError, UnicodeError):
        raise UserError(f"--encoding must be one that Python knows, such as cp1252, got {encoding!r}.") from None
    return Reading(separator, encoding, header)


def run_command(app: typer.Typer, arguments: list[str] | None = None, *, unknown_option: str = "") -> int:
    """Run a command and return its exit code; `unknown_option`: what may be meant by one, for the error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name in a report must not end a search
    try:
        return app(arguments, standalone_mode=False) or 0
    except TyperException as error:
        message, exit_code = error.format_message().replace("Value error, ", ""), 2
        if message.startswith("No such option"):
            message = f"{message.rstrip('.')}. {unknown_option}"
    except UserError as error:
        message, exit_code = str(error), error.exit_code
    print(f"Error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


@contextmanager
def interruptible(kept: str = "", *, module: str | None = None, stderr: bool = False) -> Iterator["Console"]:
    """A console for a command that signals may interrupt; then it prints what is kept, and how to continue.

    `module`: the command to start again. Raises `typer.Exit` when interrupted.
    """
    from rich.console import Console

    from study.signals import Interrupted, end_on_signals, hold_signals

    def end_with_reader() -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno() if stderr else sys.stdout.fileno())
        raise Interrupted

    end_on_signals()
    console = Console(highlight=False, markup=False, soft_wrap=True, stderr=stderr)
    console.on_broken_pipe = end_with_reader  # type: ignore[method-assign]  # as in `| head`
    try:
        yield console
    except Interrupted:
        hold_signals()
        again = f"To continue: {command_again(module, sys.argv[1:])}" if module else ""
        console.print(" ".join(filter(None, ["Interrupted.", kept, again])))
        raise typer.Exit(INTERRUPTED) from None


def command_again(module: str, arguments: list[str]) -> str:
    """The command line to start again; a password in a URL is masked."""
    from study.errors import safe_url  # loads no torch, which may be half imported

    shown = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("--storage=") else ("", "", argument)
        shown.append(f"{option}{equals}{safe_url(value) if '://' in value else value}")
    again = shlex.join(["python", "-m", module, *shown])
    return again if shown == arguments else f"{again} (with the password, or with that in ~/.pgpass)"


def own_copy(what: str, *, metavar: str, variable: str, stored: str = "path") -> typer.models.OptionInfo:
    """An option for a file or folder with another path on this machine than where the study was started."""
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar,
        envvar=variable,
        parser=user_path,
        help=f"This machine's {what}.",
        show_default=f"the {stored} that is stored",
    )
    return option
