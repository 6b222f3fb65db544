"""Random tables that are written in any dialect, encoding and compression are read back."""

import bz2
import csv
import gzip
import io
import lzma
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.delimited import read_delimited
from data.dialect import Reading

HEADER = ["Category", "description_pre"]
WORDS = ["the", "a", "café", "naïve", "Straße", "слово", "日本", "don't", "3.5", "c++", "NA", "null", "#tag"]
WORDS += ["x;y", "a,b", "p|q", "tab\tthere"]
QUOTED_WORDS = ['"quoted"', '"open', 'close"', 'it"s', "back\\slash", "\\n", "end\\"]


@settings(max_examples=300)
@given(st.integers(0, 2**32), st.sampled_from(["minimal", "all", "backslash", "none"]), st.booleans())
@example(1616, "minimal", True)
def test_what_is_written_in_any_dialect_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, style: str, awkward: bool
) -> None:
    generator = random.Random(seed)
    separator, end = generator.choice(",;\t|"), generator.choice(["\n", "\r\n", "\r"])
    encoding = generator.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])

    def text() -> str:
        blanks = [" "] * 9 + ["\n"] * (awkward and style != "none" and end != "\r")
        words = WORDS + QUOTED_WORDS * awkward
        found = "x" + "".join(
            generator.choice(blanks) + generator.choice(words) for _ in range(generator.randint(0, 9))
        )
        return found.replace(separator, " ") if style == "none" else found

    rows = [(generator.choice(["a", "été", "7"]), text(), str(number)) for number in range(generator.randint(1, 40))]
    rows += [("a", 'say "yes"', "0")] if style == "backslash" else []  # without a quote, it could be any style
    table = [(*HEADER, "id"), *rows]
    file = io.StringIO(newline="")
    if style == "none":
        file.write("".join(f"{separator.join(row)}{end}" for row in table))
    else:
        quoting = csv.QUOTE_ALL if style in ("all", "backslash") else csv.QUOTE_MINIMAL
        escapes: dict[str, Any] = {"doublequote": False, "escapechar": "\\"} if style == "backslash" else {}
        csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting, **escapes).writerows(table)
    path = tmp_path_factory.mktemp("any") / "t.csv"
    compress = generator.choice([bytes, gzip.compress, bz2.compress, lzma.compress])
    path.write_bytes(compress(file.getvalue().encode(encoding)))
    _, frame = read_delimited(path, HEADER, Reading())
    assert [tuple(row) for row in frame.to_numpy()] == [row[:2] for row in rows]
