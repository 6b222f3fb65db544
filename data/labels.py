"""Labels: what counts as the same one, their order, and what looks like a mistake in them."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from data.errors import listed, quoted

INVISIBLE = r"\p{Cf}"  # format characters: zero-width spaces, byte order marks, soft hyphens
NUMBER = r"^[+-]?\d+(\.\d*)?$"
MANY_NUMBERS = 20  # classes: more numbers than that are rather values on a scale
LIST_SEPARATORS = (",", ";", "|")
RARE = 5  # texts of a class


def clean_labels(labels: pa.Array, *, are_numbers: bool | None = None) -> pa.Array:
    """Labels without outer blanks and invisible characters, in the normal form NFC; of numbers, `1.0` is `1`.

    `are_numbers`: whether all labels of the corpus are numbers, if more is known than these labels tell.
    """
    visible = pc.replace_substring_regex(pc.utf8_normalize(labels, form="NFC"), pattern=INVISIBLE, replacement="")
    cleaned = pc.utf8_trim_whitespace(visible)
    if all_are_numbers(cleaned) if are_numbers is None else are_numbers:
        for pattern, kept in ((r"(\.\d*?)0+$", r"\1"), (r"\.$", "")):
            cleaned = pc.replace_substring_regex(cleaned, pattern=pattern, replacement=kept)
    return cleaned


def all_are_numbers(labels: pa.Array) -> bool:
    """Whether all labels that are not empty are numbers."""
    filled = labels.filter(pc.fill_null(pc.not_equal(labels, ""), False))
    return bool(pc.all(pc.match_substring_regex(filled, pattern=NUMBER)).as_py())


def ordered(classes: set[str]) -> list[str]:
    """The classes in an order that is the same in every process: whole numbers by value, then as text (01, 1).

    If one of them is not a whole number, all are in the order of their characters.
    """
    if all(name.isascii() and name.isdigit() for name in classes):
        return sorted(classes, key=_by_value)
    return sorted(classes)


def notes_on_labels(labels: pa.Array) -> list[str]:
    """What may be wrong with cleaned labels, a sentence each."""
    counts = {entry["values"]: entry["counts"] for entry in labels.value_counts().to_pylist()}
    notes = []
    spellings: dict[str, list[str]] = {}
    for name in sorted(counts):
        spellings.setdefault(name.casefold(), []).append(name)
    if several := [names for names in spellings.values() if len(names) > 1]:
        shown = "; ".join(listed(names) for names in several[:3]) + ("; ..." if len(several) > 3 else "")
        notes.append(f"labels that differ only in capitals are classes of their own: {shown}.")
    if len(counts) > MANY_NUMBERS and all(_is_number(name) for name in counts) and _most_are_rare(counts):
        notes.append(
            f"the {len(counts):,} labels are numbers, most of them rare, as on a scale; this is a classification: put "
            "them into a few classes first."
        )
    for separator in LIST_SEPARATORS:
        lists = {name: [part.strip() for part in name.split(separator)] for name in counts if separator in name}
        parts = Counter(part for names in lists.values() for part in names)
        if len(lists) > 1 and all(parts[part] > 1 or part in counts for names in lists.values() for part in names):
            notes.append(
                f"labels such as {quoted(min(lists))} look like lists; each list is a class of its own, since a text "
                "gets one label."
            )
    return notes


def _by_value(digits: str) -> tuple[int, str, str]:
    """The sort key of a whole number of any length; `int` refuses more than 4,300 digits."""
    significant = digits.lstrip("0")
    return len(significant), significant, digits


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


def _most_are_rare(counts: dict[str, int]) -> bool:
    return float(np.median(list(counts.values()))) < RARE
