"""Stores of generated values and of views: coarse bytes as they were, whole or not at all, and resumed."""

from __future__ import annotations

import json

import downscaler_packages
import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import downscaler_model
from adiabat.formats import compress
from adiabat.formats.block_means import block_means
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import MARK, RECIPE, Recipe
from adiabat.formats.generated_source import make_recipe, open_coarse
from adiabat.formats.generated_view import GeneratedArray
from adiabat.formats.generated_write import write_values, write_view
from adiabat.formats.status import check_store, describe_progress
from adiabat.formats.verify import verify
from adiabat.formats.workspace import Workspace

pytest.importorskip("onnxruntime")
TIMES, ROWS, COLUMNS = 3, 20, 36
ASKED = {"kind": "samples", "seed": 5, "samples": 2, "steps": 1, "persistence": 0}


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "white.zip").write_bytes(downscaler_packages.package())
    monkeypatch.setenv("ADIABAT_MODELS", str(tmp_path / "models"))


@pytest.fixture
def dataset():
    rng = np.random.default_rng(0)
    values = rng.random((TIMES, ROWS, COLUMNS)).astype("f4")
    values[0, :3, :4] = np.nan
    latitude = np.linspace(85.5, -85.5, ROWS)
    edges = np.stack([latitude + 4.5, latitude - 4.5], axis=1)
    coordinates = {
        "time": ("time", np.arange(TIMES), {"units": "days since 2020-01-01"}),
        "lat": ("lat", latitude, {"units": "degrees_north", "bounds": "lat_bnds"}),
        "lon": ("lon", np.arange(0.0, 360, 10), {"units": "degrees_east"}),
        "height": 2.0,
    }
    variables = {
        "q": (("time", "lat", "lon"), values, {"units": "kg", "long_name": "humidity"}),
        "u": (("time", "lat", "lon"), values - 0.5),
        "flag": (("lat", "lon"), np.ones((ROWS, COLUMNS), "i1")),
        "lat_bnds": (("lat", "edge"), edges),
    }
    return xr.Dataset(variables, coordinates, {"title": "made up"})


@pytest.fixture
def store(dataset, tmp_path):
    dataset.to_netcdf(tmp_path / "q.nc")
    from adiabat.formats import open_source

    compress(open_source(tmp_path / "q.nc"), tmp_path / "q.zarr", default_bound={"abs": 0.001})
    return tmp_path / "q.zarr"


def prepared(source, variable="q", factor=None, **asked):
    coarse = open_coarse(source, variable)
    return coarse, make_recipe(coarse, downscaler_packages.model(), factor, ASKED | asked)


def files(folder):
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_a_recipe_that_suits_the_array(store):
    _, recipe = prepared(store)
    assert (recipe.factor, recipe.shape, recipe.wrap, recipe.non_negative) == (4, (ROWS, COLUMNS), True, True)
    assert 0.3 < recipe.scale < 0.5  # root of 1 / 6
    assert not prepared(store, "u", factor=8)[1].non_negative


def test_a_view_is_the_coarse_store_and_a_recipe(store, dataset, tmp_path):
    coarse, recipe = prepared(store)
    write_view(coarse, recipe, tmp_path / "view.zarr", command="a command")
    before, after = files(store), files(tmp_path / "view.zarr")
    chunks = {name for name in after if name.startswith("q/c/")}
    assert chunks
    assert all(after[name] == before[name] for name in chunks)
    assert sum(map(len, after.values())) < sum(map(len, before.values()))  # of which u and flag are left out
    root = zarr.open_group(tmp_path / "view.zarr", mode="r")
    assert set(root.array_keys()) == {"q", "time", "lat", "lon", "height", "lat_bnds"}
    assert "a command" in root.attrs["history"]
    assert root.attrs["title"] == "made up"
    assert "no data" in (tmp_path / "view.zarr" / "README.txt").read_text()
    assert verify([tmp_path / "q.nc"], tmp_path / "view.zarr")[0].problem is None
    assert check_store(tmp_path / "view.zarr", decode=True) == []
    opened = xr.open_dataset(tmp_path / "view.zarr", engine="adiabat")
    assert opened.q.shape == (2, TIMES, 4 * ROWS, 4 * COLUMNS)
    assert opened.lat_bnds.dims == ("lat_coarse", "edge")
    assert "bounds" not in opened.lat.attrs
    assert "height" in opened.q.coords


