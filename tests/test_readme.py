"""The commands, options and folders that the README names exist."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import typer

README = (Path(__file__).parent.parent / "README.md").read_text()
DOCS = Path(__file__).parent.parent / "docs"
PAGES = README + "".join((DOCS / name).read_text() for name in ("guide.md", "scaling.md"))
COMMANDS = re.findall(r"^(?:.*&& )?python -m study\.(\w+) ?(.*?)(?: *#.*)?$", PAGES, flags=re.MULTILINE)


def test_the_readme_has_both_commands_as_ci_runs_them() -> None:
    assert re.search(
        r"^pip install -c constraints\.txt -e \. && python -m study\.run --trials 50", README, re.MULTILINE
    )
    assert re.search(r"^pip install -c constraints\.txt -e '\.\[test\]' && pytest", README, re.MULTILINE)


def test_the_readme_is_short_and_its_pictures_exist_and_are_small() -> None:
    assert len(README.splitlines()) <= 150
    pictures = [DOCS.parent / path for path in re.findall(r"!\[.+\]\((.+)\)", README)]
    assert len(pictures) == 2
    assert sum(path.stat().st_size for path in pictures) < 300_000


@pytest.mark.parametrize("page", [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *DOCS.glob("*.md")])
def test_every_link_target_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^):]+)\)", page.read_text())
    assert all((page.parent / link).exists() for link in links)


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"^[A-Z]+$", README, re.MULTILINE)


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_every_option_that_is_shown_exists(command: str, arguments: str) -> None:
    app = importlib.import_module(f"study.{command}").app
    known = {option for parameter in typer.main.get_command(app).params for option in parameter.opts}
    known |= {option for parameter in typer.main.get_command(app).params for option in parameter.secondary_opts}
    assert {word for word in shlex.split(arguments) if word.startswith("--")} <= known | {"--help"}


def test_the_readme_lists_every_package_and_command() -> None:
    root = Path(__file__).parent.parent
    picture = README.partition("## How it is built")[2]
    folders = [path.parent for path in root.glob("*/**/__init__.py") if path.is_relative_to(root / "study")]
    assert len(folders) > 7
    for folder in [*folders, root / "data", root / "preprocessing", root / "models", root / "benchmarks"]:
        assert f"{folder.name}/ " in picture
    commands = [path.name for path in (root / "study").glob("*.py") if "typer.Typer(" in path.read_text()]
    assert " ".join(sorted(commands)) == " ".join(sorted(re.findall(r"\w+\.py", picture.split("the commands")[0])[-6:]))
