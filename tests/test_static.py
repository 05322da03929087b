"""Static fields: laid on the variable's grid whichever way either runs, kept in the store, found by readers."""

from __future__ import annotations

import hashlib
import json
import warnings

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.codec import ModelNotFoundError, models, statics
from adiabat.formats import RequestError, compress, make_plan, open_static, take_inventory, verify
from adiabat.formats.grid import Grid, lay

LAT = np.linspace(60, 37, 24)
LON = np.arange(0, 360, 7.5)


pytestmark = pytest.mark.usefixtures("cache")


def height(lat, lon):
    """A field of its place only, whatever the convention."""
    east, north = np.deg2rad(lon), np.deg2rad(lat)
    values = 2000 * np.sin(3 * east)[None, :] * np.cos(5 * north)[:, None] + 50 * np.cos(9 * east)[None, :]
    return xr.DataArray(values, {"lat": ("lat", lat), "lon": ("lon", lon)}, ("lat", "lon"), name="z")


def weather(lat=LAT, lon=LON, times=3):
    rng = np.random.default_rng(0)
    shape = (times, len(lat), len(lon))
    t = 280 - 0.0065 * height(lat, lon).values + rng.normal(size=shape).cumsum(0) * 0.05
    coords = {"time": np.arange(times), "lat": lat, "lon": lon}
    return xr.Dataset({"t": (("time", "lat", "lon"), t.astype("f4"))}, coords)


def orography(tmp_path, field):
    path = tmp_path / "oro.nc"
    field.to_dataset(name="z").to_netcdf(path)
    return path


CONVENTIONS = {
    "the same": (LAT, LON),
    "south first": (LAT[::-1], LON),
    "from -180": (LAT, LON - 180),
    "from -180, not sorted": (LAT, np.where(LON > 180, LON - 360, LON)),
    "closed on itself": (LAT, np.append(LON, 360.0)),
    "larger": (np.append(LAT, 36.0), LON),
    "float32, a little off": ((LAT + 1e-4).astype("f4"), (LON - 1e-4).astype("f4")),
}


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("target", CONVENTIONS)
def test_a_field_lies_where_it_belongs(name, target):
    there = height(*CONVENTIONS[target])
    laid = lay(height(*CONVENTIONS[name]), Grid.of(there))
    if target == "larger" and name != "larger":
        assert laid is None, "nothing is made up"
        return
    assert laid.dtype == np.float32
    np.testing.assert_allclose(laid, there.values, atol=0.1)


def test_axes_may_be_swapped():
    there = height(LAT, LON)
    assert (lay(there, Grid.of(there.T)) == there.T.values.astype("f4")).all()
    assert (lay(there.T, Grid.of(there)) == there.values.astype("f4")).all()


@pytest.mark.parametrize(
    ("lat", "lon"), [(LAT + 0.1, LON), (LAT, LON + 0.1), (LAT[:-1], LON), (LAT, LON[2:]), (LAT[::2], LON)]
)
def test_another_grid_is_none(lat, lon):
    assert lay(height(lat, lon), Grid.of(height(LAT, LON))) is None


def test_without_coordinates_shapes_decide():
    there = height(LAT, LON)
    bare = xr.DataArray(there.values)
    assert (lay(bare, Grid.of(there)) == there.values.astype("f4")).all()
    assert (lay(there, Grid.of(bare)) == there.values.astype("f4")).all()
    assert lay(bare.T, Grid.of(there)) is None
    assert lay(there[1:], Grid.of(bare)) is None


def test_names_units_and_standard_names_tell_the_axes():
    for attributes in ({"units": "degrees_north"}, {"standard_name": "latitude"}):
        array = xr.DataArray(np.zeros((2, 3)), {"y": ("y", [1.0, 2.0], attributes), "lon": [1, 2, 3]}, ("y", "lon"))
        assert Grid.of(array).kinds == ("latitude", "longitude")
    rotated = {"rlat": ("rlat", [1.0, 2.0], {"standard_name": "grid_latitude", "units": "degrees"})}
    assert Grid.of(xr.DataArray(np.zeros((2, 3)), rotated, ("rlat", "x"))).kinds == (None, None)


def test_a_store_keeps_its_static_field_and_helps_by_it(tmp_path, cache):
    dataset, store = weather(), tmp_path / "out.zarr"
    oro = height(LAT[::-1], LON - 180)
    plan = compress(dataset, store, default_bound={"abs": 0.1}, statics=[open_static(str(orography(tmp_path, oro)))])
    (file,) = plan[0].statics
    expected = height(LAT, LON).values.astype("f4")
    kept = store / ".adiabat" / f"{file.sha256}.npy"
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == file.sha256
    np.testing.assert_allclose(np.load(kept), expected, atol=0.1)
    assert [path.name for path in cache.iterdir()] == [kept.name]
    assert take_inventory(store)[0].options["static"] == [file.sha256]
    assert take_inventory(store)[0].labels == {file.sha256: "oro.nc:z"}
    note = json.loads((store / "zarr.json").read_text())["attributes"]["adiabat"]
    assert note.endswith("Then run once: adiabat models add STORE.")
    dataset.to_netcdf(tmp_path / "source.nc")
    assert not [check.problem for check in verify(tmp_path / "source.nc", store) if check.problem]