def test_a_stored_ensemble_is_what_the_view_gives(store, tmp_path):
    coarse, recipe = prepared(store)
    write_view(coarse, recipe, tmp_path / "view.zarr")
    write_values(coarse, recipe, tmp_path / "out.zarr")
    view, out = xr.open_dataset(tmp_path / "view.zarr", engine="adiabat"), xr.open_zarr(tmp_path / "out.zarr")
    assert view.q.attrs == out.q.attrs
    for name in ("q", "q_coarse", "lat", "lon", "lat_coarse", "lon_coarse", "sample", "time"):
        assert view[name].dims == out[name].dims
        assert np.array_equal(view[name].values, out[name].values, equal_nan=name.startswith("q"))
    assert set(out.data_vars) == {"q", "q_coarse", "lat_bnds"}
    assert "height" in out.q.coords
    assert np.nanmin(out.q) >= 0
    means = block_means(out.q.values, 4)
    assert np.nanmax(np.abs(means - out.q_coarse.values)) < 1e-6
    assert check_store(tmp_path / "out.zarr", decode=True) == []
    problems = {check.name: check.problem for check in verify([store], tmp_path / "out.zarr")}
    assert problems["q"] == "was generated by a model and is no data, so it is not compared"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["models", "out.zarr", "q.nc", "q.zarr", "view.zarr"]


@pytest.mark.parametrize("write", [write_view, write_values])
@pytest.mark.parametrize("kind", ["netcdf", "zarr 2"])
def test_other_sources_are_stored_without_loss(dataset, tmp_path, write, kind):
    if kind == "netcdf":
        dataset.to_netcdf(tmp_path / "q.nc")
    else:
        dataset.to_zarr(tmp_path / "q.nc", zarr_format=2, consolidated=False)
    coarse, recipe = prepared(tmp_path / "q.nc")
    write(coarse, recipe, tmp_path / "out.zarr")
    opened = xr.open_dataset(tmp_path / "out.zarr", engine="adiabat")
    assert opened.q.attrs[MARK] == 1
    assert np.array_equal(opened.q_coarse.values, dataset.q.values, equal_nan=True)
    assert np.array_equal(opened.lat_coarse, dataset.lat)
    assert opened.lat_bnds.dims == ("lat_coarse", "edge")
    assert np.nanmax(np.abs(block_means(opened.q[0].values, 4) - dataset.q.values)) < 1e-6


@pytest.mark.parametrize("write", [write_view, write_values])
def test_a_view_may_be_made_of_a_view(store, tmp_path, write):
    write_view(*prepared(store), tmp_path / "view.zarr")
    write(*prepared(tmp_path / "view.zarr", seed=9), tmp_path / "out.zarr")
    opened = xr.open_dataset(tmp_path / "out.zarr", engine="adiabat")
    assert opened.q.attrs["adiabat_seed"] == 9
    assert set(opened.data_vars) == {"q", "q_coarse", "lat_bnds"}


def test_child_groups_and_codecs_of_others(dataset, tmp_path):
    dataset.drop_vars("height").to_zarr(tmp_path / "plain.zarr", zarr_format=3, consolidated=False)
    coarse, recipe = prepared(tmp_path / "plain.zarr")
    write_view(coarse, recipe, tmp_path / "view.zarr")
    assert files(tmp_path / "view.zarr")["q/c/0/0/0"] == files(tmp_path / "plain.zarr")["q/c/0/0/0"]


def test_what_was_stopped_goes_on(store, tmp_path, monkeypatch):
    monkeypatch.setattr("adiabat.formats.generated_view.BLOCK_VALUES", 4 * ROWS * 4 * COLUMNS)
    coarse, recipe = prepared(store)
    done = []

    def stop(name, count):
        done.append(count)
        if len(done) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_values(coarse, recipe, tmp_path / "out.zarr", progress=stop)
    assert not (tmp_path / "out.zarr").exists()
    assert describe_progress(tmp_path / "out.zarr") == "3 of 6 blocks are done"
    with pytest.raises(RequestError, match=r"begun otherwise \(another recipe\)"):
        write_values(coarse, Recipe(**{**recipe.__dict__, "seed": 6}), tmp_path / "out.zarr")
    outer, formed = GeneratedArray.outer, []
    monkeypatch.setattr(GeneratedArray, "outer", lambda *args, **kw: formed.append(1) or outer(*args, **kw))
    write_values(coarse, recipe, tmp_path / "out.zarr", progress=lambda *_: None)
    assert len(formed) == 3
    write_values(coarse, recipe, tmp_path / "again.zarr")
    assert files(tmp_path / "out.zarr" / "q") == files(tmp_path / "again.zarr" / "q")
    assert not Workspace(tmp_path / "out.zarr").folder.exists()


