"""Turns raw text of any script into words; the same rule for a whole corpus and for a single text.

A word is a run of letters with their marks and digits, or one of symbols such as `++` or `#`. The letters of scripts
that are written without blanks are words of their own, and so is every symbol beyond ASCII, such as an emoji. All else
separates words. Every step is a kernel over a whole column; there is no Python loop over texts.
"""

from dataclasses import dataclass
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
    FORMAT: r"[\p{Cf}\x{FE00}-\x{FE0F}\x{E0100}-\x{E01EF}]",  # soft hyphens, joiners, selectors of variants
    MARK: r"\p{M}",
    ALONE: r"[\p{S}\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]",
    LETTER: r"[\p{L}\p{N}]",
}
LAST_PLANE_OF_LETTERS = 0x20000  # from here on there are only Han characters, and the next
OTHER_FORMATS = range(0xE0000, 0xE01F0)  # of flags, and selectors of variants of Han characters
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
    content, offsets = memoryview(content)[first:last].tobytes() if content else b"", offsets - first
    beyond_ascii = _find_beyond_ascii(content)
    if len(removed := beyond_ascii.bytes_of(FORMAT)):
        content = np.delete(np.frombuffer(content, np.uint8), removed).tobytes()
        offsets = offsets - np.searchsorted(np.sort(removed), offsets)
        beyond_ascii = _find_beyond_ascii(content)
    is_symbol = np.frombuffer(bytearray(content.translate(_ONE_IF_SYMBOL)), np.uint8)
    characters = np.frombuffer(bytearray(content.translate(_BLANK_UNLESS_WORD)), np.uint8)
    apart = np.zeros(len(characters) + 1, bool)  # whether a blank goes before a byte
    if len(beyond_ascii.starts):
        _separate(characters, is_symbol, apart, offsets, beyond_ascii)
    apart[1:-1] |= is_symbol[1:] != is_symbol[:-1]
    return _with_blanks(characters, offsets, apart)


def clean_as_at_first(texts: pa.Array) -> pa.Array:
    """The rule of version 1, for models that were fitted with it: runs of letters and digits, whatever the script."""
    lowered = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.replace_substring_regex(lowered, pattern=r"[^\p{L}\p{N} ]+", replacement=" ")


RULES = {1: clean_as_at_first, 2: clean}


def tokenize(cleaned: pa.Array) -> pa.Array:
    """Split cleaned texts at blanks: an array of lists of words. A text without a word gives the single word `""`."""
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(cleaned))


@dataclass(frozen=True)
class _BeyondAscii:
    """The characters of several bytes in UTF-8: where they start and end, and their kinds."""

    starts: npt.NDArray[np.intp]
    ends: npt.NDArray[np.intp]
    kinds: npt.NDArray[np.uint8]

    def bytes_of(self, kind: int) -> npt.NDArray[np.intp]:
        chosen = self.kinds == kind
        return _places(self.starts[chosen], self.ends[chosen])


def _find_beyond_ascii(content: bytes) -> _BeyondAscii:
    characters = np.frombuffer(content, np.uint8)
    starts = np.flatnonzero(characters >= 0xC0)
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
    return _BeyondAscii(starts, ends, _kinds()[points] if len(points) else np.empty(0, np.uint8))


def _separate(
    characters: Bytes,
    is_symbol: Bytes,
    apart: npt.NDArray[np.bool_],
    offsets: npt.NDArray[np.int64],
    beyond_ascii: _BeyondAscii,
) -> None:
    """Overwrite separators beyond ASCII with blanks, and mark where words begin and end that are one character.

    A mark belongs to the character before it; where there is none, it separates, as NFKC makes a blank and a mark of
    an accent that stands alone.
    """
    starts, ends, kinds = beyond_ascii.starts, beyond_ascii.ends, beyond_ascii.kinds
    characters[beyond_ascii.bytes_of(SEPARATOR)] = BLANK
    is_alone, is_mark = kinds == ALONE, kinds == MARK
    after = ends[is_alone]
    if is_mark.any():
        marks, lengths = starts[is_mark], (ends - starts)[is_mark]
        steps = np.zeros(len(apart), np.uint8)  # the bytes of a mark, at its first one
        steps[marks] = lengths
        steps[offsets] = 0  # a text does not go on with the marks of the next one
        begins = np.isin(marks, offsets) | (characters[marks - 1] == BLANK)
        characters[_with_following(marks[begins], lengths[begins], steps)] = BLANK
        on_symbol = ~begins & (is_symbol[marks - 1] == 1)
        is_symbol[_with_following(marks[on_symbol], lengths[on_symbol], steps)] = 1
        while (step := steps[after]).any():
            after = after + step
    apart[starts[is_alone]] = True
    apart[after] = True


def _with_following(
    marks: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp], steps: npt.NDArray[np.uint8]
) -> npt.NDArray[np.intp]:
    """The indices of the bytes of these marks, and of those that follow them."""
    ends = marks + lengths
    while (step := steps[ends]).any():
        ends = ends + step
    return _places(marks, ends)


def _places(starts: npt.NDArray[np.intp], ends: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """All indices from the starts to the ends."""
    lengths = ends - starts
    longest = int(lengths.max(initial=0))
    return np.concatenate([starts[:0], *((starts + place)[lengths > place] for place in range(longest))])


def _with_blanks(characters: Bytes, offsets: npt.NDArray[np.int64], apart: npt.NDArray[np.bool_]) -> pa.Array:
    """The texts with blanks inserted."""
    blanks = np.flatnonzero(apart[: len(characters)])
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
    ranges = range(0x80, 0xD800), range(0xE000, LAST_PLANE_OF_LETTERS), OTHER_FORMATS  # without halves of pairs
    points = np.concatenate(ranges)
    characters = pa.array(map(chr, points.tolist()), pa.large_string())
    for kind, pattern in reversed(PATTERNS.items()):
        matches = pc.match_substring_regex(characters, pattern=pattern).to_numpy(zero_copy_only=False)
        kinds[points[matches]] = kind
    kinds[UNDECODABLE] = SEPARATOR
    return kinds


_IS_WORD = [chr(byte).isalnum() or byte in SYMBOLS or byte >= 0x80 for byte in range(256)]
_BLANK_UNLESS_WORD = bytes(byte if is_word else BLANK for byte, is_word in enumerate(_IS_WORD))
_ONE_IF_SYMBOL = bytes(byte in SYMBOLS for byte in range(256))
