"""`python -m study.cache`: list what is kept for all studies, and clear it."""

import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from data.files import user_path
from study.command_line import run_command

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Kept = list[tuple[str, int]]  # a description with the path, and the bytes


@app.command()
def cache(
    cache_dir: Annotated[Path, typer.Option(metavar="DIR", parser=user_path, help="The folder to look at.")] = Path(
        ".cache"
    ),
    clear: Annotated[
        bool,
        typer.Option(
            "--clear",
            help="Remove what is computed from texts: prepared texts, features of encoders, vectors of words. It is "
            "made again when needed. Downloads and checkpoints stay.",
        ),
    ] = False,
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints",
            help="With --clear: also checkpoints of interrupted trials, which then start over, and weights of "
            "confirmed ones, which a report then trains again.",
        ),
    ] = False,
) -> None:
    """List all that is kept, with its size: what is computed from texts, checkpoints, weights, and downloads."""
    if checkpoints and not clear:
        raise typer.BadParameter("it goes with --clear.", param_hint="--checkpoints")
    from preprocessing.cache import clear as clear_entries
    from preprocessing.cache import entries

    computed = [(f"{entry.meta.get('name', '')}: {entry.folder}", entry.nbytes) for entry in entries(cache_dir)]
    trained = _by_study(cache_dir, "*.pt", "checkpoints of interrupted trials")
    trained += _by_study(cache_dir, "*.safetensors", "weights of confirmed trials")
    if clear:
        clear_entries(cache_dir)
        print(f"Removed what is computed from texts, {_total(computed)}.")
        if trained and checkpoints:
            shutil.rmtree(cache_dir / "checkpoints", ignore_errors=True)
            print(f"Removed checkpoints and weights of trials, {_total(trained)}.")
        elif trained:
            print(
                f"Kept checkpoints and weights of trials, {_total(trained)}; --clear --checkpoints removes them, too."
            )
        return
    downloads = _sized(cache_dir, "wheels/*.whl", "download")
    downloads += _sized(cache_dir, "wheels/*/", "unpacked download")
    for what, nbytes in computed + trained + downloads:
        print(f"{_size(nbytes):>10}  {what}")
    if everything := computed + trained + downloads:
        print(f"{_total(everything):>10}  in all")
    else:
        print(f"Nothing is kept in {cache_dir}.")


def _sized(cache_dir: Path, pattern: str, kind: str) -> Kept:
    """The files and folders that match a pattern."""
    paths = sorted(cache_dir.glob(pattern))
    return [(f"{kind}: {path}", sum(_sizes(_files(path)))) for path in paths]


def _by_study(cache_dir: Path, pattern: str, kind: str) -> Kept:
    """The files that match a pattern in each study's folder of checkpoints."""
    sizes_by_folder = {folder: _sizes(folder.glob(pattern)) for folder in sorted(cache_dir.glob("checkpoints/*"))}
    return [(f"{kind} ({len(sizes)}): {folder}", sum(sizes)) for folder, sizes in sizes_by_folder.items() if sizes]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _sizes(files: Iterable[Path]) -> list[int]:
    """The sizes of the files, without those that a running study has removed meanwhile."""
    sizes = []
    for file in files:
        with suppress(FileNotFoundError):
            sizes.append(file.stat().st_size)
    return sizes


def _total(kept: Kept) -> str:
    return _size(sum(nbytes for _, nbytes in kept))


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 100_000 else f"{nbytes / 1e3:.1f} kB"


def main() -> None:
    sys.exit(run_command(app))


if __name__ == "__main__":
    main()