def test_nothing_is_left_of_what_fails(store, tmp_path, monkeypatch):
    coarse, recipe = prepared(store)
    gone = Recipe(**{**recipe.__dict__, "model": "0" * 64})
    from adiabat.codec.errors import ModelNotFoundError

    with pytest.raises(ModelNotFoundError):
        write_values(coarse, gone, tmp_path / "out.zarr")
    assert not list(tmp_path.glob("out*"))


def test_a_taken_place_is_not_replaced(store, tmp_path):
    coarse, recipe = prepared(store)
    write_view(coarse, recipe, tmp_path / "out.zarr")
    for write in (write_view, write_values):
        with pytest.raises(RequestError, match="--overwrite"):
            write(coarse, recipe, tmp_path / "out.zarr")
    write_values(coarse, recipe, tmp_path / "out.zarr", overwrite=True)
    write_view(coarse, recipe, tmp_path / "out.zarr", overwrite=True)
    assert RECIPE in zarr.open_array(tmp_path / "out.zarr", path="q", mode="r").attrs


@pytest.mark.parametrize(
    ("variable", "factor", "said"),
    [
        ("w", None, "there is no variable 'w'; the float fields: q, u"),
        (None, None, "choose one with --variable: q, u"),
        ("flag", None, "expected a field of floats, got flag of int8, 2 dimensions"),
        ("time", None, "got time of int64, 1 dimensions of times"),
        ("q", 5, "the model knows the factors 4, 8, not 5"),
    ],
)
def test_requests_that_cannot_be(store, variable, factor, said):
    with pytest.raises(RequestError, match=said):
        prepared(store, variable, factor)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda each: each.isel(lat=slice(3)), "at least 4 x 4"),
        (
            lambda each: each.assign_coords(lat=np.sort(np.random.default_rng(0).random(ROWS))),
            "expected a regular grid",
        ),
        (lambda each: each.assign(q=each.q * np.inf), "holds infinite values"),
        (lambda each: each.assign(q=each.q * np.nan), "holds no value at all"),
        (lambda each: each.assign(q=each.q.assign_attrs({MARK: 1})), "was generated already"),
    ],
)
def test_arrays_that_cannot_be_refined(dataset, tmp_path, change, said):
    changed = change(dataset.drop_vars(["lat_bnds", "flag", "u"]))
    changed.lat.attrs.pop("bounds", None)
    changed.to_netcdf(tmp_path / "odd.nc")
    with pytest.raises(RequestError, match=said):
        prepared(tmp_path / "odd.nc")


def test_texture_needs_a_stated_bound(store, dataset, tmp_path):
    dataset[["q"]].to_netcdf(tmp_path / "plain.nc")
    with pytest.raises(RequestError, match="texture needs a store of adiabat"):
        prepared(tmp_path / "plain.nc", kind="texture", samples=1)
    coarse, recipe = prepared(store, kind="texture", samples=1)
    assert (recipe.bound, recipe.promised, recipe.fine_shape) == (0.001, "abs:0.002", (ROWS, COLUMNS))
    assert json.loads(coarse.array.attrs["adiabat"])["bound"] == {"abs": 0.001}


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_texture_keeps_twice_the_bound(dtype, tmp_path):
    rng = np.random.default_rng(0)
    original = rng.standard_normal((2, 50, 71)).cumsum(-1).cumsum(-2).astype(dtype)
    original[0, 4:9, 60:] = np.nan
    dataset = xr.Dataset({"t": (("time", "y", "x"), original)})
    compress(dataset, tmp_path / "t.zarr", default_bound={"abs": 0.5})
    coarse, recipe = prepared(tmp_path / "t.zarr", "t", kind="texture", samples=1)
    write_values(coarse, recipe, tmp_path / "out.zarr")
    write_view(coarse, recipe, tmp_path / "view.zarr")
    out, view = (xr.open_dataset(tmp_path / name, engine="adiabat") for name in ("out.zarr", "view.zarr"))
    assert set(view.data_vars) == set(out.data_vars) == {"t", "t_stored"}
    assert out.t.shape == original.shape
    assert out.t.dtype == dtype
    assert out.t.attrs["adiabat_bound"] == "abs:1"
    values, stored = (each.values.astype("f8") for each in (out.t, out.t_stored))
    assert np.array_equal(view.t.values, out.t.values, equal_nan=True)
    assert np.array_equal(np.isnan(values), np.isnan(original))
    assert 0.1 < np.nanmax(np.abs(values - stored)) <= 0.5
    assert np.nanmax(np.abs(values - original)) <= 1


def test_the_model_is_found_by_its_hash():
    assert downscaler_model.find_downscaler(downscaler_packages.model().sha256).factors == (4, 8)
