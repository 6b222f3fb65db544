"""Finds the files of a study whose folder has been moved, with its database, or copied to another machine."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from data.source import DataSource
from study.configuration import StudyConfig


def moved_with(database: Path, configuration: StudyConfig) -> StudyConfig:
    """The configuration with what lies beside the database in place of files and folders that are gone.

    What a file holds is checked when it is read.
    """
    folder, base = database.parent, configuration.base
    artifact_dir = configuration.artifact_dir
    vectors = base.vectors
    if vectors and vectors.path:
        vectors = replace(vectors, path=_moved(vectors.path, folder))
    return replace(
        configuration,
        source=_moved_source(configuration.source, folder),
        cache_dir=_moved(configuration.cache_dir, folder, may_be_new=True),
        artifact_dir=artifact_dir and _moved(artifact_dir, folder, may_be_new=True),
        base=replace(base, vectors=vectors, model=_moved_encoder(base.model, folder)),
    )


def _moved_encoder(model: Any, folder: Path) -> Any:
    """The configuration of a model whose encoder is in a folder, with the folder where it is now."""
    pretrained = getattr(model, "pretrained", None)
    return (
        replace(model, pretrained=_moved(pretrained, folder))
        if pretrained and Path(pretrained).is_absolute()
        else model
    )


def _moved_source(source: DataSource, folder: Path) -> DataSource:
    if source.path is None:
        return source
    return replace(
        source,
        path=_moved(source.path, folder),
        further_paths=tuple(_moved(path, folder) for path in source.further_paths),
        test_path=source.test_path and _moved(source.test_path, folder),
    )


def _moved(stored: str, folder: Path, *, may_be_new: bool = False) -> str:
    """The stored path, or if it is gone, the one in `folder` whose end is the same, the longest first.

    `may_be_new`: a folder that is made when it is needed, and is only looked for if the one above it is gone, too.
    """
    path = Path(stored)
    if os.path.exists(path) or (may_be_new and os.path.exists(path.parent)):  # noqa: PTH110  # another user's: gone
        return stored
    ends = [Path(*path.parts[-length:]) for length in range(len(path.parts) - 1, 0, -1)]
    found = (str(folder / end) for end in ends if (folder / end).exists())
    return next(found, str(folder / path.name) if may_be_new else stored)
