"""The directions of imports, and the one door to the test split."""

import ast
import json
from collections.abc import Collection
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ["data", "preprocessing", "models", "study"]  # each may import those before it
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).glob("*.py"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOORS_TO_THE_TEST_SPLIT = {"load_test_texts", "prepare_test", "read_official_split", "read_corpus", "split_sides"}
MAY_OPEN_THEM = {"preprocessing/prepared.py", "study/confirmation/holdout.py"}  # besides the texts' own layer


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def in_folders(*folders: str, but: Collection[str] = ()) -> list[Path]:
    """The modules of some folders, but for those that are named."""
    return [path for path in MODULES if path.parent.name in folders and name_of(path) not in but]


def code_of(path: Path) -> str:
    """Of a module, or of the cells of a notebook."""
    if path.suffix == ".py":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(code_of(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    above = set(LAYERS[LAYERS.index(path.parent.name) + 1 :])
    assert not imported_packages(path) & above


@pytest.mark.parametrize("path", in_folders("data", "preprocessing", "models"), ids=name_of)
def test_only_the_study_knows_optuna_and_databases(path: Path) -> None:
    assert not imported_packages(path) & {"optuna", "sqlalchemy", "sqlite3", "plotly"}


@pytest.mark.parametrize("path", in_folders("data", "preprocessing", but={"preprocessing/batches.py"}), ids=name_of)
def test_texts_are_prepared_without_torch(path: Path) -> None:
    assert "torch" not in imported_packages(path)


@pytest.mark.parametrize("path", [*in_folders("models", "study"), *NOTEBOOKS], ids=name_of)
def test_models_and_study_get_texts_only_through_the_source(path: Path) -> None:
    """Not from the files or the splits themselves, which hold the test texts, too."""
    texts = {name for name in imported_modules(path) if name.split(".")[0] == "data"}
    assert texts <= {"data.source", "data.errors", "data.wheels"}


@pytest.mark.parametrize(
    "path", [*in_folders("preprocessing", "models", "study", but=MAY_OPEN_THEM), *NOTEBOOKS], ids=name_of
)
def test_no_module_of_the_search_names_a_door_to_the_test_split(path: Path) -> None:
    tree = ast.walk(ast.parse(code_of(path)))
    names = {getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) for node in tree}
    assert not names & DOORS_TO_THE_TEST_SPLIT


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_notebook_confirms_a_search_which_opens_the_test_split(path: Path) -> None:
    assert not imported_modules(path) & {"study.report", "study.full_report", "study.confirmation.holdout"}


def test_every_package_is_named_in_pyproject() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"] == LAYERS
