"""The options that several commands share, each as a type; what a command must know of where it was started."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from study.command_line import STORAGE_VARIABLE

DEFAULT_STORAGE = "sqlite:///study.db"
MOST = 2**31 - 1

Storage = Annotated[
    str,
    typer.Option(
        metavar="URL",
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
Device = Literal["auto", "cpu", "cuda", "mps"]
CacheDir = Annotated[
    Path, typer.Option(metavar="DIR", help="Prepared texts and downloads; see them with python -m study.cache.")
]


def count(help_text: str, *, least: int = 1, most: int = MOST, default: str | None = None) -> typer.models.OptionInfo:
    """An option for a whole number; `default` says in words what is taken without it."""
    option: typer.models.OptionInfo = typer.Option(
        metavar="N", min=least, max=most, help=help_text, show_default=default if default else True
    )
    return option


def own_copy(what: str, *, metavar: str, variable: str, stored: str = "path") -> typer.models.OptionInfo:
    """An option for what lies elsewhere on this machine than where the study was begun."""
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar, envvar=variable, help=f"This machine's {what}.", show_default=f"the {stored} that is stored"
    )
    return option
