"""An archive in an icechunk repository: the same keys, byte for byte; read by plain xarray."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.formats import compress
from adiabat.formats.demo import simulate_field
from adiabat.formats.errors import RequestError
from adiabat.formats.icechunk_store import to_icechunk
from adiabat.formats.store_models import embed_models


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    field = simulate_field((5, 19, 36))
    compress(field.assign(count=np.int32(3)), path, default_bound={"abs": 0.1}, chunks={"time": 2})
    embed_models(path)
    return path


@pytest.fixture(scope="module")
def committed(store, tmp_path_factory):
    pytest.importorskip("icechunk")
    repository = tmp_path_factory.mktemp("ice") / "repository"
    return to_icechunk(store, repository, "an archive"), repository


def session(repository):
    import icechunk

    opened = icechunk.Repository.open(icechunk.local_filesystem_storage(str(repository)))
    [newest, *_] = opened.ancestry(branch="main")
    assert newest.message == "an archive"
    return opened.readonly_session("main")


def test_read_by_xarray(committed, store):
    found = xr.open_zarr(session(committed[1]).store, consolidated=False)
    xr.testing.assert_identical(found.load(), xr.open_zarr(store).load())


def test_values_are_the_same_bytes(committed, store):
    from zarr.core.buffer import default_buffer_prototype
    from zarr.core.sync import sync

    opened, outcome = session(committed[1]).store, committed[0]
    there = {file.relative_to(store).as_posix() for file in store.rglob("*") if file.is_file()}
    copied = there - set(outcome.left_out)
    assert len(copied) == outcome.keys
    assert {"zarr.json", "count/c", "temperature/zarr.json", "temperature/c/2/0/0"} <= copied
    for key in copied:
        value = sync(opened.get(key, default_buffer_prototype()))
        if key.endswith("/zarr.json") or "/c" in key:
            assert value.to_bytes() == (store / key).read_bytes(), key


def test_what_icechunk_does_not_take_is_named(committed):
    left_out = committed[0].left_out
    assert any(name.startswith(".adiabat/models/") for name in left_out)
    assert not [name for name in left_out if "/c/" in name]


def test_nothing_half_made_is_left(committed, store, tmp_path, monkeypatch):
    import icechunk

    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(icechunk.IcechunkStore, "set", full)
    with pytest.raises(OSError, match="no space"):
        to_icechunk(store, tmp_path / "r", "second")
    assert not list(tmp_path.iterdir())


def test_refused(store, tmp_path):
    pytest.importorskip("icechunk")
    (tmp_path / "taken").mkdir()
    zarr.create_group(tmp_path / "v2.zarr", zarr_format=2)
    zarr.create_array(tmp_path / "one.zarr", shape=(2,), dtype="f4")
    dotted = zarr.create_group(tmp_path / "dotted.zarr")
    dotted.create_array("x", shape=(2,), dtype="f4", chunk_key_encoding={"name": "v2", "separator": "."})
    for source, target, match in (
        (store, tmp_path / "taken", "exists already"),
        (store, tmp_path / "no" / "r", "there is no folder"),
        (tmp_path / "taken", tmp_path / "r", "is not a Zarr store"),
        (tmp_path / "v2.zarr", tmp_path / "r", "expected a Zarr v3 group"),
        (tmp_path / "one.zarr", tmp_path / "r", "expected a Zarr v3 group"),
        (tmp_path / "dotted.zarr", tmp_path / "r", "expected chunks of x to be named as c/0/0"),
    ):
        with pytest.raises(RequestError, match=match):
            to_icechunk(source, target, "x")
        assert not (tmp_path / "r").exists()


def test_without_icechunk(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(RuntimeError, match=r"need icechunk: pip install 'adiabat\[icechunk\]'"):
        to_icechunk(store, tmp_path / "r", "x")
