"""MERRA-2: CF's names, means that say so, holes where 1e15 stands; days whose times have references of their own."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import find_source

OWN = {"standard_name": "2-meter_air_temperature", "units": "K", "valid_range": np.array([-1e15, 1e15], "f4")}


def write(path, day, *, collection="M2I1NXSLV", minute=0, name="T2M", fill=True):
    values = 280 + np.arange(24, dtype="f4")[:, None, None] + np.zeros((24, 3, 4), "f4")
    values[3, 1, 1] = 1e15
    times = np.arange(0, 24 * 60, 60, dtype="i4")
    units = f"minutes since 2020-03-{day:02} 00:{minute:02}:00"
    attrs = OWN | {"fmissing_value": np.float32(1e15)}
    dataset = xr.Dataset(
        {name: (("time", "lat", "lon"), values, attrs)},
        {
            "time": ("time", times, {"units": units, "begin_date": np.int32(20200300 + day)}),
            "lat": ("lat", [10.0, 10.5, 11.0], {"units": "degrees_north"}),
            "lon": ("lon", [0.0, 0.625, 1.25, 1.875], {"units": "degrees_east"}),
        },
        {"ShortName": collection, "Format": "NetCDF-4/HDF-5"},
    )
    encoding = {name: {"_FillValue": np.float32(1e15 if fill else np.nan)}}
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)
    return path


def test_days_follow_one_another_whatever_their_references(tmp_path):
    for day in (2, 1, 3):
        write(tmp_path / f"MERRA2_400.inst1_2d_slv_Nx.2020030{day}.nc4", day)
    source, notes = find_source(tmp_path)
    dataset = source.open()["/"]
    assert notes == []
    np.testing.assert_array_equal(dataset.time, np.arange(72) * 60)
    assert dataset.time.attrs["units"] == "minutes since 2020-03-01 00:00:00"
    assert source.times().text(-1) == "2020-03-03 23:00:00"
    np.testing.assert_array_equal(dataset.T2M[20:30, 0, 0].values, 280 + np.arange(20, 30) % 24)


@pytest.mark.parametrize("fill", [True, False])
def test_holes_are_holes_however_they_are_declared(tmp_path, fill):
    dataset = find_source(write(tmp_path / "a.nc4", 1, fill=fill))[0].open()["/"]
    assert np.isnan(dataset.T2M.values).sum() == 1
    assert np.isnan(dataset.T2M[3, 1, 1].values)
    assert dataset.T2M.dtype == np.float32


def test_names_are_cf_s_and_means_say_so(tmp_path):
    point = find_source(write(tmp_path / "a.nc4", 1))[0].open()["/"].T2M
    mean = find_source(write(tmp_path / "b.nc4", 1, collection="M2T1NXSLV", minute=30))[0].open()["/"].T2M
    assert point.attrs["standard_name"] == "air_temperature"
    assert point.attrs["long_name"] == "2-meter_air_temperature"
    assert "cell_methods" not in point.attrs
    assert mean.attrs["cell_methods"] == "time: mean"
    other = find_source(write(tmp_path / "c.nc4", 1, name="BSTAR"))[0].open()["/"].BSTAR
    assert "standard_name" not in other.attrs


def test_instantaneous_values_and_means_are_told_apart(tmp_path):
    write(tmp_path / "inst.nc4", 1)
    write(tmp_path / "tavg.nc4", 1, collection="M2T1NXFLX", minute=30, name="HFLUX")
    with pytest.raises(RequestError, match=r"inst.nc4 and .*tavg.nc4 hold different variables at different times"):
        find_source(tmp_path)


def test_real_files(data):
    folder = data / "merra2"
    source, _ = find_source(f"{folder}/*tavg1*.nc4")
    dataset = source.open()["/"]
    assert len(dataset.data_vars) == 46 + 36
    assert dataset.PRECTOT.attrs["standard_name"] == "precipitation_flux"
    assert {dataset[name].attrs.get("cell_methods") for name in dataset.data_vars} == {"time: mean"}
    constants = find_source(folder / "MERRA2.const_2d_asm_Nx.00000000.nc4")[0].open()["/"]
    assert constants.PHIS.attrs["standard_name"] == "surface_geopotential"
    assert constants.sizes["time"] == 1
    assert np.isfinite(constants.PHIS.values).all()
