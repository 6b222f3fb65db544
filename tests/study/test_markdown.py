"""A Markdown page shows any text literally: parsed by a library, as a browser would show it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from study.markdown import fence_for, markdown_text
from study.reports.pages import _markdown_page
from study.reports.reproduction import Reproduction
from study.reports.tables import Table

NASTY = [
    "<script>alert(1)</script> | *x* [a](b)",
    "RuntimeError: `a` ![p](q.png) <!-- no --> &lt; &amp; ~~s~~ __b__ _i_ $x$ \\| \\",
    "# a title #",
    "- an item",
    "1. a number",
    "> a quotation",
    "=== ---",
    "```",
    "several\n\n## lines\n| a | b |\n|---|---|\n",
    "hidden_size=64  learning_rate=0.01",
]
HARMLESS = {"paragraph", "heading", "bullet_list", "list_item", "table", "thead", "tbody", "tr", "th", "td"}


def tokens(page: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page)


def words(token: Token) -> str:
    """The visible text of a paragraph, a title, a cell or an item; the alt text of an image."""
    parts = token.children or [token]
    return "".join(
        words(part) if part.type == "image" else " " if part.type == "softbreak" else part.content for part in parts
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


def shown(page: str) -> list[str]:
    return [one_line(words(token)) for token in tokens(page) if token.type in ("inline", "fence")]


def kinds(page: str) -> set[str]:
    """The kinds of elements of a page, except plain text, code blocks and harmless ones."""
    found = [part for token in tokens(page) for part in (token, *(token.children or []))]
    blocks = {token.type.removesuffix("_open").removesuffix("_close") for token in found}
    return blocks - HARMLESS - {"inline", "text", "text_special", "fence"}


def page_of(text: str) -> str:
    content: dict[str, Any] = {
        "name": text,
        "headline": text,
        "paragraphs": [text, text],
        "tables": [Table("classes", text, text, ("Class", text), ((text, "1"), ("b", text)))],
        "notes": [text, f"Failed, 1 trial (3): {text}"],
        "reproduction": Reproduction(f"search {text}", f"report {text}", text, {}),
    }
    return _markdown_page(content, [("learning curves (1).png", text)])


@pytest.mark.parametrize("text", NASTY)
def test_a_report_shows_any_text_literally(text: str) -> None:
    page, line = page_of(text), one_line(text)
    told = [line] * 6 + ["Class", line, line, "1", "b", line, "What the search found", line, line]
    told += [f"Failed, 1 trial (3): {line}", "To reproduce", line]
    *everything, commands = shown(page)
    assert everything == told
    assert commands == one_line(f"search {text} report {text}")
    assert kinds(page) == {"image"}
    (picture,) = (part for token in tokens(page) for part in token.children or [] if part.type == "image")
    assert picture.attrs["src"] == "learning%20curves%20%281%29.png"


@given(st.text(alphabet=st.sampled_from("ab1 _*`<>[]()!#-+=.|~&;\\$:/\n"), min_size=1).filter(str.strip))
def test_any_text_becomes_a_paragraph_with_the_same_words(text: str) -> None:
    page = markdown_text(text)
    assert shown(page) == [one_line(text)]
    assert kinds(page) == set()


def test_text_that_needs_no_escaping_is_unchanged() -> None:
    text = (
        "The winner (hidden_size=64, learning_rate=0.01) has 0.9130 ± 0.0012, 95 % of R&D, see study/search_space.py."
    )
    assert markdown_text(text) == text


def test_code_is_fenced_by_more_backticks_than_it_has() -> None:
    assert fence_for("a", "b `c`") == "```"
    assert fence_for("a ```` b", "```") == "`````"
