"""The columns that labelling adds to the rows of a file."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

from data.errors import UserError

CHUNK = 2_048  # texts at a time: bounds the memory, but allows batches of texts of similar length
Item = TypeVar("Item")
Result = list[tuple[str, float]]  # the likeliest labels of a text with their probabilities
Label = Callable[[Sequence[object]], list[Result]]


class PredictionError(UserError):
    """Texts cannot be read or labelled as requested. The message is one line: what is wrong, and the way out."""


@dataclass(frozen=True)
class Columns:
    text: str
    label: str  # this and the next: for the likeliest label; for the second one, with `_2` behind, and so on
    probability: str
    top: int = 1  # labels per text
    threshold: float = 0.0  # a label with a lower probability is left out

    @property
    def added(self) -> list[str]:
        names = []
        for rank in range(1, self.top + 1):
            ending = f"_{rank}" if rank > 1 else ""
            names += [f"{self.label}{ending}", f"{self.probability}{ending}"]
        return names

    def check_free(self, path: Path, names: Collection[str]) -> None:
        """Raises `PredictionError` if a column that is to be added is there, or is added twice."""
        if len(set(self.added)) < len(self.added):
            raise PredictionError(
                f"--label-as and --probability-as give two columns one name: {', '.join(self.added)}."
            )
        for number, column in enumerate(self.added):
            if column in names:
                option = "--probability-as" if number % 2 else "--label-as"
                raise PredictionError(
                    f"{path}: it has a column '{column}' already. Name another for the result: {option}."
                )

    def cells(self, result: Result) -> list[tuple[str | None, float]]:
        """The added cells of a text, in pairs; a label below the threshold is None."""
        return [(name if share >= self.threshold else None, share) for name, share in result]


def in_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
