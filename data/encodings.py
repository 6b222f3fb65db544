"""The character encoding of a text file: told by its first bytes, or guessed to be named in an error."""

import codecs
import re
from pathlib import Path
from typing import TYPE_CHECKING

from data.compression import open_bytes
from data.errors import CorpusError

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

LOOKED_AT = 1 << 16  # bytes from the start of a file
GUESSED_FROM = 1 << 20  # bytes around the first one that is not UTF-8
MANY_NULS, SOME_NULS = 0.9, 0.02  # shares of characters: all of UTF-32 have some, of UTF-16 at least line ends
BEYOND_ASCII = re.compile(r"[^\x00-\x7f\ufffd]")
AS_LIKELY = 0.03  # a difference in charset-normalizer's "coherence", from 0 to 1, that says nothing
MARKS = (  # those of UTF-32 first: they begin like those of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
# Common ones of each script. Without the list, a Western text with few accents passes for one of a rare encoding.
GUESSES = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]


def find_encoding(path: Path, named: str | None = None) -> str:
    """The encoding by Python's name: the `named` one, or that of the byte order mark or the NULs, otherwise UTF-8.

    Raises `CorpusError` for NULs that no encoding explains.
    """
    with open_bytes(path) as file:
        start = file.read(LOOKED_AT)
    if named:
        is_marked = start.startswith(codecs.BOM_UTF8) and codecs.lookup(named).name == "utf-8"
        return "utf-8-sig" if is_marked else named
    for mark, name in MARKS:
        if start.startswith(mark):
            return name
    if 0 not in start:
        return "utf-8"
    start = start[: len(start) // 4 * 4]
    nuls = [start[place::4].count(0) / max(1, len(start) // 4) for place in range(4)]  # their shares, by place
    if min(nuls[:2]) > MANY_NULS:
        return "utf-32-be"
    if min(nuls[2:]) > MANY_NULS:
        return "utf-32-le"
    even, odd = nuls[0] + nuls[2], nuls[1] + nuls[3]
    if max(even, odd) > SOME_NULS and min(even, odd) < max(even, odd) / 10:
        return "utf-16-be" if even > odd else "utf-16-le"
    units = [start[place : place + 2] for place in range(0, len(start), 2)]  # of Chinese, letters have NULs, too
    little, big = units.count(b"\n\0"), units.count(b"\0\n")
    if max(little, big) > 10 * min(little, big):
        return "utf-16-le" if little > big else "utf-16-be"
    raise CorpusError(f"{path} is no text file: it holds NUL characters. Export it as CSV, Parquet or JSON lines.")


def undecodable(path: Path, encoding: str) -> str:
    """A message that names the place that cannot be decoded, and for UTF-8 the likely encoding."""
    decoder, offset, line, ending = codecs.getincrementaldecoder(encoding)(), 0, 1, b""
    with open_bytes(path) as file:
        while block := file.read(LOOKED_AT):
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start]
                line += before.count(b"\n") - ending.count(b"\n")
                place, byte = offset - len(ending) + error.start, error.object[error.start]
                where = f"line {line:,}, byte offset {place:,} (0x{byte:02x})"
                return f"{path} is not {_title(encoding)}: {where}. {_way_out(path, place, encoding)}"
            except UnicodeError as error:  # of UTF-16 without its mark
                return f"{path} is not {_title(encoding)} ({error}). Leave --encoding out, or name another."
            line += block.count(b"\n")
            offset += len(block)
            ending = decoder.getstate()[0]
    return f"{path} is not {_title(encoding)}: its last character is cut off. Copy it again."


def _title(encoding: str) -> str:
    return encoding.upper().removesuffix("-SIG") if encoding.startswith("utf") else encoding


def _way_out(path: Path, place: int, encoding: str) -> str:
    if not encoding.startswith("utf-8"):
        return "Name the right one with --encoding."
    text = _around(path, place).decode("utf-8", "replace")
    if len(BEYOND_ASCII.findall(text)) > text.count("\ufffd"):
        return "Nearly all of it is UTF-8: repair that line."
    guess = _guess(path, place)
    return (
        f"It seems to be {guess}: look at some texts, and read it with --encoding {guess}."
        if guess
        else "Name its encoding with --encoding, for example cp1252."
    )


def _around(path: Path, place: int) -> bytes:
    with open_bytes(path) as file:
        skipped = max(0, place - GUESSED_FROM // 2)
        while skipped > 0 and (block := file.read(min(skipped, LOOKED_AT))):
            skipped -= len(block)
        return file.read(GUESSED_FROM)


def _guess(path: Path, place: int) -> str | None:
    """The likely encoding of a file, judged from the text around the first byte that is not UTF-8."""
    from charset_normalizer import from_bytes

    matches: list[CharsetMatch] = list(from_bytes(_around(path, place), cp_isolation=GUESSES))
    usual = [match for match in matches if GUESSES[0] in match.could_be_from_charset]
    if usual and usual[0].coherence > matches[0].coherence - AS_LIKELY:
        return GUESSES[0]  # far more common than others that it is told from by a few letters
    return matches[0].encoding if matches else None
