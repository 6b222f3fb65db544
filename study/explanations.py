"""The pages on the models, docs/models/, in parts, for what cannot follow the links of a page to its pictures."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "docs" / "models"


@dataclass(frozen=True)
class Explanation:
    title: str  # Markdown, as the text
    picture: Path  # SVG
    text: str


def read_explanation(model: str) -> Explanation:
    """That of a model by its name in `--model`."""
    page = (FOLDER / f"{model}.md").read_text(encoding="utf-8")
    title, picture, text = re.split(r"!\[.+\]\((.+)\)", page)
    return Explanation(title, FOLDER / picture, text)
