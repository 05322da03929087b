"""Packages that somebody made to do harm: refused by each way into a process, in one sentence, before anything runs."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from graphs import bytes_of, model_of, one, value
from onnx import TensorProto, helper
from typer.testing import CliRunner

from adiabat.codec import (
    VQ,
    ModelMismatchError,
    ModelNotFoundError,
    downscaler_model,
    hvae_model,
    lending,
    models,
    package,
    statics,
)
from adiabat.formats import store_models
from adiabat.formats.cli import app
from adiabat.formats.store_models import lend_models

FOLDER = Path(models.__file__).parent
GRAPH = "g_s_0.onnx"
INPUTS = [value("x", ["f", 4, "r", "c"]), value("gain", [1])]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ADIABAT_MODELS", raising=False)
    monkeypatch.setattr(lending, "LENT", {})
    monkeypatch.setattr(package, "LENT", lending.LENT)


def parts_of(kind):
    with zipfile.ZipFile(FOLDER / f"{kind}.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(parts, method=zipfile.ZIP_DEFLATED):
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return held.getvalue()


def npy(array):
    held = io.BytesIO()
    np.save(held, array)
    return held.getvalue()


def with_graph(graph):
    return zipped(parts_of("vq") | {GRAPH: graph})


def with_manifest(kind, **more):
    parts = parts_of(kind)
    return zipped(parts | {"manifest.json": json.dumps(json.loads(parts["manifest.json"]) | more).encode()})


def external():
    made = model_of([("Conv", ["x", "w"], ["y"], {})], {"w": np.ones((1, 4, 1, 1), np.float32)}, inputs=INPUTS)
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/hostname")
    return made.SerializeToString()


def bomb():
    """A loop of 2^62 turns."""
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "body", [], [value("z", None)])
    return bytes_of([("Loop", ["n", "", "x"], ["y"], {"body": body})], {"n": np.int64(1 << 62)}, inputs=INPUTS)


def huge():
    made = model_of([("Conv", ["x", "w"], ["y"], {})], {"w": np.ones((1, 4, 1, 1), np.float32)}, inputs=INPUTS)
    made.graph.initializer[0].dims[0] = 1 << 40
    return made.SerializeToString()


HOSTILE = {
    "external data": (with_graph(external()), "expected no data_location, external_data"),
    "a huge initialiser": (with_graph(huge()), "w: expected raw data of shape (1099511627776, 4, 1, 1), got 16 bytes"),
    "a control-flow bomb": (with_graph(bomb()), "got 'Loop'"),
    "an unknown operator": (with_graph(one("Evil")), "got 'Evil'"),
    "a graph of something else": (with_graph(one("Identity")), "expected a graph from ('x', 'gain') to y, got ('x',)"),
    "a shape that is another": (
        with_graph(bytes_of([("Identity", ["x"], ["y"], {})], inputs=INPUTS)),
        "expected float32 (1, 1, 8, 12) of [(1, 4, 20, 22), (1,)], got (1, 4, 20, 22) of type 1",
    ),
    "memory": (
        with_graph(
            bytes_of(
                [("Resize", ["x", "", "", "n"], ["y"], {})], {"n": np.array([1, 4, 1 << 20, 1 << 20])}, inputs=INPUTS
            )
        ),
        "numbers on the way from",
    ),
    "a graph too large": (with_graph(bytes(5 << 20)), "expected at most 4194304 bytes, got 5242880"),
    "a zip bomb": (zipped(parts_of("vq") | {"bomb": bytes(8 << 20)}), "expected at most 8388608 bytes"),
    "parts without number": (zipped({f"{n}": b"" for n in range(1025)}), "expected at most 1024 parts"),
    "bzip2": (zipped({"manifest.json": b'{"kind": "vq"}' * 20}, zipfile.ZIP_BZIP2), "stored or deflated"),
    "lzma": (zipped({"manifest.json": b'{"kind": "vq"}' * 20}, zipfile.ZIP_LZMA), "stored or deflated"),
    "factors without end": (with_manifest("downscaler", factors=[4] * 65), "factors: expected numbers of 1 to 64"),
    "a large factor": (with_manifest("downscaler", factors=[1 << 40]), "factors: expected numbers of 1 to 64"),
    "a large multiple": (with_manifest("downscaler", multiple=10**9), "multiple: expected numbers of 1 to 64"),
    "many features": (with_manifest("downscaler", features=10**9), "features: expected numbers of 1 to 1024"),
    "spectra without end": (
        zipped(parts_of("hvae") | {"normalisation.npy": npy(np.ones((2, 200_000), np.float32))}),
        "expected at most 4096 channels, got 200000",
    ),
    "an array without its bytes": (
        zipped(parts_of("vq") | {"codebooks.npy": npy(np.zeros((6, 256, 3), np.int32))[:-1]}),
        "codebooks.npy: expected the bytes of shape (6, 256, 3)",
    ),
}


def store_with(path, data, name=None):
    """A store that carries these bytes as a model."""
    group = zarr.open_group(path, mode="w")
    group.create_array("t", shape=(3,), dtype="f4", dimension_names=["x"])
    folder = path / models.STORE_MODELS
    folder.mkdir(parents=True)
    (folder / (name or f"{hashlib.sha256(data).hexdigest()}.zip")).write_bytes(data)
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_every_way_in_is_closed(kind, tmp_path):
    data, match = HOSTILE[kind]
    store = store_with(tmp_path / "a.zarr", data)
    (tmp_path / "a.zip").write_bytes(data)
    for ask in (
        lambda: models.add(tmp_path / "a.zip"),
        lambda: models.add_store(store),
        lambda: lend_models(store),
        lambda: xr.open_dataset(store, engine="adiabat", models="store"),
        lambda: xr.open_dataset(store, engine="adiabat", models=True),
    ):
        with pytest.raises(ModelMismatchError) as caught:
            ask()
        assert match in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()
    assert lending.LENT == {}
    assert xr.open_dataset(store, engine="adiabat").t.shape == (3,), "who does not ask reads on"


def test_the_command_says_it_in_one_sentence(tmp_path):
    store = store_with(tmp_path / "a.zarr", HOSTILE["external data"][0])
    ran = CliRunner().invoke(app, ["models", "add", str(store)])
    assert isinstance(ran.exception, ModelMismatchError)
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "hostile.zip").write_bytes(HOSTILE["a control-flow bomb"][0])
    listed = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "400"})
    assert listed.exit_code == 0, "one that is broken hides no other"
    assert "'Loop'" in listed.output


@pytest.mark.parametrize("kind", ["external data", "a control-flow bomb", "an unknown operator", "memory"])
def test_a_hostile_package_among_the_reader_s_own_is_refused_where_it_would_run(kind, tmp_path):
    """Whoever copies one into the cache by hand."""
    (tmp_path / "hostile.zip").write_bytes(HOSTILE[kind][0])
    field = np.random.default_rng(0).normal(size=(64, 128)).astype(np.float32).cumsum(0).cumsum(1)
    with pytest.raises(ModelMismatchError, match="a graph of the model is refused"):
        VQ(target={"ratio": 60}, model=str(tmp_path / "hostile.zip")).encode(field)


def test_without_onnx_a_store_opens_and_its_float_graphs_do_not_run(tmp_path, monkeypatch):
    """What is not checked when the store is opened is checked, or refused, before it runs."""
    data = HOSTILE["an unknown operator"][0]
    store = store_with(tmp_path / "a.zarr", data)
    monkeypatch.setitem(sys.modules, "onnx", None)
    [sha256] = lend_models(store)
    with pytest.raises(ImportError, match=r"float graphs are checked with onnx: pip install 'adiabat\[cpu\]'"):
        VQ(target={"ratio": 60}, model=sha256).encode(np.ones((64, 128), np.float32).cumsum(1))


def test_two_parts_of_one_name_are_refused():
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("manifest.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("manifest.json", b"{}")
    with pytest.raises(ModelMismatchError, match="parts of different names"):
        package.unpack(held.getvalue())


@pytest.mark.parametrize(("method", "at"), [(zipfile.ZIP_BZIP2, 43), (zipfile.ZIP_LZMA, 45)])
def test_damaged_parts_of_other_methods(method, at):
    """They raised OSError and LZMAError."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        archive.writestr("manifest.json", b'{"kind": "vq"}' * 20)
    data = bytearray(held.getvalue())
    data[at] = 0
    with pytest.raises(ModelMismatchError, match="not a model package"):
        package.unpack(bytes(data))


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }       (",
        b"\n  x\n y",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 300), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 300), }",
    ],
    ids=["TokenError", "IndentationError", "MemoryError", "OverflowError"],
)
def test_hostile_headers_of_arrays(header):
    """What NumPy raises for them; as static fields, and as parts of a package."""
    data = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header
    with pytest.raises(ModelMismatchError, match="not a static field"):
        statics.take_static(data, hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelMismatchError, match=r"not a model package: normalisation\.npy"):
        hvae_model.load(zipped(parts_of("hvae") | {"normalisation.npy": data}))


