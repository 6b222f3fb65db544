"""How every command ends: a user's mistake is one line on standard error and exit code 2, never a traceback."""

import sys

import typer
from typer.exceptions import TyperException

from data.errors import UserError


def run_command(app: typer.Typer, arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        return app(arguments, standalone_mode=False) or 0
    except TyperException as error:
        message, exit_code = error.format_message(), 2
    except UserError as error:
        message, exit_code = str(error), error.exit_code
    print(f"Error: {' '.join(message.split())}", file=sys.stderr)
    return exit_code
