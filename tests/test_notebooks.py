"""The notebooks run from top to bottom, and what is kept of them is their text alone."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.comparison.made import made_run

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_output_is_stored(path):
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_is_defined_in_a_notebook(path):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for cell in code_cells(path):
        found = [node.name for node in ast.walk(ast.parse(cell.source)) if isinstance(node, definitions)]
        assert not found, f"{found}: move it into the package"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path, tmp_path, tmp_path_factory, monkeypatch):
    runs = tmp_path_factory.mktemp("runs")  # for the one that reads some
    for k, variant in enumerate(("SimSwap", "oFM")):
        for seed in (0, 1):
            changes = {"variant": variant, "objective.feature_matching.first_layer": 2 - 2 * k}
            made_run(runs / f"{k}-{seed}", changes, seed)
    monkeypatch.setenv("SIMSWAP_RUNS", str(runs))
    notebook = nbformat.read(path, as_version=4)
    # In another folder than the checkout's: it may read nothing beside the package. An error in a cell raises.
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert pictures
    assert not any(tmp_path.iterdir())
