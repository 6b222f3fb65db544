"""What the commands share: how they end (a user's mistake is one line and exit code 2, never a traceback)."""

import shlex
import sys
from pathlib import Path

import typer
from typer.exceptions import TyperException

from data.errors import UserError

INTERRUPTED = 130  # as a shell says of a program that Ctrl-C has ended
STORAGE_VARIABLE = "STUDY_STORAGE"  # the environment variable for --storage: command lines can be read by others
DATA_VARIABLE = "STUDY_DATA"  # this and the next: for the paths of workers, where machines differ
VECTORS_VARIABLE = "STUDY_VECTORS"
BERT_MODEL_VARIABLE = "STUDY_BERT_MODEL"
CACHE_VARIABLE = "STUDY_CACHE_DIR"
ARTIFACT_VARIABLE = "STUDY_ARTIFACT_DIR"


def run_command(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        return app(arguments, standalone_mode=False) or 0
    except TyperException as error:
        message, exit_code = error.format_message().replace("Value error, ", ""), 2
    except UserError as error:
        message, exit_code = str(error), error.exit_code
    print(f"Error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code


def browse_command(url: str, artifact_dir: str | None) -> str:
    """How to open the dashboard; a password in the URL is masked."""
    from study.storage.connection import safe_url

    command = ["optuna-dashboard", safe_url(url)]
    if artifact_dir is not None:
        folder, here = Path(artifact_dir), Path.cwd()
        command += ["--artifact-dir", str(folder.relative_to(here) if folder.is_relative_to(here) else folder)]
    return shlex.join(command)


def command_again(module: str, arguments: list[str]) -> str:
    """The command as it was given, to be started again; a password in a URL is masked."""
    from study.storage.connection import safe_url

    shown = []
    for argument in arguments:
        option, equals, value = argument.partition("=") if argument.startswith("--storage=") else ("", "", argument)
        shown.append(f"{option}{equals}{safe_url(value) if '://' in value else value}")
    again = shlex.join(["python", "-m", module, *shown])
    return again if shown == arguments else f"{again} (with the password, or with that in ~/.pgpass)"
