"""`open_archive`: whole shards as dask chunks, the child layout as one dataset, lazy without dask; stored order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import zarr_plugin
from adiabat.formats import compress, make_plan, write
from adiabat.formats.demo import simulate_field
from adiabat.formats.errors import RequestError
from adiabat.formats.reading import group_paths, open_archive, stored_blocks, task_chunks

BOUND = {"abs": 0.1}


@pytest.fixture(scope="module")
def field():
    dataset = simulate_field((7, 19, 36))
    area = xr.DataArray(np.random.default_rng(0).random((19, 36)), dims=("lat", "lon"), attrs={"units": "m2"})
    dataset = dataset.assign_coords(area=area, run=("time", list("abcdefg")))
    dataset.temperature.encoding["coordinates"] = "area run"  # as a file says it
    return dataset


@pytest.fixture(scope="module")
def store(field, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    compress(field, path, default_bound=BOUND, chunks={"time": 2})
    return path


@pytest.fixture
def decoded(monkeypatch):
    """Shapes and frames of the chunks that are decoded."""
    calls, decode = [], zarr_plugin.ChunkCodec._decode_sync

    def spy(self, data, spec, frames=None, *place):
        calls.append((spec.shape, frames))
        return decode(self, data, spec, frames, *place)

    monkeypatch.setattr(zarr_plugin.ChunkCodec, "_decode_sync", spy)
    return calls


def test_values_and_times(store, field):
    found = open_archive(store)
    assert found.time.dtype.kind == "M"
    assert found.temperature.chunks == ((7,), (19,), (36,)), "four small chunks are one task"
    assert set(found.coords) == {"time", "lat", "lon", "area", "run"}
    assert found.area.chunks is None, "coordinates are no tasks"
    xr.testing.assert_identical(found.load(), xr.open_zarr(store).load())
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.1


def test_nothing_is_decoded_but_what_is_asked_for(store, decoded):
    pytest.importorskip("dask")
    found = open_archive(store)
    assert not decoded
    found.temperature.isel(time=3).load()
    assert [shape for shape, _ in decoded] == [(2, 19, 36)]
    assert list(decoded[0][1]) == [1], "one frame of the chunk"


WITHOUT_DASK = """
import sys
sys.modules["dask"] = None
from adiabat.formats.reading import open_archive
found = open_archive(sys.argv[1])
assert found.temperature.chunks is None and not found.temperature.variable._in_memory
print(found.temperature[5, 3:5].values.shape)
"""


def test_without_dask(store, python):
    ran = python(WITHOUT_DASK, store)
    assert ran.stdout == "(2, 36)\n", ran.stderr


@pytest.mark.parametrize(
    ("chunks", "expected"), [(None, None), ({"time": 4}, (4, 3)), ({"time": -1}, (7,)), ({"lat": 10}, (7,))]
)
def test_chunks_as_asked(store, chunks, expected):
    pytest.importorskip("dask")
    found = open_archive(store, chunks=chunks).temperature
    assert (found.chunks and found.chunks[0]) == expected
    if chunks == {"lat": 10}:
        assert found.chunks[1] == (10, 9)


@pytest.mark.parametrize(
    ("shape", "shards", "chunks", "most", "expected"),
    [
        ((744, 33, 49), None, (1, 33, 49), 10**8, (744, 33, 49)),
        ((744, 33, 49), None, (1, 33, 49), 10**6, (149, 33, 49)),
        ((48, 721, 1440), (24, 722, 1440), (24, 361, 360), 10**8, (24, 721, 1440)),
        ((48, 721, 1440), None, (1, 361, 360), 10**8, (24, 721, 1440)),
        ((48, 721, 1440), None, (1, 361, 360), 1_100_000, (1, 361, 720)),
        ((4, 8), None, (4, 8), 1, (4, 8)),
        ((0, 8), None, (4, 8), 10**8, (1, 8)),
        ((), None, (), 10**8, ()),
    ],
)
def test_task_chunks_are_whole_shards(shape, shards, chunks, most, expected):
    array = xr.DataArray(np.broadcast_to(np.float32(0), shape))
    array.encoding |= {"chunks": chunks, "shards": shards}
    sizes = task_chunks(array, most=most)
    assert sizes == expected
    for size, piece, length in zip(sizes, shards or chunks, shape, strict=True):
        assert size % piece == 0 or size >= length


def test_shards_are_read_whole(field, tmp_path):
    pytest.importorskip("dask")
    encoding = {
        "chunks": (1, 19, 36), "shards": (4, 19, 36), "compressors": None,
        "serializer": {"name": "adiabat.pyramid", "configuration": {"bound": BOUND}},
    }  # fmt: skip
    plain = field.drop_vars("run")
    plain.to_zarr(tmp_path / "s.zarr", zarr_format=3, consolidated=False, encoding={"temperature": encoding})
    found = open_archive(tmp_path / "s.zarr", chunks={"time": 4})
    assert found.temperature.chunks[0] == (4, 3)
    assert task_chunks(found.temperature, most=1) == (4, 19, 36)
    assert xr.open_dataset(tmp_path / "s.zarr", engine="adiabat", chunks={}).temperature.chunks[0] == (4, 3)
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.1


def test_child_layout_is_one_dataset(field, tmp_path):
    plan = [replace(each, child="compressed") for each in make_plan(field, bounds={}, default_bound=BOUND)]
    write(field, plan, tmp_path / "c.zarr")
    assert "temperature" not in xr.open_zarr(tmp_path / "c.zarr", consolidated=False)
    found = open_archive(tmp_path / "c.zarr")
    assert list(found.data_vars) == ["temperature"]
    assert set(found.coords) == {"time", "lat", "lon", "area", "run"}
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.1
    assert found.attrs["title"] == field.attrs["title"]
    assert group_paths(tmp_path / "c.zarr") == [""]


def test_a_group_that_is_only_called_so_stays_apart(field, tmp_path):
    plain = field.drop_vars("run")
    plain.to_zarr(tmp_path / "p.zarr", zarr_format=3, consolidated=False)
    plain.rename(temperature="t").to_zarr(tmp_path / "p.zarr", group="compressed", mode="a", consolidated=False)
    assert list(open_archive(tmp_path / "p.zarr").data_vars) == ["temperature"]
    assert group_paths(tmp_path / "p.zarr") == ["", "compressed"]


def test_groups(store, field, tmp_path):
    path = tmp_path / "g.zarr"
    zarr.open_group(path, mode="w")
    field.drop_vars("run").to_zarr(path, group="north/winter", mode="a", zarr_format=3, consolidated=False)
    with pytest.raises(RequestError, match=r"choose one with group=, of north/winter$"):
        open_archive(path)
    assert set(open_archive(path, group="north/winter").data_vars) == {"temperature"}
    with pytest.raises(RequestError, match=r"expected a Zarr group at .*, group south, got none"):
        open_archive(path, group="south")


def test_low_rank_stores_too(tmp_path):
    from adiabat.formats import low_rank

    values = np.einsum("i,j,k->ijk", np.arange(1, 31.0), np.ones(4), np.arange(5.0))
    cube = xr.DataArray(values, {"time": np.arange(30)}, ("time", "lat", "lon"), "t")
    low_rank.write(cube, tmp_path / "t.cp.zarr", rank=1)
    found = open_archive(tmp_path / "t.cp.zarr")
    np.testing.assert_allclose(found.t, cube, atol=1e-2 * values.max())


def test_what_is_no_archive(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no store at"):
        open_archive(tmp_path / "none.zarr")
    zarr.create_array(tmp_path / "one.zarr", shape=(3,), dtype="f4")
    for name in ("one.zarr", "."):
        with pytest.raises(RequestError, match="expected a Zarr group at"):
            open_archive(tmp_path / name)


def test_bad_options(store):
    for options, match in (
        ({"models": "mine"}, "expected models=None"),
        ({"chunks": "all"}, 'expected chunks="auto"'),
        ({"chunks": {"level": 3}}, "no dimension 'level'"),
    ):
        with pytest.raises(RequestError, match=match):
            open_archive(store, **options)


def test_dropped_variables(store):
    assert "temperature" not in open_archive(store, drop_variables="temperature")
    assert open_archive(store, decode_times=False).time.dtype.kind == "i"


def test_blocks_decode_every_chunk_once(store, decoded):
    lazy = open_archive(store, chunks=None).temperature
    parts = list(stored_blocks(lazy, most=1))
    assert [part.sizes["time"] for part in parts] == [2, 2, 2, 1]
    assert not decoded
    whole = xr.concat([part.load() for part in parts], "time")
    assert len(decoded) == 4
    np.testing.assert_array_equal(whole, xr.open_zarr(store).temperature)
    assert whole.time.equals(lazy.time)


def test_memory_store_and_url(store):
    pytest.importorskip("fsspec")
    from zarr.storage import LocalStore

    for place in (LocalStore(store, read_only=True), store.as_uri(), str(store)):
        assert open_archive(place).temperature.shape == (7, 19, 36)


def test_lazily_among_the_public_names(python):
    script = "import sys, adiabat.formats as f\nprint('adiabat.formats.reading' in sys.modules)\nf.open_archive"
    assert python(script).stdout == "False\n"
    ran = python("from adiabat.formats import nothing")
    assert "ImportError: cannot import name 'nothing'" in ran.stderr
