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
        bool, typer.Option("--clear", help="Remove the prepared texts; they are made again when needed.")
    ] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="With --clear: also those of trials, which then start anew.")
    ] = False,
) -> None:
    """List what is kept, with its size: prepared texts, downloads, and checkpoints of interrupted trials."""
    from preprocessing.cache import clear as clear_entries
    from preprocessing.cache import entries

    prepared = [(f"{entry.folder}  {entry.meta.get('name', '')}", entry.nbytes) for entry in entries(cache_dir)]
    kept = [(str(file), file.stat().st_size) for file in sorted(cache_dir.glob("checkpoints/*/*.pt"))]
    if clear:
        clear_entries(cache_dir)
        print(f"Removed {len(prepared)} prepared texts, {_size(sum(nbytes for _, nbytes in prepared))}.")
        if kept and checkpoints:
            shutil.rmtree(cache_dir / "checkpoints", ignore_errors=True)
            print(f"Removed {len(kept)} checkpoints, {_size(sum(nbytes for _, nbytes in kept))}.")
        elif kept:
            print(f"Kept {len(kept)} checkpoints of interrupted trials; --clear --checkpoints removes them, too.")
        return
    downloads = [(str(wheel), wheel.stat().st_size) for wheel in sorted(cache_dir.glob("wheels/*.whl"))]
    for path, nbytes in prepared + kept + downloads:
        print(f"{_size(nbytes):>10}  {path}")
    if not prepared + kept + downloads:
        print(f"Nothing is kept in {cache_dir}.")


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:.1f} kB"


if __name__ == "__main__":
    sys.exit(run_command(app))
