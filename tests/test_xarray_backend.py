"""The engine ``adiabat``: lazy, exact, picklable; means in factor space; ordinary stores and trees."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
import xarray as xr
from zarr.storage import LocalStore

from adiabat.formats import compress, low_rank
from adiabat.formats.demo import simulate_field
from adiabat.formats.errors import RequestError

DAYS, ROWS, COLUMNS = 300, 12, 14


@pytest.fixture(scope="module")
def cube():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((n, 3)).cumsum(0) for n in (DAYS, ROWS, COLUMNS)]
    values = np.einsum("ir,jr,kr->ijk", *parts) / 50 + 280
    values[rng.random(values.shape) < 0.3] = np.nan
    times = np.datetime64("2019-01-01", "ns") + np.arange(DAYS) * np.timedelta64(1, "D")
    latitude = xr.Variable("lat", np.linspace(-80, 70, ROWS), {"units": "degrees_north"})
    area = xr.Variable(("lat", "lon"), rng.random((ROWS, COLUMNS)), {"long_name": "cell area"})
    coordinates = {"time": times, "lat": latitude, "lon": np.arange(COLUMNS, dtype="f8"), "area": area}
    return xr.DataArray(values.astype("f4"), coordinates, ("time", "lat", "lon"), "t", {"units": "K"})


@pytest.fixture(scope="module")
def store(cube, tmp_path_factory):
    path = tmp_path_factory.mktemp("low_rank") / "t.cp.zarr"
    low_rank.write(cube, path, rank=5, ridge=0.1)
    return path


@pytest.fixture(scope="module")
def bounded(cube, tmp_path_factory):
    path = tmp_path_factory.mktemp("low_rank") / "b.cp.zarr"
    assert low_rank.write(cube, path, rank=5, ridge=0.1, bound={"abs": 0.5}).rank
    return path


@pytest.fixture
def opened(store):
    return xr.open_dataset(store, engine="adiabat", cache=False)


def test_the_engine_is_found_by_the_suffix(store):
    found = xr.open_dataset(store)
    assert set(found.data_vars) == {"t", "t_observed"}
    assert set(found.coords) == {"time", "lat", "lon", "area"}
    assert found.t.dtype == np.float32
    assert found.t_observed.dtype == bool
    assert "adiabat_low_rank" not in {**found.attrs, **found.t.attrs}


def test_suffix_of_others_is_left_to_them(tmp_path, cube):
    cube.to_dataset().to_zarr(tmp_path / "plain.zarr", zarr_format=2)
    assert set(xr.open_dataset(tmp_path / "plain.zarr").variables) == {"t", "time", "lat", "lon", "area"}


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no store"):
        xr.open_dataset(tmp_path / "none.cp.zarr")


KEYS = [
    {"time": 7},
    {"time": -1, "lat": 3},
    {"time": slice(250, None, -7), "lon": [1, 1, 0]},
    {"lat": [11, 0], "lon": slice(2, 2)},
    {"time": np.arange(DAYS) % 5 == 0},
    {"time": 127, "lat": 3, "lon": -2},
    {"time": slice(120, 140), "lat": slice(None, None, 2)},
    {"time": xr.DataArray([0, 128, -1], dims="p"), "lat": xr.DataArray([1, 2, 3], dims="p")},
    {"time": xr.DataArray([[0, 255], [9, 9]], dims=("p", "q")), "lat": [1], "lon": xr.DataArray([5, 6], dims="q")},
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("which", ["filled", "corrected", "source"])
def test_indexing_gives_the_same_bits_as_a_full_decode(bounded, key, which):
    found = xr.open_dataset(bounded, engine="adiabat", cache=False, view=which)
    full = found.load()
    again = xr.open_dataset(bounded, engine="adiabat", cache=False, view=which)
    for name in ("t", "t_observed"):
        part, wanted = again[name].isel(key), full[name].isel(key)
        np.testing.assert_array_equal(part.values, wanted.values)
        first = {part.dims[0]: slice(0, 2)} if part.ndim else {}
        np.testing.assert_array_equal(again[name].isel(key).isel(first).values, wanted.isel(first).values)


def test_selection_by_label(opened):
    full = opened.t.load()
    lazy = xr.open_dataset(opened.encoding["source"], engine="adiabat", cache=False).t
    some = {"time": slice("2019-02-01", "2019-03-05"), "lat": slice(-30, 30)}
    np.testing.assert_array_equal(lazy.sel(some).values, full.sel(some).values)
    np.testing.assert_array_equal(lazy.sel(lat=12, method="nearest").values, full.sel(lat=12, method="nearest").values)


def test_the_three_views(bounded, cube):
    views = {
        view: xr.open_dataset(bounded, engine="adiabat", view=view).t for view in ("filled", "corrected", "source")
    }
    seen = np.isfinite(cube.values)
    assert np.abs(views["source"].values.astype("f8") - cube.values)[seen].max() <= 0.5
    np.testing.assert_array_equal(np.isnan(views["source"].values), ~seen)
    np.testing.assert_array_equal(views["corrected"].values[seen], views["source"].values[seen])
    np.testing.assert_array_equal(views["corrected"].values[~seen], views["filled"].values[~seen])
    np.testing.assert_array_equal(xr.open_dataset(bounded, engine="adiabat").t, views["corrected"])
    np.testing.assert_array_equal(xr.open_dataset(bounded, engine="adiabat").t_observed, seen)
    assert "bound" in views["corrected"].attrs["adiabat"]
    assert "adiabat" not in views["filled"].attrs


def test_dask_chunks(store, opened):
    pytest.importorskip("dask")
    chunked = xr.open_dataset(store, engine="adiabat", chunks={})
    assert chunked.t.chunks[0] == (128, 128, 44)
    np.testing.assert_array_equal(chunked.t.values, opened.t.values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(chunked)).t[3].compute(), opened.t[3])
    odd = xr.open_dataset(store, engine="adiabat", chunks={"time": 256, "lat": 12})
    np.testing.assert_allclose(odd.t.mean().compute(), opened.t.mean(), rtol=1e-6)


def test_pickling_before_and_after_reading(opened):
    before = pickle.loads(pickle.dumps(opened))
    values = opened.t.values
    np.testing.assert_array_equal(before.t.values, values)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(opened)).t[5].values, values[5])


def test_threads_share_an_array(opened):
    from concurrent.futures import ThreadPoolExecutor

    full = xr.open_dataset(opened.encoding["source"], engine="adiabat").t.values
    with ThreadPoolExecutor(8) as pool:
        days = list(pool.map(lambda day: opened.t[day].values, range(DAYS)))
    np.testing.assert_array_equal(np.stack(days), full)


def test_a_tree_of_stores(store, tmp_path):
    path = tmp_path / "tree.cp.zarr"
    shutil.copytree(store, path)
    shutil.copytree(store, path / "later")
    tree = xr.open_datatree(path)
    assert set(tree.groups) == {"/", "/later"}
    np.testing.assert_array_equal(tree["later/t"].values, tree["t"].values)
    assert set(xr.open_groups(path)) == {"/", "/later"}
    np.testing.assert_array_equal(xr.open_dataset(path, group="later").t[0], tree["t"][0])


def test_plain_zarr_sees_coordinates_and_factors(store):
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree["t/factor_time"].dims == ("component", "time")
    assert "area" in xr.open_zarr(store, consolidated=False).variables


def test_a_day_reads_one_chunk_of_the_time_factor(store):
    seen = []

    class Watched(LocalStore):
        async def get(self, key, *arguments, **options):
            seen.append(key)
            return await super().get(key, *arguments, **options)

    found = xr.open_dataset(Watched(store, read_only=True), engine="adiabat")
    assert not [key for key in seen if "/c/" in key and key.startswith("t/")]
    found.t[200].values  # noqa: B018
    assert [key for key in seen if key.startswith("t/factor_time/c/")] == ["t/factor_time/c/0/1"]
    assert not [key for key in seen if key.startswith("t/observed/c/")]


@pytest.mark.parametrize("dims", ["time", ("lat", "lon"), ("lon", "time"), ("time", "lat", "lon")])
def test_means_are_those_of_the_values(opened, dims):
    full = xr.open_dataset(opened.encoding["source"], engine="adiabat").t.load().astype("f8")
    np.testing.assert_allclose(opened.t.adiabat.mean(dims), full.mean(dims), atol=1e-5 * full.std())
    np.testing.assert_allclose(opened.t.adiabat.sum(dims), full.sum(dims), rtol=1e-6)
    assert set(opened.t.adiabat.mean(dims).coords) == set(full.mean(dims).coords)


def test_means_of_a_part_and_with_weights(opened):
    full = xr.open_dataset(opened.encoding["source"], engine="adiabat").t.load().astype("f8")
    some = {"time": slice(20, 200, 3), "lat": [3, 1], "lon": 4}
    np.testing.assert_allclose(opened.t[some].adiabat.mean("time"), full[some].mean("time"), rtol=1e-7)
    weighted = full.weighted(np.cos(np.deg2rad(full.lat))).mean(("lat", "lon"))
    np.testing.assert_allclose(opened.t.adiabat.mean(("lat", "lon"), weights="cos_lat"), weighted, rtol=1e-7)
    own = xr.DataArray(np.arange(COLUMNS) + 1.0, dims="lon")
    wanted = full.weighted(own).mean("lon")
    np.testing.assert_allclose(opened.t.adiabat.mean("lon", weights={"lon": own}), wanted, rtol=1e-7)


def test_what_factors_cannot_do_is_refused(opened, bounded, cube, tmp_path):
    for array, match in (
        (xr.open_dataset(bounded, engine="adiabat").t, "residual"),
        (opened.t_observed, "mask"),
        (opened.t + 1, "no longer"),
        (opened.t.isel(time=xr.DataArray([0, 1], dims="p"), lat=xr.DataArray([0, 1], dims="p")), "no longer"),
        (opened.t.where(opened.t_observed), "no longer"),
    ):
        with pytest.raises(RequestError, match=match):
            array.adiabat.mean(array.dims[0])
    with pytest.raises(RequestError, match="expected dimensions out of"):
        opened.t.adiabat.mean("level")
    with pytest.raises(RequestError, match="latitudes"):
        opened.t.adiabat.mean("lon", weights="cos_lat")
    low_rank.write(np.exp((cube - 280) / 9).rename("t"), tmp_path / "log.cp.zarr", rank=3, transform="log")
    with pytest.raises(RequestError, match="logarithms"):
        xr.open_dataset(tmp_path / "log.cp.zarr").t.adiabat.mean("time")
    xr.open_dataset(bounded, engine="adiabat", view="filled").t.adiabat.mean("time")


def test_factors_of_an_array(opened):
    cp = opened.t[10:20, :, 3].adiabat.factors
    np.testing.assert_array_equal(np.asarray(cp)[..., 0], opened.t[10:20, :, 3].values)


def test_options_of_xarray(store):
    raw = xr.open_dataset(store, engine="adiabat", decode_times=False)
    assert raw.time.dtype.kind in "iu"
    assert set(xr.open_dataset(store, engine="adiabat", drop_variables="t").data_vars) == {"area"}
    assert set(xr.open_dataset(store, engine="adiabat", drop_variables=["t_observed"]).data_vars) == {"t"}


def test_to_netcdf_and_back(opened, tmp_path):
    pytest.importorskip("netCDF4")
    opened.to_netcdf(tmp_path / "t.nc")
    back = xr.open_dataset(tmp_path / "t.nc")
    np.testing.assert_array_equal(back.t, opened.t)
    np.testing.assert_array_equal(back.t_observed, opened.t_observed)


def test_an_ordinary_store(tmp_path):
    compress(simulate_field((2, 19, 36)), tmp_path / "a.zarr", default_bound={"abs": 0.1})
    plain, ours = xr.open_zarr(tmp_path / "a.zarr"), xr.open_dataset(tmp_path / "a.zarr", engine="adiabat")
    xr.testing.assert_identical(plain.load(), ours.load())
    assert set(xr.open_datatree(tmp_path / "a.zarr", engine="adiabat").groups) == {"/"}


def test_models_of_a_store_are_taken_only_when_asked_for(tmp_path, monkeypatch):
    from adiabat.codec import statics
    from adiabat.codec.errors import ModelNotFoundError
    from adiabat.formats.static import StaticField

    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "mine"))
    field = simulate_field((2, 61, 120))
    height = field.isel(time=0, drop=True).temperature
    compress(field, tmp_path / "a.zarr", default_bound={"abs": 0.05}, statics=[StaticField("height", height)])
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "theirs"))
    monkeypatch.setattr(statics, "_loaded", {})
    with pytest.raises(ModelNotFoundError):
        xr.open_dataset(tmp_path / "a.zarr", engine="adiabat").load()
    found = xr.open_dataset(tmp_path / "a.zarr", engine="adiabat", models=True).load()
    assert np.abs(found.temperature.values - field.temperature.values).max() <= 0.05
