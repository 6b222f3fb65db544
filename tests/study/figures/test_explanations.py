"""The pages on the models, split into title, picture and text."""

import pytest

from study.figures.notebook import FOLDER, read_explanation


@pytest.mark.parametrize("model", sorted(page.stem for page in FOLDER.glob("*.md")))
def test_an_explanation_is_the_page_without_the_link_to_its_picture(model: str) -> None:
    page = (FOLDER / f"{model}.md").read_text(encoding="utf-8")
    explanation = read_explanation(model)
    assert page.startswith(explanation.title)
    assert page.endswith(explanation.text)
    assert explanation.picture.read_text(encoding="utf-8").startswith("<svg")
    assert "](" not in explanation.title + explanation.text