def test_readers_do_not_mind_the_folder(tmp_path):
    store = tmp_path / "out.zarr"
    compress(weather(), store, default_bound={"abs": 0.1}, statics=[_static(height(LAT, LON))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Who asks for metadata one by one is told of the file that says what is needed to read the store.
        warnings.filterwarnings("ignore", message="Object at README.txt is not recognized")
        with xr.open_zarr(store) as lazy, xr.open_zarr(store, consolidated=False) as other:
            assert set(lazy.variables) == set(other.variables) == {"t", "time", "lat", "lon"}
        assert set(zarr.open_group(store, mode="r").array_keys()) == {"t", "time", "lat", "lon"}
        members = dict(zarr.open_group(store, mode="r", use_consolidated=False).members())
        assert "adiabat models add STORE" in members.pop(".adiabat").attrs["about"]
        assert set(members) == {"t", "time", "lat", "lon"}


def test_another_machine_is_told_what_to_add(tmp_path, monkeypatch, side_model):
    """A model that sees references uses the field; who has not got it learns how to."""
    monkeypatch.setattr(models, "_loaded", {models.DEFAULT: side_model, side_model.sha256: side_model})
    store, dataset = tmp_path / "out.zarr", weather(times=1)
    compress(dataset, store, default_bound={"abs": 0.1}, statics=[_static(height(LAT, LON))])
    row = take_inventory(store)[0]
    (sha256,) = row.options["static"]
    if row.streams.paths != {"neural": 1}:
        pytest.skip("the random model lost against the classical path")
    assert row.streams.statics == {sha256: 1}
    monkeypatch.setenv("ADIABAT_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setattr(statics, "_loaded", {})
    with pytest.raises(ModelNotFoundError, match=f"static field {sha256} is needed .* adiabat models add"):
        xr.open_zarr(store, chunks=None).t.load()
    added = models.add_store(store)
    assert added == [tmp_path / "elsewhere" / f"{sha256}.npy"]
    assert np.abs(xr.open_zarr(store, chunks=None).t - dataset.t).max() <= 0.1


def _static(field):
    from adiabat.formats.static import StaticField

    return StaticField("made", field)


def test_only_compressed_variables_on_the_grid_get_it():
    dataset = weather()
    dataset["small"] = (("time", "lat2", "lon2"), np.zeros((3, 5, 6), "f4"))
    dataset["mask"] = (("lat", "lon"), np.ones((24, 48), "i1"))
    dataset["profile"] = ("time", np.arange(3.0))
    dataset["row"] = (("time", "row", "lon"), np.zeros((3, 1, 48), "f4"))
    plan = make_plan(dataset, bounds={}, default_bound={"abs": 0.1}, statics=[_static(height(LAT, LON))])
    assert [v.name for v in plan if v.statics] == ["t"]


def test_tiles_are_refused_with_the_way_out():
    dataset, oro = weather(), _static(height(LAT, LON))
    tiles = {"lat": 12, "lon": 48}
    message = "static fields need whole frames, and t is cut into 12 x 48: write --chunk lat=24 --chunk lon=48"
    with pytest.raises(RequestError, match=message):
        make_plan(dataset, bounds={}, default_bound={"abs": 0.1}, chunks=tiles, statics=[oro])


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (height(LAT + 0.3, LON), r"made is on 24 x 48 \(latitude 60.3 to 37.3, .*, but t is on 24 x 48 \(latitude 60 "),
        (xr.DataArray(np.zeros((5, 6))), r"made is on 5 x 6 \(no latitude and longitude\), but t is on 24 x 48"),
        (height(LAT, LON).where(LAT[:, None] < 59), "made has 96 values that are not finite on the grid of t"),
    ],
)
def test_a_field_that_does_not_fit_is_refused(field, message):
    with pytest.raises(RequestError, match=message):
        make_plan(weather(), bounds={}, default_bound={"abs": 0.1}, statics=[_static(field)])


def test_five_are_too_many():
    with pytest.raises(RequestError, match="expected at most 4 static fields, got 5"):
        make_plan(weather(), bounds={}, statics=5 * [_static(height(LAT, LON))])


def test_files_of_static_fields(tmp_path):
    field = height(LAT, LON)
    path = orography(tmp_path, field)
    assert open_static(str(path)).label == "oro.nc:z"
    np.testing.assert_array_equal(open_static(f"{path}:z").values, field)
    np.save(tmp_path / "oro.npy", field.values[None])
    assert open_static(str(tmp_path / "oro.npy")).values.shape == (24, 48)
    path.rename(tmp_path / "a:b.nc")
    assert open_static(str(tmp_path / "a:b.nc")).label == "a:b.nc:z"


def test_files_without_a_static_field(tmp_path):
    field = height(LAT, LON)
    two = tmp_path / "two.nc"
    weather().assign(z=field, lsm=field > 0, name="x").to_netcdf(two)
    np.save(tmp_path / "line.npy", LAT)
    (tmp_path / "text.npy").write_text("hello")
    for text, message in {
        f"{two}": r"to hold one field of two axes, got several, choose one with --static .*two.nc:VARIABLE: z, lsm",
        f"{two}:oro": "there is no variable 'oro' in .*two.nc; it holds: ",
        f"{two}:t": "to name numbers on two axes, got float32 on axes 3 x 24 x 48",
        f"{two}:name": "to name numbers on two axes, got .* on axes none",
        f"{tmp_path}/none.nc:z": "none.nc does not exist",
        f"{tmp_path}/none.npy": "none.npy cannot be read: there is no such file",
        f"{tmp_path}/text.npy": "text.npy cannot be read",
        f"{tmp_path}/line.npy": "got float64 on axes 24",
    }.items():
        with pytest.raises(RequestError, match=message):
            open_static(text)
