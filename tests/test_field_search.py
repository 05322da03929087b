"""Finding fields: spellings of units, times of every kind, levels of pressure and of other kinds."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.field_search import (
    RAIN_RATE,
    SEA_LEVEL_PRESSURE,
    days_of,
    horizontal,
    member_axis,
    northward_of,
    pressure_axis,
    time_axis,
    unit_of,
)


@pytest.mark.parametrize(
    ("spellings", "power"),
    [
        (("m s-1", "m/s", "m s**-1", "m s^-1", "meters/second", "m.s-1", "m * s-1"), "m s-1"),
        (("m2 s-2", "m**2 s**-2", "m^2/s^2", "m2/s2"), "m2 s-2"),
        (("kg m-2 s-1", "kg/m2/s", "kg m**-2 s**-1"), "kg m-2 s-1"),
        (("mm/day", "mm d-1", "mm day-1"), "d-1 mm"),
        (("hPa", "millibar", "mb", "mbar"), "hPa"),
        (("1", "", "None-sense 3 4"), None),
    ],
)
def test_units_however_spelt(spellings, power):
    for spelt in spellings:
        assert power is None or unit_of(spelt) == power
    assert unit_of("Pa") != unit_of("hPa")
    assert unit_of("s m-1") != unit_of("m s-1")
    assert unit_of("") == unit_of("1") == ""


def test_quantities_by_standard_name_or_name_and_always_by_unit():
    def array(units, **attrs):
        return xr.DataArray(np.zeros(3), dims="x", attrs={"units": units, **attrs})

    dataset = xr.Dataset(
        {
            "a": array("hPa", standard_name="air_pressure_at_sea_level"),
            "PSL": array("Pa"),
            "psl": array("K"),
            "pressure": array("Pa"),
            "pr": array("kg m-2 s-1"),
            "tp": array("m"),
            "msl": array("Pa").astype("U2"),
        }
    )
    assert SEA_LEVEL_PRESSURE.find(dataset) == {"a": 1.0, "PSL": 0.01}
    assert RAIN_RATE.find(dataset) == {"pr": 86400.0}


def test_the_northward_wind_of_an_eastward_one():
    one = xr.DataArray(np.zeros(3), dims="x", attrs={"units": "m s-1"})
    assert northward_of(xr.Dataset({"U10M": one, "V10M": one}), "U10M") == "V10M"
    assert northward_of(xr.Dataset({"eastward": one, "northward": one}), "eastward") == "northward"
    said = one.assign_attrs(standard_name="northward_wind")
    assert northward_of(xr.Dataset({"ua": one, "w": said}), "ua") == "w"
    assert northward_of(xr.Dataset({"ua": one, "w": said, "y": said}), "ua") is None
    assert northward_of(xr.Dataset({"u": one, "v": one.rename(x="y")}), "u") is None


def test_days_of_numpy_cftime_and_numbers():
    hours = np.datetime64("1999-12-31T06:00", "ns") + np.arange(3) * np.timedelta64(12, "h")
    assert days_of(xr.DataArray(hours)).tolist() == [0.25, 0.75, 1.25]
    noleap = xr.date_range("2000-02-28T12:00", periods=3, freq="D", calendar="noleap", use_cftime=True)
    assert days_of(xr.DataArray(noleap)).tolist() == [0.5, 1.5, 2.5]
    for units, values, expected in (
        ("days since 0000-00-00 00:00:00", [10, 11], [10, 11]),
        ("hours since 1970-01-01T06:30:00Z", [0, 24], [6.5 / 24, 1 + 6.5 / 24]),
        ("minutes since 2020-03-29 00:30:00", [0, 60], [0.5 / 24, 1.5 / 24]),
    ):
        assert np.allclose(days_of(xr.DataArray(values, attrs={"units": units})), expected)
    for odd in ([np.datetime64("NaT"), hours[0]], ["a", "b"], [1.0, 2.0]):
        assert days_of(xr.DataArray(odd)) is None
    assert days_of(xr.DataArray([1.0, np.nan], attrs={"units": "days since 2000-01-01"})) is None
    assert days_of(xr.DataArray([1.0, 2.0], attrs={"units": "months since 2000-01-01"})) is None


def test_axes():
    time = xr.DataArray(np.zeros((3, 4)), {"time": [1.0, 2.0, 2.0]}, ("time", "number"))
    time.time.attrs["units"] = "days since 2000-01-01"
    assert time_axis(time) is None
    assert time_axis(time.isel(time=[0, 1]))[0] == "time"
    assert member_axis(time) == "number"
    assert member_axis(time.isel(number=[0])) is None
    assert (
        member_axis(time.rename(number="e").assign_coords(e=("e", range(4), {"standard_name": "realization"}))) == "e"
    )
    assert horizontal(time) is None
    both = xr.DataArray(np.zeros((3, 3)), {"x": [0.0, 1, 2], "y": [5.0, 6, 7]}, ("x", "y"))
    both.x.attrs["units"], both.y.attrs["units"] = "degrees_east", "degrees_north"
    assert horizontal(both).dims == ("y", "x")
    swath = xr.DataArray(np.zeros(3), {"lat": ("pixel", [1.0, 2, 3]), "lon": ("pixel", [1.0, 2, 3])}, ("pixel",))
    assert horizontal(swath) is None


@pytest.mark.parametrize(
    ("name", "values", "attrs", "expected"),
    [
        ("level", [100, 500, 850], {}, [100, 500, 850]),
        ("level", [20, 80, 137], {}, None),
        ("lev", [1000.0, 10.0], {"units": "millibars"}, [1000, 10]),
        ("plev", [1e5, 5e4], {"units": "Pa", "standard_name": "air_pressure"}, [1000, 500]),
        ("p", [1e5, 5e4], {"units": "Pa", "standard_name": "air_pressure"}, [1000, 500]),
        ("lev", [3.6, 992.0], {"units": "hPa", "standard_name": "atmosphere_hybrid_sigma_pressure_coordinate"}, None),
        ("lev", [4.8, 992.0], {"units": "hybrid_sigma_pressure"}, None),
        ("height", [2.0, 10.0], {"units": "m"}, None),
    ],
)
def test_levels_of_pressure(name, values, attrs, expected):
    array = xr.DataArray(np.zeros(len(values)), {name: (name, values, attrs)}, (name,))
    found = pressure_axis(array)
    assert (None if found is None else found[1].tolist()) == expected
    if expected:
        assert found[0] == name
        assert pressure_axis(array.isel({name: 1}))[0] is None