def test_a_pipe_in_a_store_is_no_model(tmp_path):
    """Reading it would never end."""
    store = store_with(tmp_path / "a.zarr", b"", "notes.txt")
    os.mkfifo(store / models.STORE_MODELS / f"{'0' * 64}.zip")
    with pytest.raises(ModelMismatchError, match=r"expected .*0\.zip to be a file"):
        lend_models(store)
    with pytest.raises(ModelNotFoundError, match="nothing to add"):
        models.add_store(store)


def test_a_store_carries_no_more_than_is_stated(tmp_path, monkeypatch):
    store = store_with(tmp_path / "a.zarr", b"", "notes.txt")
    folder = store / models.STORE_MODELS
    for number in range(65):
        (folder / f"{number:064x}.zip").write_bytes(b"")
    with pytest.raises(ModelMismatchError, match="expected a store to carry at most 64 models and static fields of"):
        lend_models(store)
    (folder / f"{0:064x}.zip").unlink()
    monkeypatch.setattr(store_models, "MOST_BYTES", 100)
    (folder / f"{1:064x}.zip").write_bytes(bytes(101))
    with pytest.raises(ModelMismatchError, match="64 models and static fields of 100 bytes, got 64 of 101"):
        lend_models(store)


def test_a_downscaler_of_format_1_is_read():
    """Of adiabat 0.7.0; its fine inputs are two."""
    parts = parts_of("downscaler")
    made = zipped(parts | {"manifest.json": json.dumps(json.loads(parts["manifest.json"]) | {"format": 1}).encode()})
    model = downscaler_model.load(made)
    assert model.fine_inputs == 2
    assert model.contract("mean").example[1][1] == 2
    with pytest.raises(ModelMismatchError, match="a graph for"):
        downscaler_model.check_graphs(model)  # these graphs are of format 2
    with pytest.raises(ModelMismatchError, match="format 2, got downscaler, format 3"):
        downscaler_model.load(with_manifest("downscaler", format=3))
