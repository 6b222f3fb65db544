"""Text files of pretrained word vectors: a word and its numbers on each line, as GloVe, fastText and word2vec write."""

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.compression import open_bytes
from data.errors import CorpusError, UserError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
LARGEST = float(np.finfo(np.float32).max)
FORMAT = "Each line must be a word and its numbers, single spaces between them, in UTF-8, plain or as .gz."


class VectorsError(UserError):
    """Word vectors that cannot be used. The message is one line: which file, which line, and the way out."""


def read_vector_file(path: Path, wanted: Iterable[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The `wanted` words that the file has, as indices (N,) into `wanted`, and their vectors (N, size).

    The file may start with a header of two whole numbers, the number of vectors and their size; otherwise the size is
    that of the first line. The last `size` cells of a line are the vector and all before them is the word, which may
    hold spaces; the first of repeated words counts. Numbers of other words are not parsed, so that 400,000 lines of 50
    numbers take half a second: half the time of Arrow's kernels and of pandas. Raises `VectorsError`.
    """
    places = {word.encode(): place for place, word in enumerate(wanted)}
    lines = _lines(path)
    first = next(lines, (1, b""))
    announced, size = _header(first[1])
    if announced is None and first[1]:
        lines = chain([first], lines)
    vectors, rows = 0, dict[int, list[float]]()
    for vectors, (number, line) in enumerate(lines, start=1):
        if (spaces := line.count(b" ")) < size or size == 0:
            expected = f", but {size} are expected" if size else ""
            raise VectorsError(f"{path}: line {number} has {spaces} numbers{expected}. {FORMAT}")
        word = line.partition(b" ")[0] if spaces == size else line.rsplit(b" ", size)[0]
        place = places.get(word)
        if vectors == 1 or (place is not None and place not in rows):  # the first: is this a file of vectors at all?
            values = [_number(cell, path, number) for cell in line.rsplit(b" ", size)[1:]]
            if place is not None:
                rows[place] = values
    if vectors == 0 or announced not in (None, vectors):
        expected = f" of {announced:,} that its first line announces" if announced else ""
        raise VectorsError(f"{path} holds {vectors:,} vectors{expected}. Copy it again, or fix its first line.")
    return np.array(list(rows), np.int64), np.array(list(rows.values()), np.float32).reshape(-1, size)


def vector_size(path: Path) -> int:
    """The size of the file's vectors, by its first line. Raises `VectorsError` for an empty file."""
    for _, line in _lines(path):
        return _header(line)[1]
    raise VectorsError(f"{path} is empty; it needs a line for each word: the word, then the numbers of its vector.")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The non-empty lines, with their numbers from 1."""
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                if line := line.rstrip(b" \r\n"):
                    yield number, line
    except OSError as error:
        raise VectorsError(f"{path} cannot be read: {error.strerror}. Is it whole? Copy it again.") from None
    except CorpusError as error:
        raise VectorsError(str(error)) from None


def _header(line: bytes) -> tuple[int | None, int]:
    """The announced number of vectors, None without a header, and their size."""
    cells = line.split(b" ")
    if len(cells) == 2 and all(cell.isdigit() for cell in cells):
        return int(cells[0]), int(cells[1])
    return None, len(cells) - 1


def _number(cell: bytes, path: Path, line: int) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST:
        raise VectorsError(f"{path}: line {line} has {cell.decode('utf-8', 'replace')[:20]!r} for a number. {FORMAT}")
    return value
