"""The example notebook runs, from a fresh kernel, on a network that has not grokked; and is stored clean."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from workspace import REPOSITORY

pytestmark = pytest.mark.pipeline

NOTEBOOK = REPOSITORY / "docs" / "first_look.ipynb"
DECLARED = 'VARIANT, OTHER = "modulus_113", "modulus_59"'


def test_the_notebook_is_stored_without_outputs_and_without_a_kernel() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert dict(notebook.metadata) == {"language_info": {"name": "python"}}
    for cell in notebook.cells:
        assert not cell.metadata
        assert cell.cell_type == "markdown" or (cell.execution_count is None and cell.outputs == [])


# jupyter_client leaves its sockets to the garbage collector
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_notebook_runs_and_draws_what_it_promises(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLOTLY_RENDERER", "json")
    monkeypatch.setenv("PYTHONPATH", str(tiny / "src"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    assert DECLARED in first.source
    first.source = first.source.replace(DECLARED, 'VARIANT, OTHER = "tiny", "tiny"').replace('".."', repr(str(tiny)))
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    figures = [output.data["application/json"] for output in outputs if "application/json" in output.get("data", {})]
    assert len(figures) == 11  # losses, three views at three moments, two networks
    assert all(figure["data"] for figure in figures)
    text = "".join(output.text for output in outputs if output.output_type == "stream")
    assert "modadd_p13_s1_d1_f0.5: 11 checkpoints, from step 0 to step 200" in text
    assert not [output for output in outputs if output.get("name") == "stderr"]
