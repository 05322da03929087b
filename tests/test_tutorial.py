"""The tutorial runs from top to bottom, and finds what it says."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "spec" / "guide" / "tutorial.ipynb"

nbformat = pytest.importorskip("nbformat", reason="the tutorial is a notebook")


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def said(cell):
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.outputs)


@pytest.fixture(scope="module")
def ran(notebook, tmp_path_factory):
    client = pytest.importorskip("nbclient", reason="runs the notebook")
    pytest.importorskip("ipykernel", reason="runs the notebook")
    folder = tmp_path_factory.mktemp("tutorial")
    own = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "MPLBACKEND": "agg"}
    changed = {name: os.environ.get(name) for name in own}
    os.environ.update(own)  # of the kernel, which inherits it
    try:
        client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        for name, value in changed.items():
            os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return notebook, folder


def test_it_is_small_and_names_no_machine():
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert not re.search(r"https?://|/home/|/work/|/tmp/|/opt/|pypi", text)
    assert "All data here are simulated" in text


@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own libraries
def test_from_top_to_bottom(ran):
    executed, folder = ran
    code = {cell.source: said(cell) for cell in executed.cells if cell.cell_type == "code"}

    def of(part):
        (text,) = [text for source, text in code.items() if part in source]
        return text

    assert float(re.match(r"([\d.]+) times smaller", of("take_inventory"))[1]) > 10
    largest = float(re.search(r"largest error ([\d.]+) K, problem: None", of("import verify"))[1])
    assert 0.09 < largest <= 0.1
    assert "Use adiabat (pyramid) at abs:0.1" in of("import compare")
    assert "kept: False" not in of("import compare")
    assert (folder / "report.html").stat().st_size > 10_000
    ratio, rmse = re.match(r"(\d+) times smaller, RMSE ([\d.]+) K", of("Hyperprior(")).groups()
    assert int(ratio) >= 99
    assert float(rmse) < 1
    wrong, spread = re.search(r"RMSE ([\d.]+) of a spread of ([\d.]+)", of("low_rank.write")).groups()
    assert float(wrong) < 0.2 * float(spread)
    assert float(re.search(r"by ([\d.]+) K at most", of("generated.squeeze"))[1]) < 0.01
