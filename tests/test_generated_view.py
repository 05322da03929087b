"""Generated variables as they are read: lazily, any part of them as it is in the whole, and marked."""

from __future__ import annotations

import pickle

import downscaler_packages
import numpy as np
import pytest
import xarray as xr

from adiabat.codec import downscaler_model
from adiabat.codec.errors import ModelNotFoundError
from adiabat.formats import compress, open_archive
from adiabat.formats.block_means import block_means
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import MARK, RECIPE, Recipe
from adiabat.formats.generated_view import GeneratedArray

TIMES, LEVELS, ROWS, COLUMNS = 5, 2, 30, 44
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def recipe():
    return Recipe(
        model=downscaler_packages.model().sha256, factor=4, shape=(ROWS, COLUMNS), scale=0.5, seed=3, samples=2, steps=2
    )


@pytest.fixture(scope="module")
def coarse():
    rng = np.random.default_rng(0)
    values = 280 + rng.standard_normal((TIMES, LEVELS, ROWS, COLUMNS)).cumsum(-1).cumsum(-2) / 20
    values[1, 0, 3:5, 7:12] = np.nan
    coordinates = {
        "time": ("time", np.arange(TIMES), {"units": "days since 2020-01-01"}),
        "level": [850.0, 500.0],
        "lat": ("lat", np.linspace(40, 11, ROWS), {"units": "degrees_north"}),
        "area": (("lat", "lon"), rng.random((ROWS, COLUMNS))),
    }
    dims = ("time", "level", "lat", "lon")
    return xr.DataArray(values.astype("f4"), coordinates, dims, "t", {"units": "K"}).to_dataset()


@pytest.fixture(scope="module")
def store(coarse, recipe, tmp_path_factory):
    path = tmp_path_factory.mktemp("view") / "t.zarr"
    coarse.t.attrs[RECIPE] = recipe.to_json()
    compress(coarse, path, default_bound={"abs": 0.01})
    return path


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (folder / "white.zip").write_bytes(downscaler_packages.package())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ADIABAT_MODELS", str(folder))
        yield


@pytest.fixture(scope="module")
def whole(store):
    return xr.open_dataset(store, engine="adiabat").t.load()


@pytest.fixture
def opened(store):
    return xr.open_dataset(store, engine="adiabat", cache=False)


def test_the_fine_variable_beside_what_is_stored(opened, coarse):
    assert opened.t.dims == ("sample", "time", "level", "lat", "lon")
    assert opened.t.shape == (2, TIMES, LEVELS, 4 * ROWS, 4 * COLUMNS)
    assert set(opened.t.coords) == {"sample", "time", "level", "lat"}
    assert opened.t_coarse.dims == ("time", "level", "lat_coarse", "lon_coarse")
    assert opened.area.dims == ("lat_coarse", "lon_coarse")
    assert np.allclose(opened.lat.values.reshape(-1, 4).mean(1), opened.lat_coarse)
    assert opened.time.dtype.kind == "M"
    assert np.abs(opened.t_coarse - coarse.t.values).max() <= 0.01


def test_marks(opened, recipe):
    assert opened.t.attrs[MARK] == 1
    assert (opened.t.attrs["units"], opened.t.attrs["adiabat_bound"]) == ("K", "no bound")
    assert opened.t.attrs["adiabat_model"] == recipe.model
    assert not {MARK, RECIPE} & set(opened.t_coarse.attrs)
    assert RECIPE not in opened.t.attrs


def test_block_means_are_what_is_stored(whole, opened):
    stored = opened.t_coarse.values
    difference = block_means(whole.values, 4) - stored
    assert np.nanmax(np.abs(difference)) < 1e-6 * np.nanmax(stored)
    assert np.array_equal(np.isnan(difference[0]), np.isnan(stored))
    assert np.isnan(whole.values).sum() == 2 * 16 * np.isnan(stored).sum()


def test_members_times_and_levels_differ(whole):
    fine = (whole - whole.mean("sample")).values
    assert np.nanstd(fine) > 0.001
    flat = np.nan_to_num(fine[0].reshape(TIMES * LEVELS, -1))
    correlation = np.corrcoef(flat) - np.eye(TIMES * LEVELS)
    assert np.abs(correlation).max() < 0.1


@pytest.mark.parametrize(
    "key",
    [
        {"time": 1},
        {"sample": 1, "time": [3, 0], "lat": slice(5, 50)},
        {"lat": [0, -1], "lon": [170, 2, 3]},
        {"lon": slice(None, None, -7), "level": 1},
        {"time": slice(2, 2)},
        {"sample": 0, "time": 4, "level": 0, "lat": 17, "lon": 100},
    ],
    ids=str,
)
def test_parts_equal_parts_of_the_whole(opened, whole, key):
    assert np.array_equal(opened.t.isel(key).values, whole.isel(key).values, equal_nan=True)


