"""`python -m study.cache`: see what is kept for all studies, and clear it."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from study.command_line import run_command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def cache(
    cache_dir: Annotated[Path, typer.Option(help="The folder to look at.")] = Path(".cache"),
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all but the downloads; interrupted trials then start anew.")
    ] = False,
) -> None:
    """List what is kept, with its size: prepared texts, downloads, and checkpoints of interrupted trials."""
    from preprocessing.cache import clear as clear_entries
    from preprocessing.cache import entries

    prepared = [(f"{entry.folder}  {entry.meta.get('name', '')}", entry.nbytes) for entry in entries(cache_dir)]
    checkpoints = [(str(file), file.stat().st_size) for file in sorted(cache_dir.glob("checkpoints/*/*.pt"))]
    if clear:
        clear_entries(cache_dir)
        shutil.rmtree(cache_dir / "checkpoints", ignore_errors=True)
        print(f"Removed {len(prepared)} prepared texts, {_size(sum(nbytes for _, nbytes in prepared))}.")
        if checkpoints:
            print(f"Removed {len(checkpoints)} checkpoints, {_size(sum(nbytes for _, nbytes in checkpoints))}.")
        return
    downloads = [(str(wheel), wheel.stat().st_size) for wheel in sorted(cache_dir.glob("wheels/*.whl"))]
    for path, nbytes in prepared + checkpoints + downloads:
        print(f"{_size(nbytes):>10}  {path}")
    if not prepared + checkpoints + downloads:
        print(f"Nothing is kept in {cache_dir}.")


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(run_command(app))
