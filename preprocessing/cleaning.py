"""Turns raw text into words; the same rule for a whole corpus and for a single text.

Every step is one Arrow kernel over a whole column; there is no Python loop over texts.
"""

import pyarrow as pa
import pyarrow.compute as pc

CLEANING_VERSION = 1  # increase when the rule changes: part of the cache key of prepared texts
NEITHER_LETTER_NOR_DIGIT = r"[^\p{L}\p{N} ]+"  # nor space: replacing those takes longest


def clean(texts: pa.Array) -> pa.Array:
    """Apply NFKC and lower case; replace all but letters and digits by spaces. Words may be several spaces apart."""
    lowered = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.replace_substring_regex(lowered, pattern=NEITHER_LETTER_NOR_DIGIT, replacement=" ")


def tokenize(cleaned: pa.Array) -> pa.Array:
    """Split cleaned texts at spaces: an array of lists of words. A text without a word gives the single word `""`."""
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(cleaned))
