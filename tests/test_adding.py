"""Adding packages: their float graphs are tried then, and neither where packages are listed nor where they are read."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adiabat.codec import ModelMismatchError, hvae_model, models, package, vq_model
from adiabat.formats.cli import app

FOLDER = Path(models.__file__).parent
FLOAT = {"vq": vq_model, "hvae": hvae_model}


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)


@pytest.fixture
def no_runtime(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def with_graph(kind, part, graph):
    """The shipped package of a kind with one graph exchanged."""
    data = io.BytesIO()
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as shipped, zipfile.ZipFile(data, "w") as archive:
        for entry in shipped.infolist():
            archive.writestr(entry.filename, graph if entry.filename == part else shipped.read(entry))
    return data.getvalue()


def graph_of_pyramid():
    with zipfile.ZipFile(FOLDER / "pyramid.zip") as shipped:
        return shipped.read("A-coarse/net.onnx")


@pytest.mark.parametrize("kind", FLOAT)
def test_shipped_packages_are_tried_and_added(kind, tmp_path):
    pytest.importorskip("onnxruntime")
    added = models.add(FOLDER / f"{kind}.zip")
    assert added == tmp_path / "cache" / f"{package.check((FOLDER / f'{kind}.zip').read_bytes()).sha256}.zip"


@pytest.mark.parametrize("kind", FLOAT)
@pytest.mark.parametrize("graph", ["none", "another"])
def test_graphs_that_do_not_run_are_refused_where_they_are_added(kind, graph, tmp_path):
    pytest.importorskip("onnxruntime")
    part = FLOAT[kind].GRAPHS[0]
    data = with_graph(kind, part, b"garbage" if graph == "none" else graph_of_pyramid())
    with pytest.raises(ModelMismatchError, match="a graph of the model is refused"):
        package.check(data)
    (tmp_path / "odd.zip").write_bytes(data)
    with pytest.raises(ModelMismatchError):
        models.add(tmp_path / "odd.zip")
    assert not (tmp_path / "cache").exists()
    store = tmp_path / "a.zarr" / models.STORE_MODELS
    store.mkdir(parents=True)
    (store / f"{hashlib.sha256(data).hexdigest()}.zip").write_bytes(data)
    with pytest.raises(ModelMismatchError):
        models.add_store(tmp_path / "a.zarr")


def test_list_and_show_run_no_graph(no_runtime):
    listed = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "400"})
    assert listed.exit_code == 0, listed.output
    for path in sorted(FOLDER.glob("*.zip")):
        assert path.stem in listed.output
    assert "broken" not in listed.output
    for kind in FLOAT:
        assert CliRunner().invoke(app, ["models", "show", kind]).exit_code == 0


def test_a_package_without_float_graphs_is_added_without_the_runtime(no_runtime, tmp_path):
    assert models.add(FOLDER / "pyramid.zip").parent == tmp_path / "cache"


@pytest.mark.parametrize("kind", FLOAT)
def test_the_others_say_what_is_missing(kind, no_runtime, tmp_path):
    with pytest.raises(ImportError, match=rf"kind {kind} is tried before it is added.*pip install 'adiabat\[cpu\]'"):
        models.add(FOLDER / f"{kind}.zip")
    assert not (tmp_path / "cache").exists()


def test_the_command_opens_no_session(python):
    script = (
        "import sys; sys.argv[1:] = ['models', 'list']\n"
        "from adiabat.formats.cli import app\n"
        "app(standalone_mode=False)\n"
        "print('runtime loaded:', 'onnxruntime' in sys.modules)"
    )
    assert "runtime loaded: False" in python(script).stdout
