"""A table as a report shows it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    name: str  # for an anchor
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    shades: tuple[tuple[float, ...], ...] = ()  # from 0 to 1, of all cells except the first column
