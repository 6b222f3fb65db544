"""The direction of imports, and the only access to the test split."""

import ast
import json
import tomllib
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parent.parent
LAYERS = ["data", "preprocessing", "models", "study"]  # each may import those before it
COMMANDS = ["look", "run", "worker", "report", "predict", "cache"]
# Likewise the packages within a layer. The core: the files of `study/` that are not commands.
PACKAGES = {
    "models": ["networks", "training", "learners", "models"],
    "study": [
        *("core", "storage", "analysis", "figures", "trials", "workers", "confirmation", "reports", "prediction"),
        "commands",
    ],
}
MODULES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
DOORS_TO_THE_TEST_SPLIT = {"load_test_texts", "prepare_test", "read_official_split", "read_corpus", "split_sides"}
MAY_OPEN_THEM = {"preprocessing/prepared.py", "study/confirmation/opened_split.py"}  # besides the texts' own layer


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def in_folders(*folders: str, but: Collection[str] = ()) -> list[Path]:
    """The modules of these folders, except those in `but`."""
    return [path for path in MODULES if path.relative_to(ROOT).parts[0] in folders and name_of(path) not in but]


def package_of(module: str) -> str:
    """The package of a module of `models` or `study`, by its dotted name."""
    layer, *name = module.split(".")
    if name and name[0] in PACKAGES[layer]:
        return name[0]
    if layer == "models":
        return "models"
    return "commands" if name and name[0] in COMMANDS else "core"


def code_of(path: Path) -> str:
    """The code of a module, or of the cells of a notebook."""
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
            assert node.level == 0  # absolute imports only
            modules = {f"{node.module}.{alias.name}" for alias in node.names} & set(map(dotted, MODULES))
            names |= modules or {node.module or ""}
    return names


def dotted(path: Path) -> str:
    """The name by which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_packages(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_down(path: Path) -> None:
    above = set(LAYERS[LAYERS.index(path.relative_to(ROOT).parts[0]) + 1 :])
    assert not imported_packages(path) & above


@pytest.mark.parametrize("path", in_folders(*PACKAGES), ids=name_of)
def test_imports_between_the_packages_of_a_layer_point_down(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    imported = {package_of(name) for name in imported_modules(path) if name.startswith(f"{layer}.")}
    above = set(PACKAGES[layer][PACKAGES[layer].index(package_of(dotted(path))) + 1 :])
    assert not imported & above


def test_there_are_no_circular_imports() -> None:
    sorter = TopologicalSorter({dotted(path): imported_modules(path) for path in MODULES})
    sorter.prepare()  # raises `CycleError`, which names them


@pytest.mark.parametrize("path", in_folders("data", "preprocessing", "models"), ids=name_of)
def test_only_the_study_knows_optuna_and_databases(path: Path) -> None:
    assert not imported_packages(path) & {"optuna", "sqlalchemy", "sqlite3", "plotly"}


@pytest.mark.parametrize("path", in_folders("data", "preprocessing", but={"preprocessing/batches.py"}), ids=name_of)
def test_texts_are_prepared_without_torch(path: Path) -> None:
    assert "torch" not in imported_packages(path)


@pytest.mark.parametrize("path", [*in_folders("models", "study"), *NOTEBOOKS], ids=name_of)
def test_models_and_study_get_texts_only_through_the_source(path: Path) -> None:
    """The modules for files and splits handle the test texts, too."""
    texts = {name for name in imported_modules(path) if name.split(".")[0] == "data"}
    of_predictions = {
        f"data.{name}" for name in ("compression", "delimited", "dialect", "encodings", "json_rows", "tables")
    }
    is_prediction = path.parent.name == "prediction" or path.name == "command_line.py"  # which read new texts
    assert texts - (of_predictions if is_prediction else set()) <= {
        "data.source",
        "data.texts",
        "data.errors",
        "data.files",
        "data.wheels",
    }


@pytest.mark.parametrize(
    "path", [*in_folders("preprocessing", "models", "study", but=MAY_OPEN_THEM), *NOTEBOOKS], ids=name_of
)
def test_no_module_of_the_search_uses_a_function_that_opens_the_test_split(path: Path) -> None:
    tree = ast.walk(ast.parse(code_of(path)))
    names = {getattr(node, "id", None) or getattr(node, "attr", None) or getattr(node, "name", None) for node in tree}
    assert not names & DOORS_TO_THE_TEST_SPLIT


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_notebook_opens_the_test_split_by_confirming_a_search(path: Path) -> None:
    opening = {f"study.confirmation.{name}" for name in ("holdout", "ensemble", "opened_split")}
    assert not imported_modules(path) & {"study.report", "study.reports.contents", *opening}


def test_the_opened_test_split_is_used_by_those_who_record_its_opening_alone() -> None:
    users = {name_of(path) for path in MODULES if "study.confirmation.opened_split" in imported_modules(path)}
    assert users == {f"study/confirmation/{name}.py" for name in ("holdout", "ensemble", "tested_baselines")}


def test_every_command_is_installed_as_a_program() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {f"text-study-{name}": f"study.{name}:main" for name in COMMANDS}


def test_every_package_is_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = find_packages(str(ROOT), **project["tool"]["setuptools"]["packages"]["find"])
    assert sorted(packages) == sorted({dotted(path.parent) for path in MODULES})
