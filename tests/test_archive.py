"""Plan, chunks, blocks, write: what lies in the store is what was in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
import zarr

from adiabat.formats import RequestError, compress, make_plan, open_source, parse_bound, take_inventory, verify
from adiabat.formats.demo import simulate_field
from adiabat.formats.policy import format_bound

pytestmark = pytest.mark.filterwarnings("ignore:.*numpy.ndarray size changed:RuntimeWarning")


def wave(*shape):
    index = np.indices(shape).sum(axis=0)
    noise = np.random.default_rng(1).normal(size=shape)
    return (280 + 9 * np.sin(index / 7) + 0.3 * noise).astype("f4")


@pytest.fixture
def source(tmp_path):
    """A NetCDF file with everything that is awkward, in one place."""
    t = wave(5, 12, 20)
    t[1, 2:5, 3:9] = np.nan
    packed = wave(5, 12, 20).astype("f8")
    packed[0, 0, 0] = np.nan
    dataset = xr.Dataset(
        {
            "t": (("time", "lat", "lon"), t, {"units": "K", "cell_methods": "time: mean", "grid_mapping": "crs"}),
            "wind": (("time", "lat", "lon"), packed, {"units": "m s-1", "valid_range": np.array([-5, 9], "i2")}),
            "profile": ("lev", np.linspace(0, 1, 4), {"long_name": "hybrid coefficient"}),
            "flag": (("time", "lat", "lon"), (wave(5, 12, 20) > 280).astype("i1"), {"flag_values": [0, 1]}),
            "crs": ((), np.int32(0), {"grid_mapping_name": "latitude_longitude"}),
            "area": (("lat", "lon"), wave(12, 20).astype("f8")),
            "name": ("lev", np.array(["a", "bc", "d", "e"])),
        },
        coords={
            "time": ("time", np.arange(5), {"units": "hours since 2001-01-01", "bounds": "time_bnds"}),
            "time_bnds": (("time", "nv"), np.stack([np.arange(5.0), np.arange(5.0) + 1], 1)),
            "lat": ("lat", np.linspace(60, 49, 12), {"units": "degrees_north"}),
            "lon": ("lon", np.linspace(0, 19, 20), {"units": "degrees_east"}),
            "height": ((), 2.0, {"units": "m"}),
        },
        attrs={"title": "made for a test", "Conventions": "CF-1.8", "history": "made"},
    )
    packing = {"dtype": "i2", "scale_factor": 0.001, "add_offset": 270.0, "_FillValue": -32767}
    encoding = {"wind": packing, "t": {"_FillValue": 1e20, "zlib": True, "chunksizes": (1, 12, 20)}}
    path = tmp_path / "source.nc"
    dataset.to_netcdf(path, encoding=encoding)
    return path


@pytest.fixture
def store(source, tmp_path):
    path = tmp_path / "out.zarr"
    with open_source(source) as dataset:
        compress(dataset, path, bounds={"t": {"abs": 0.1}, "wind": {"abs": 0.01}}, command="adiabat test")
    return path


def test_a_store_reads_as_the_file_does(source, store):
    with xr.open_dataset(source) as there, xr.open_zarr(store, chunks=None) as here:
        assert set(here.variables) == set(there.variables)
        assert set(here.coords) == set(there.coords)
        for name, bound in {"t": 0.1, "wind": 0.01}.items():
            x, x_hat = there[name].values.astype("f8"), here[name].values.astype("f8")
            np.testing.assert_array_equal(np.isnan(x_hat), np.isnan(x))
            assert np.nanmax(np.abs(x_hat - x)) <= bound
            assert here[name].dtype == np.float32
        for name in set(there.variables) - {"t", "wind"}:
            assert here[name].dtype == there[name].dtype
            np.testing.assert_array_equal(here[name].values, there[name].values)
            assert here[name].dims == there[name].dims


def test_attributes_are_kept_and_history_grows(source, store):
    with xr.open_dataset(source) as there, xr.open_zarr(store, chunks=None) as here:
        assert {**here["t"].attrs, "adiabat": ""} == {**there["t"].attrs, "adiabat": ""}
        assert here.attrs["title"] == "made for a test"
        newest, oldest = here.attrs["history"].splitlines()
        assert "adiabat test (adiabat 0." in newest
        assert oldest == "made"
        assert "pip install adiabat" in here.attrs["adiabat"]
        note = json.loads(here["t"].attrs["adiabat"])
        assert note["bound"] == {"abs": 0.1}
        assert note["codec"] == "adiabat.pyramid"


def test_the_packing_of_the_source_is_gone(store):
    with xr.open_zarr(store, chunks=None) as here:
        assert not {"scale_factor", "add_offset"} & (set(here["wind"].encoding) | set(here["wind"].attrs))
        assert here["wind"].encoding["dtype"] == np.float32
        # CF keeps the limits of packed data in packed units.
        np.testing.assert_allclose(here["wind"].attrs["valid_range"], [269.995, 270.009])


def test_verify_agrees(source, store):
    checks = {check.name: check for check in verify(source, store)}
    assert not [check.problem for check in checks.values() if check.problem]
    assert checks["t"].bound == {"abs": 0.1}
    assert 0 < checks["t"].errors.used <= 1
    assert checks["area"].bound == "lossless"


def test_inventory_counts_every_byte(store):
    rows = {row.name: row for row in take_inventory(store)}
    row = rows["t"]
    assert (row.codec, row.bound, row.streams.count, row.stored) == ("adiabat.pyramid", {"abs": 0.1}, 1, 1)
    files = sum(file.stat().st_size for file in (store / "t").rglob("*") if file.is_file())
    assert row.written_bytes == files
    beside = sum((store / "t" / name).stat().st_size for name in ("zarr.json", "blocks.jsonl"))
    assert sum(row.streams.sections.values()) == files - beside
    assert row.ratio == 4 * 5 * 12 * 20 / files
    assert rows["flag"].bound is None


def test_inventory_looks_into_shards_and_version_2(tmp_path):
    dataset = xr.Dataset({"v": (("t", "y", "x"), wave(4, 40, 64))})
    codec = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": 0.5}}}
    plain = {"serializer": codec, "compressors": None, "chunks": (1, 20, 32)}
    dataset.to_zarr(tmp_path / "plain.zarr", encoding={"v": plain}, consolidated=False)
    dataset.to_zarr(tmp_path / "shards.zarr", encoding={"v": {**plain, "shards": (2, 40, 64)}}, consolidated=False)
    old = {"compressors": {"id": "adiabat.pyramid", "bound": {"abs": 0.5}}, "chunks": (1, 20, 32)}
    dataset.to_zarr(tmp_path / "old.zarr", encoding={"v": old}, zarr_format=2)
    rows = [take_inventory(tmp_path / f"{name}.zarr")[0] for name in ("plain", "shards", "old")]
    assert [row.streams.count for row in rows] == [16, 16, 16]
    assert [row.stored for row in rows] == [16, 2, 16]
    assert rows[0].streams == rows[1].streams == rows[2].streams
    assert {str(row.bound) for row in rows} == {"{'abs': 0.5}"}


def test_default_bound_spares_profiles_scalars_and_coordinates(source):
    with open_source(source) as dataset:
        plan = {v.name: v for v in make_plan(dataset, bounds={"t": "lossless"}, default_bound={"rel": 0.01})}
    assert plan["t"].bound == "lossless"
    assert plan["wind"].bound == plan["area"].bound == {"rel": 0.01}
    assert plan["profile"].bound is None
    assert plan["flag"].bound is None
    assert not {"lat", "time_bnds", "height", "crs"} & {name for name in plan if plan[name].bound}


def test_unpacked_data_keep_the_bound_against_float64(source):
    with open_source(source) as dataset:
        plan = {v.name: v for v in make_plan(dataset, bounds={"wind": {"abs": 0.01}})}
        tight = {v.name: v for v in make_plan(dataset, bounds={"wind": {"abs": 1e-5}})}
    largest = 270 + 32768 * 0.001
    assert 0.01 - largest * 2.0**-23 < plan["wind"].codec_bound["abs"] < 0.01
    assert tight["wind"].dtype == np.float64  # float32 has no room there
    assert tight["wind"].codec_bound == {"abs": 1e-5}


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"x": "lossless"}, "there is no variable 'x'; bounds can be given for: .*t.*wind"),
        ({"lat": {"abs": 1.0}}, "lat is a coordinate"),
        ({"flag": {"abs": 1.0}}, "flag holds int8"),
    ],
)
def test_bounds_for_nothing_are_refused(source, tmp_path, bounds, message):
    with open_source(source) as dataset, pytest.raises(RequestError, match=message):
        compress(dataset, tmp_path / "out.zarr", bounds=bounds)
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.parametrize("text", ["0.1", "abs", "abs:", "abs:x", "abs:-1", "abs:0", "abs:nan", "max:1", "rel:1", ""])
def test_malformed_bounds_are_refused(text):
    with pytest.raises(RequestError, match="bound"):
        parse_bound(text)


def test_failure_leaves_nothing(source, tmp_path):
    seen = []

    def stop(name, values, written):
        seen.append(name)
        raise KeyboardInterrupt

    target = tmp_path / "sub" / "out.zarr"
    target.parent.mkdir()
    with open_source(source) as dataset, pytest.raises(KeyboardInterrupt):
        compress(dataset, target, progress=stop)
    assert seen
    assert list(target.parent.iterdir()) == []


def test_failure_keeps_what_was_to_be_replaced(source, store):
    def stop(name, values, written):
        raise KeyboardInterrupt

    with open_source(source) as dataset, pytest.raises(KeyboardInterrupt):
        compress(dataset, store, overwrite=True, progress=stop)
    assert not [check.problem for check in verify(source, store) if check.problem]
    assert sorted(path.name for path in store.parent.iterdir()) == ["out.zarr", "source.nc"]


def test_only_a_zarr_store_is_overwritten(source, tmp_path, store):
    precious = tmp_path / "folder"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    with open_source(source) as dataset:
        with pytest.raises(RequestError, match="exists already; --overwrite"):
            compress(dataset, store)
        with pytest.raises(RequestError, match="not a Zarr store"):
            compress(dataset, precious, overwrite=True)
        compress(dataset, store, default_bound={"abs": 0.5}, overwrite=True)
    assert (precious / "thesis.txt").read_text() == "years"
    with xr.open_zarr(store, chunks=None) as here:
        assert json.loads(here["t"].attrs["adiabat"])["bound"] == {"abs": 0.5}


def test_a_store_is_a_source_again(source, store, tmp_path):
    with open_source(store) as dataset:
        compress(dataset, tmp_path / "again.zarr", default_bound={"abs": 0.2})
    assert not [check.problem for check in verify(store, tmp_path / "again.zarr") if check.problem]


def test_a_list_of_bounds_holds_along_its_axis(source, tmp_path):
    sizes = [0.5, 0.1, 0.02, 0.1, 0.5]
    target = tmp_path / "list.zarr"
    with open_source(source) as dataset:
        bounds = {"t": {"abs": sizes}, "wind": {"abs": sizes, "axis": 0}}
        plan = compress(dataset, target, bounds=bounds)
        with pytest.raises(RequestError, match="t has a bound for each time, so time cannot be cut"):
            make_plan(dataset, bounds=bounds, chunks={"time": 2})
        with pytest.raises(RequestError, match="list of bounds does not fit: expected one axis of length 3"):
            make_plan(dataset, bounds={"t": {"abs": [1, 2, 3]}})
    assert {v.name: v.bound for v in plan if v.name in bounds} == {n: {"abs": sizes, "axis": 0} for n in bounds}
    checks = {check.name: check for check in verify(source, target)}
    assert not [check.problem for check in checks.values() if check.problem]
    assert 0.5 < checks["t"].errors.used <= 1
    assert format_bound(checks["t"].bound, checks["t"].dims) == "abs:0.02..0.5 along time"
    with open_source(source) as there, xr.open_zarr(target, chunks=None) as here:
        error = np.abs(here["t"].values.astype("f8") - there["t"].values)
        assert (np.nanmax(error, axis=(1, 2)) <= sizes).all()


def test_a_store_that_adiabat_did_not_write_is_held_to_its_codec(source, tmp_path):
    """Plain `to_zarr` leaves no attribute; the codec's own configuration says the bound, a list included."""
    with xr.open_dataset(source, decode_times=False) as dataset:
        codec = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": [0.5, 0.1, 0.02, 0.1, 0.5]}}}
        t = {"serializer": codec, "compressors": None, "chunks": (5, 12, 20)}
        dataset[["t"]].to_zarr(tmp_path / "plain.zarr", encoding={"t": t}, consolidated=False)
    checks = {check.name: check for check in verify(source, tmp_path / "plain.zarr")}
    assert checks["t"].bound == {"abs": [0.5, 0.1, 0.02, 0.1, 0.5], "axis": 0}
    assert checks["t"].problem is None
    array = zarr.open_array(tmp_path / "plain.zarr" / "t", mode="r+")
    array[2, 0, 0] += 0.3  # too much there, little enough elsewhere
    broken = {check.name: check for check in verify(source, tmp_path / "plain.zarr")}["t"]
    assert broken.errors.worst_index == (2, 0, 0)
    assert broken.problem