def test_points_equal_points_of_the_whole(opened, whole):
    rng = np.random.default_rng(1)
    key = {dim: xr.DataArray(rng.integers(size, size=12), dims="point") for dim, size in opened.t.sizes.items()}
    assert np.array_equal(opened.t.isel(key).values, whole.isel(key).values, equal_nan=True)
    some = {"lat": key["lat"], "lon": key["lon"], "sample": 1, "level": [1, 0]}
    assert np.array_equal(opened.t.isel(some).values, whole.isel(some).values, equal_nan=True)


def test_only_what_is_asked_for_is_generated(store, monkeypatch):
    from adiabat.formats.downscaling import Downscaling

    asked = []
    sample = Downscaling.sample

    def seen(self, region, **where):
        asked.append((where["time_index"], *(part.stop - part.start for part in region)))
        return sample(self, region, **where)

    monkeypatch.setattr(Downscaling, "sample", seen)
    opened = xr.open_dataset(store, engine="adiabat", cache=False).t
    assert not asked
    assert opened.isel(sample=1, time=3, level=0, lat=slice(8, 12), lon=5).shape == (4,)
    opened.isel(sample=1, time=3, level=0, lat=slice(8, 12), lon=5).values  # noqa: B018
    assert asked == [(3, 4, 1)]


def test_dask_and_pickle(store, whole):
    pytest.importorskip("dask")
    chunked = xr.open_dataset(store, engine="adiabat", chunks={}).t
    assert chunked.data.chunksize[0] == 1
    assert chunked.data.chunksize[-2:] == chunked.shape[-2:]
    assert np.array_equal(chunked[1, 2].compute(), whole[1, 2], equal_nan=True)
    lazy = pickle.loads(pickle.dumps(xr.open_dataset(store, engine="adiabat").t))
    assert np.array_equal(lazy[0, 4], whole[0, 4], equal_nan=True)
    archive = open_archive(store)
    assert np.array_equal(archive.t[0, 1], whole[0, 1], equal_nan=True)


def test_options_of_xarray(store, whole):
    raw = xr.open_dataset(store, engine="adiabat", mask_and_scale=False, decode_times=False)
    assert raw.time.attrs["units"] == "days since 2020-01-01"
    assert np.array_equal(raw.t[1, 0, 1], whole[1, 0, 1], equal_nan=True)
    assert "t" not in xr.open_dataset(store, engine="adiabat", drop_variables="t")
    assert "t_coarse" not in xr.open_dataset(store, engine="adiabat", drop_variables=["t_coarse"])


def test_plain_zarr_shows_what_is_stored(store, coarse):
    plain = xr.open_zarr(store, chunks=None)
    assert plain.t.shape == coarse.t.shape
    assert MARK not in plain.t.attrs


def test_opening_needs_no_model_and_reading_says_which(store, monkeypatch):
    monkeypatch.delenv("ADIABAT_MODELS")
    monkeypatch.setattr(downscaler_model, "_shelf", type(downscaler_model._shelf)("downscaler", lambda _: None))
    monkeypatch.setattr("adiabat.codec.package._packages", {})
    opened = xr.open_dataset(store, engine="adiabat")
    with pytest.raises(ModelNotFoundError, match=downscaler_packages.model().sha256):
        opened.t[0, 0].load()


def test_an_array_that_was_cut_is_no_view(coarse, recipe, tmp_path):
    coarse.isel(lat=slice(1, None)).drop_vars("area").to_zarr(tmp_path / "cut.zarr", consolidated=False)
    with pytest.raises(RequestError, match="its recipe is for"):
        xr.open_dataset(tmp_path / "cut.zarr", engine="adiabat")


def test_factors_are_not_looked_for_in_it(opened):
    with pytest.raises(RequestError, match="no longer an array of factors"):
        opened.t.adiabat.mean("time")


@pytest.mark.parametrize("kind", ["mean", "samples"])
def test_frames_without_leading_axes(coarse, recipe, kind):
    field = coarse.t[2, 1].variable
    options = {"kind": kind, "samples": 1 if kind == "mean" else 2}
    array = GeneratedArray(field, Recipe(**{**recipe.__dict__, **options}))
    assert array.dims == (("sample",) if kind == "samples" else ()) + ("lat", "lon")
    values = array.outer([np.arange(size) for size in array.shape])
    assert values.shape == array.shape
    assert np.allclose(block_means(values, 4), field.values, rtol=1e-6)


def test_persistence_holds_noise(coarse, recipe):
    def first(persistence):
        array = GeneratedArray(coarse.t.variable, Recipe(**{**recipe.__dict__, "persistence": persistence}))
        both = array.outer([np.zeros(1, int), np.array([2, 3]), np.zeros(1, int), np.arange(80), np.arange(80)])
        fine = both - np.repeat(np.repeat(block_means(both, 4), 4, -1), 4, -2)
        return np.corrcoef(fine[0, 0].ravel(), fine[0, 1].ravel())[0, 1]

    correlations = [first(each) for each in (0, 4, "frozen")]
    assert correlations[0] < correlations[1] < correlations[2]
