"""The one rule that turns raw text into words; the same for a whole corpus and for a single text.

Every step is one Arrow kernel over a whole column; there is no Python loop over texts.
"""

import pyarrow as pa
import pyarrow.compute as pc

CLEANING_VERSION = 1  # count up when the rule changes: prepared texts are kept under it
NEITHER_LETTER_NOR_DIGIT = r"[^\p{L}\p{N} ]+"  # not the space, which stays: replacing it by itself costs the most


def clean(texts: pa.Array) -> pa.Array:
    """NFKC, lower case, and a space for everything but letters and digits. Words may be several spaces apart."""
    lowered = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKC"))
    return pc.replace_substring_regex(lowered, pattern=NEITHER_LETTER_NOR_DIGIT, replacement=" ")


def tokenize(cleaned: pa.Array) -> pa.Array:
    """Split cleaned texts at spaces: an array of lists of words. A text without a word gives the one word `""`."""
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(cleaned))