def test_tune_is_told_to_the_codec_and_seen_in_the_streams(tmp_path):
    target = tmp_path / "out.zarr"
    dataset = simulate_field((4, 91, 180))
    compress(dataset, target, default_bound={"abs": 0.1}, tune="rmse")
    row = take_inventory(target)[0]
    assert row.options == {"bound": {"abs": 0.1}, "tune": "rmse"}
    assert row.streams.tapered == row.streams.paths["neural"] == 1
    compress(dataset, target, default_bound={"abs": 0.1}, overwrite=True)
    assert take_inventory(target)[0].options == {"bound": {"abs": 0.1}}
    with pytest.raises(RequestError, match="'best' is not a way to tune: write --tune bytes or --tune rmse"):
        compress(dataset, target, tune="best", overwrite=True)


REAL = [
    ("era5/t850_2023-01-10T23.nc", {"temperature": {"abs": 0.1}}),
    ("era5_regional/wam_ERA5_2021-07-15_sp.nc", {"sp": {"abs": 1.0}}),
    ("era5_regional/era5-2mt-2019-03-uk.grib", {"t2m": {"abs": 0.1}}),
    ("model_output/NCEP_06_climo.nc", {"T": {"abs": 0.05}, "SHUM": {"rel": 0.01}}),
]


@pytest.mark.parametrize(("name", "bounds"), REAL)
def test_real_files(data, tmp_path, name, bounds):
    with open_source(data / name) as dataset:
        compress(dataset, tmp_path / "out.zarr", bounds=bounds)
    checks = {check.name: check for check in verify(data / name, tmp_path / "out.zarr")}
    assert {check.name: check.problem for check in checks.values() if check.problem} == {}
    for variable, bound in bounds.items():
        assert checks[variable].bound == bound
        assert checks[variable].errors.max_error > 0
