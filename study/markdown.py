"""Escapes text for Markdown: nothing in it becomes a tag, a link, emphasis, a cell or a block."""

import re

# Characters with a meaning anywhere, an underscore that is not within a word, the ampersand of an entity.
ANYWHERE = re.compile(r"[\\`*<\[\]|~$#]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)")
AT_THE_BEGINNING = re.compile(r"^(?:[-+>=]|\d{1,9}(?=[.)](?:\s|$)))")  # a list, a quotation, or a line under a title


def markdown_text(text: object) -> str:
    """The text on one line, escaped so that a page shows just it (CommonMark 0.31, and tables as on GitHub)."""
    escaped = ANYWHERE.sub(r"\\\g<0>", " ".join(str(text).split()))
    return AT_THE_BEGINNING.sub(_escape_beginning, escaped)


def fence_for(*lines: str) -> str:
    """The fence of a block of code: more backticks than any run in its lines, at least three."""
    runs = [len(run) for line in lines for run in re.findall("`+", line)]
    return "`" * max(3, *(run + 1 for run in [0, *runs]))


def _escape_beginning(match: re.Match[str]) -> str:
    return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"
