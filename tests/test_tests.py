"""The tests themselves: every assertion is executed in every run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py"))


def is_assertion(node: ast.AST) -> bool:
    """Whether a node is an `assert`, or a call of `pytest.raises` or `pytest.fail`."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func) in ("pytest.raises", "pytest.fail")
    return isinstance(node, ast.Assert)


def assertions_under_an_if(code: str) -> Iterator[str]:
    """The test functions of a module that assert something only under a condition, and the lines where they do."""
    for function in ast.walk(ast.parse(code)):
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
            branches = [node for node in ast.walk(function) if isinstance(node, ast.If | ast.Match)]
            found = {node.lineno for branch in branches for node in ast.walk(branch) if is_assertion(node)}  # type: ignore[attr-defined]
            yield from (f"{function.name}, line {line}" for line in sorted(found))


@pytest.mark.parametrize("file", FILES)
def test_no_assertion_stands_under_an_if(file: str) -> None:
    """Such a test would pass if the condition never held; two tests, or a table of expected values, would not."""
    assert list(assertions_under_an_if((TESTS / file).read_text())) == []


@pytest.mark.parametrize(
    "assertion", ["assert x", "with pytest.raises(E): f()", "pytest.fail('no')", "for y in x: assert y"]
)
def test_an_assertion_under_an_if_is_found(assertion: str) -> None:
    in_a_test = "def test_a():\n if x:\n  pass\n else:\n  "
    assert list(assertions_under_an_if(in_a_test + assertion.replace(": ", ":\n   "))) != []
    assert list(assertions_under_an_if(f"def test_a():\n {assertion}")) == []
    assert list(assertions_under_an_if(f"def helper():\n if x:\n  {assertion}".replace(": ", ":\n   "))) == []
