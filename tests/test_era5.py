"""ERA5 in the layouts it is published in, simulated with xarray; its real files are in test_sources_data."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats import compress, make_plan
from adiabat.formats.sources import find_source
from adiabat.formats.sources.era5 import tidy
from adiabat.formats.verify import verify

LAT, LON = np.linspace(10, 0, 5, dtype="f4"), np.linspace(0, 359, 6, dtype="f4")
PLACES = {
    "latitude": ("latitude", LAT, {"units": "degrees_north"}),
    "longitude": ("longitude", LON, {"units": "degrees_east"}),
}
PACKED = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32767, "missing_value": -32767}


def fields(times, seed=0):
    return 280 + np.random.default_rng(seed).standard_normal((times, 5, 6)).cumsum(0)


def old_style(folder, *, versions=True):
    """NetCDF-3 of int16; of the last two of four times, ERA5T has the values."""
    values = np.full((4, 2, 5, 6), np.nan)
    values[:2, 0] = fields(4)[:2]
    values[2:, 1] = fields(4)[2:]
    time = {"time": ("time", np.arange(4, dtype="i4") + 1051896, {"units": "hours since 1900-01-01 00:00:00.0"})}
    dims = ("time", "expver", "latitude", "longitude")
    dataset = xr.Dataset({"t2m": (dims, values, {"units": "K", "long_name": "2 metre temperature"})}, time | PLACES)
    dataset = dataset.assign_coords(expver=("expver", np.array([1, 5], "i4")))
    dataset = dataset if versions else dataset.isel(expver=0, time=slice(2), drop=True)
    path = folder / ("old.nc" if versions else "before.nc")
    dataset.to_netcdf(path, engine="netcdf4", format="NETCDF3_64BIT", encoding={"t2m": PACKED})
    return path


def new_style(folder, number, name="t", level=True):
    """NetCDF-4 of float32, with expver in strings."""
    times = 24 * 3600 * number + 6 * 3600 * np.arange(4) + 1_700_000_000 // 86400 * 86400
    coordinates = {
        "valid_time": ("valid_time", times, {"units": "seconds since 1970-01-01", "standard_name": "time"}),
        "number": ((), 0, {"units": "1"}),
        "expver": ("valid_time", np.array(["0001", "0001", "0005", "0005"])),
    } | PLACES
    values = fields(4, number).astype("f4")
    dims = ("valid_time", "latitude", "longitude")
    if level:
        values, dims = np.stack([values, values + 10, values + 20], 1), ("valid_time", "pressure_level", *dims[1:])
        coordinates["pressure_level"] = ("pressure_level", np.array([1000.0, 850.0, 500.0]), {"units": "hPa"})
    attrs = {"units": "K", "standard_name": "unknown", "GRIB_shortName": name}
    dataset = xr.Dataset({name: (dims, values, attrs)}, coordinates, {"institution": "ECMWF"})
    path = folder / f"{name}{number}.nc"
    dataset.to_netcdf(path, engine="netcdf4")
    return path


def test_versions_become_one_and_that_is_said(tmp_path):
    source, notes = find_source(old_style(tmp_path))
    assert notes == ["expver 1, 5 become one: where ERA5 has no value, ERA5T's is kept"]
    dataset = source.open()["/"]
    assert dataset.t2m.dims == ("time", "latitude", "longitude")
    assert "expver" not in dataset.dims
    np.testing.assert_allclose(dataset.t2m, fields(4), atol=0.0051)
    np.testing.assert_array_equal(dataset.t2m[1:3, 2].values, dataset.t2m.values[1:3, 2])
    assert dataset.t2m.attrs["standard_name"] == "air_temperature"
    assert dataset.t2m.encoding["scale_factor"] == 0.01
    compress(dataset, tmp_path / "out.zarr", default_bound={"abs": 0.05})
    assert not [check for check in verify(source, tmp_path / "out.zarr") if check.problem]


def test_files_with_and_without_versions_follow_one_another(tmp_path):
    old_style(tmp_path)
    before = xr.open_dataset(old_style(tmp_path, versions=False), decode_times=False, mask_and_scale=False).load()
    earlier = before.assign_coords(time=("time", before.time.values - 2, before.time.attrs))
    earlier.to_netcdf(tmp_path / "before.nc", engine="netcdf4", format="NETCDF3_64BIT")
    source, notes = find_source(tmp_path)
    assert len(notes) == 1
    dataset = source.open()["/"]
    assert dataset.sizes["time"] == 6
    assert np.isfinite(dataset.t2m.values).all()


def test_new_style_keeps_its_strings_and_goes_through_the_archive(tmp_path):
    for number in (1, 0):
        new_style(tmp_path, number)
    source, notes = find_source(tmp_path)
    assert notes == []
    dataset = source.open()["/"]
    assert dataset.t.dims == ("valid_time", "pressure_level", "latitude", "longitude")
    assert dataset.expver.values.tolist() == ["0001", "0001", "0005", "0005"] * 2
    assert dataset.t.attrs["standard_name"] == "air_temperature"
    assert dataset.pressure_level.attrs["standard_name"] == "air_pressure"
    compress(dataset, tmp_path / "out.zarr", default_bound={"abs": 0.05})
    checks = {check.name: check for check in verify(source, tmp_path / "out.zarr")}
    assert {"t", "expver", "number", "pressure_level", "valid_time"} <= set(checks)
    assert not [check for check in checks.values() if check.problem]
    stored = xr.open_zarr(tmp_path / "out.zarr")
    assert stored.valid_time.dtype.kind == "M"
    assert stored.expver.values.tolist() == dataset.expver.values.tolist()


def test_instantaneous_and_accumulated_files_lie_beside_one_another(tmp_path):
    new_style(tmp_path, 0, "t2m", level=False)
    new_style(tmp_path, 0, "ssrd", level=False)
    dataset = find_source(tmp_path)[0].open()["/"]
    assert set(dataset.data_vars) == {"t2m", "ssrd"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arco_gets_the_names_a_policy_knows(tmp_path, zarr_format):
    levels = np.array([1, 500, 850, 1000], "i8")
    dims = ("time", "level", "latitude", "longitude")
    values = np.zeros((2, 4, 5, 6), "f4")
    dataset = xr.Dataset(
        {
            "temperature": (dims, values, {"units": "K", "short_name": "t"}),
            "u_component_of_wind": (dims, values, {"units": "m s**-1", "standard_name": "eastward_wind"}),
            "2m_temperature": (("time", "latitude", "longitude"), values[:, 0], {"short_name": "t2m"}),
            "total_precipitation": (("time", "latitude", "longitude"), values[:, 0], {"units": "mm"}),
        },
        {
            "time": ("time", np.arange(2) * 3600, {"units": "seconds since 1940-01-01"}),
            "level": ("level", levels), "latitude": ("latitude", LAT), "longitude": ("longitude", LON),
        },
    )  # fmt: skip
    dataset.to_zarr(tmp_path / "arco.zarr", zarr_format=zarr_format, consolidated=False)
    opened = find_source(tmp_path / "arco.zarr")[0].open()["/"]
    assert opened["temperature"].attrs["standard_name"] == "air_temperature"
    assert opened["2m_temperature"].attrs == {"short_name": "t2m", "standard_name": "air_temperature", "units": "K"}
    assert "standard_name" not in opened["total_precipitation"].attrs  # its units are not ERA5's
    assert opened["level"].attrs == {"standard_name": "air_pressure", "units": "hPa", "positive": "down", "axis": "Z"}
    assert opened["latitude"].attrs["units"] == "degrees_north"
    assert set(opened.coords) == {"time", "level", "latitude", "longitude"}
    assert {plan.name for plan in make_plan(opened, bounds={})} == set(map(str, dataset.data_vars))


def test_model_levels_are_no_pressures():
    levels = {"level": ("level", np.array([1, 2, 137]))}
    dataset = xr.Dataset({"t": (("level", "x"), np.zeros((3, 2)))}, levels, {"institution": "ECMWF"})
    assert "units" not in tidy(dataset).level.attrs
    assert tidy(dataset).t.attrs["units"] == "K"
    assert "units" not in dataset.t.attrs


def test_other_products_are_left_alone():
    dataset = xr.Dataset({"t": (("y", "x"), np.zeros((2, 2)))})
    assert tidy(dataset) is dataset
