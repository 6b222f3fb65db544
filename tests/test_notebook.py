"""The notebook is committed clean, calls the modules in short cells, and runs from top to bottom."""

import ast
import importlib
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest
import typer
from nbclient import NotebookClient
from nbformat import NotebookNode

from preprocessing.pretrained import PretrainedEncoder
from study.model_settings import DEFAULTS

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "study.ipynb"
FIGURE = "application/vnd.plotly.v1+json"
STATEMENTS = 8  # lines of a cell at most, without its imports: what needs more belongs in a module
SECONDS = 600  # per cell, on a busy machine


@pytest.fixture
def notebook() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: NotebookNode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **parameters: Any) -> list[Any]:
    """Execute the notebook with these parameters, in a kernel of this interpreter, and return all outputs."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))  # not the kernels and settings of a user
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    parameters |= {"STORAGE": f"sqlite:///{tmp_path / 'notebook.db'}"}
    (cell,) = (cell for cell in notebook.cells if cell.id == "parameters")
    assert {name for name in parameters if re.search(rf"^{name} = ", cell.source, re.MULTILINE)} == set(parameters)
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def check(outputs: list[Any], models: int) -> None:
    """Check that every figure and picture is there and shows something, every model is compared, and nothing warned."""
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    figures = [data[FIGURE] for data in shown if FIGURE in data]
    assert len(figures) == 8
    assert all(figure["data"] or figure["layout"]["annotations"] for figure in figures)
    assert all("text/html" in data for data in shown if FIGURE in data)  # for exports of the notebook
    assert len([data for data in shown if "image/svg+xml" in data]) == models
    assert shown[-1]["text/html"].count("<tr") == models + 2  # two rows name the columns and the index


def test_the_notebook_is_committed_without_outputs(notebook: NotebookNode) -> None:
    nbformat.validate(notebook)
    assert NOTEBOOK.read_text(encoding="utf-8") == nbformat.writes(notebook) + "\n"
    assert not [cell.id for cell in code_cells(notebook) if cell.outputs or cell.execution_count]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not [cell.id for cell in notebook.cells if cell.metadata]


def test_the_cells_have_stable_names(notebook: NotebookNode) -> None:
    names = [cell.id for cell in notebook.cells]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_every_cell_is_a_short_call_into_the_modules(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        nodes = list(ast.walk(ast.parse(cell.source)))
        assert not [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda)], cell.id
        lines = [line for line in cell.source.splitlines() if line and not re.match("from|import", line)]
        assert len(lines) <= STATEMENTS or cell.id == "parameters", cell.id


def test_every_command_and_option_in_the_text_exists(notebook: NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    commands = re.findall(r"python -m (study\.\w+)", prose)
    apps = [importlib.import_module(module).app for module in commands]
    known = {option for app in apps for parameter in typer.main.get_command(app).params for option in parameter.opts}
    assert set(re.findall(r"(?<!-)--[a-z][a-z-]*", prose)) <= known
    project = tomllib.loads((NOTEBOOK.parent.parent / "pyproject.toml").read_text())["project"]
    assert re.findall(r"-e '\.\[(\w+)\]'", prose) == ["notebook"]
    assert "notebook" in project["optional-dependencies"]


@pytest.mark.slow
def test_the_notebook_runs_on_a_users_file_without_any_text_of_the_test_split(
    notebook: NotebookNode,
    marked_csv: Path,
    tiny_encoder: PretrainedEncoder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    models = {
        "linear": {"classifier": "logistic_regression"},
        "cnn": {"epochs": 2},
        "lstm": {"epochs": 2},
        "bert": {"epochs": 2, "max_tokens": 20, "bert_model": str(tiny_encoder.folder)},
    }
    assert models.keys() == {name.split("-")[0] for name in DEFAULTS}
    cache = tmp_path / "cache"
    parameters = {"DATA": str(marked_csv), "MAX_TRAINING_TEXTS": 90, "TRIALS": 2, "MODELS": models}
    outputs = run(notebook, monkeypatch, tmp_path, CACHE_DIR=str(cache), **parameters)
    check(outputs, len(models))
    kept = [path for path in [*cache.rglob("*"), tmp_path / "notebook.db"] if path.is_file()]
    assert any(path.name == "vocabulary.txt" for path in kept)
    assert "number" in str(outputs)
    assert "testword" not in str(outputs)
    assert not [path for path in kept if b"testword" in path.read_bytes()]
    assert not list(cache.rglob("test_*"))


@pytest.mark.slow
def test_the_notebook_runs_on_real_texts_with_its_own_models(
    notebook: NotebookNode,
    standard_cache: Path,
    minilm: PretrainedEncoder,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert minilm.folder.is_relative_to(standard_cache)
    outputs = run(
        notebook, monkeypatch, tmp_path, DATA="r8", MAX_TRAINING_TEXTS=100, TRIALS=1, CACHE_DIR=str(standard_cache)
    )
    check(outputs, 4)
