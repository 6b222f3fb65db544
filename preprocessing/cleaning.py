"""Turns raw text of any script into words; the same rule for a whole corpus and for a single text.

A word is a run of letters with their marks and digits, or one of symbols such as `++` or `#`. The letters of scripts
that are written without blanks are words of their own, and so is every symbol beyond ASCII, such as an emoji. All else
separates words. Every step is a kernel over a whole column; there is no Python loop over texts.
"""

from functools import cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CLEANING_VERSION = 2  # increase when the rule changes: part of the cache key of prepared texts
SYMBOLS = b"!#$%&*+<=>?@^`|~"  # of ASCII, that tell texts apart: c++ or c#, #topic, @name, exclamations
# Kinds of characters beyond ASCII; a character of an earlier kind is not of a later one.
SEPARATOR, LETTER, MARK, ALONE, FORMAT = range(5)
PATTERNS = {
    FORMAT: r"[\p{Cf}\x{FE00}-\x{FE0F}]",  # soft hyphens, joiners, and selectors of emoji
    MARK: r"\p{M}",
    ALONE: r"[\p{S}\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]",
    LETTER: r"[\p{L}\p{N}]",
}
LAST_PLANE_OF_LETTERS = 0x20000  # from here on there are only Han characters
UNDECODABLE = 0xFFFD  # the replacement character, a symbol
BLANK = ord(" ")
Bytes: TypeAlias = npt.NDArray[np.uint8]


def clean(texts: pa.Array) -> pa.Array:
    """Apply NFKC and lower case, remove format characters, and put blanks between words, perhaps several.

    Half a surrogate pair cannot occur in `texts`, which are UTF-8 (`large_string`).
    """
    lowered = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    _, offsets, content = lowered.buffers()
    offsets = np.frombuffer(offsets, np.int64)[lowered.offset : lowered.offset + len(lowered) + 1]
    first, last = offsets[0], offsets[-1]
    content = memoryview(content)[first:last].tobytes() if content else b""
    is_symbol = np.frombuffer(content.translate(_ONE_IF_SYMBOL), np.uint8)
    characters = np.frombuffer(bytearray(content.translate(_BLANK_UNLESS_WORD)), np.uint8)
    apart = np.zeros(len(characters) + 1, bool)  # whether a blank goes before a byte
    apart[1:-1] = is_symbol[1:] != is_symbol[:-1]
    removed = _separate_beyond_ascii(characters, apart)
    return _rebuilt(characters, offsets - first, apart, removed)


def clean_as_at_first(texts: pa.Array) -> pa.Array:
    """The rule of version 1, for models that were fitted with it: runs of letters and digits, whatever the script."""
    lowered = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.replace_substring_regex(lowered, pattern=r"[^\p{L}\p{N} ]+", replacement=" ")


RULES = {1: clean_as_at_first, CLEANING_VERSION: clean}


def tokenize(cleaned: pa.Array) -> pa.Array:
    """Split cleaned texts at blanks: an array of lists of words. A text without a word gives the single word `""`."""
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(cleaned))


def _separate_beyond_ascii(characters: Bytes, apart: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
    """Overwrite separators beyond ASCII with blanks, mark where words end, and return the bytes to be removed."""
    starts = np.flatnonzero(characters >= 0xC0)  # of characters of several bytes
    if len(starts) == 0:
        return starts
    points, ends = _code_points(characters, starts)
    kinds = _kinds()[points]
    characters[_bytes_of(kinds == SEPARATOR, starts, ends)] = BLANK
    is_alone, follows = kinds == ALONE, (kinds == MARK) | (kinds == FORMAT)
    after = ends[is_alone]
    if follows.any():
        steps = np.zeros(len(apart), np.uint8)  # the bytes of a mark or format character, at its first one
        steps[starts[follows]] = ends[follows] - starts[follows]
        while (step := steps[after]).any():
            after = after + step
    apart[starts[is_alone]] = True
    apart[after] = True
    return np.sort(_bytes_of(kinds == FORMAT, starts, ends))


def _bytes_of(
    chosen: npt.NDArray[np.bool_], starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """The indices of the bytes of some characters."""
    starts, ends = starts[chosen], ends[chosen]
    return np.concatenate([starts, *((starts + place)[starts + place < ends] for place in range(1, 4))])


def _code_points(
    characters: Bytes, starts: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """The code points of UTF-8 characters of several bytes, and the ends of these."""
    leads = characters[starts]
    points, ends = np.empty(len(starts), np.uint32), np.empty(len(starts), np.intp)
    for length, low, high in ((2, 0xC0, 0xE0), (3, 0xE0, 0xF0), (4, 0xF0, 0x100)):
        has_length = (leads >= low) & (leads < high)
        chosen = slice(None) if has_length.all() else has_length  # all: without copies
        begin = starts[chosen]
        found = (leads[chosen] & (0xFF >> (length + 1))).astype(np.uint32)
        for place in range(1, length):
            found <<= 6
            found |= characters[begin + place] & 0x3F
        points[chosen], ends[chosen] = found, begin + length
    return points, ends


def _rebuilt(
    characters: Bytes, offsets: npt.NDArray[np.int64], apart: npt.NDArray[np.bool_], removed: npt.NDArray[np.intp]
) -> pa.Array:
    """The texts with blanks inserted and bytes removed."""
    blanks = np.flatnonzero(apart[: len(characters)])
    if len(removed):
        characters = np.delete(characters, removed)
        offsets, blanks = (places - np.searchsorted(removed, places) for places in (offsets, blanks))
    if len(blanks):
        spaced = np.full(len(characters) + len(blanks), BLANK, np.uint8)
        is_character = np.ones(len(spaced), bool)
        is_character[blanks + np.arange(len(blanks))] = False
        spaced[is_character] = characters  # twice as fast as `np.insert`
        characters, offsets = spaced, offsets + np.searchsorted(blanks, offsets)
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets, np.int64)), pa.py_buffer(characters)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers)


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """The kind of each code point."""
    kinds = np.full(0x110000, ALONE, np.uint8)
    kinds[:LAST_PLANE_OF_LETTERS] = SEPARATOR
    points = np.array([point for point in range(0x80, LAST_PLANE_OF_LETTERS) if not 0xD800 <= point < 0xE000])
    characters = pa.array(map(chr, points.tolist()), pa.large_string())
    for kind, pattern in reversed(PATTERNS.items()):
        matches = pc.match_substring_regex(characters, pattern=pattern).to_numpy(zero_copy_only=False)
        kinds[points[matches]] = kind
    kinds[UNDECODABLE] = SEPARATOR
    return kinds


_IS_WORD = [chr(byte).isalnum() or byte in SYMBOLS or byte >= 0x80 for byte in range(256)]
_BLANK_UNLESS_WORD = bytes(byte if is_word else BLANK for byte, is_word in enumerate(_IS_WORD))
_ONE_IF_SYMBOL = bytes(byte in SYMBOLS for byte in range(256))
