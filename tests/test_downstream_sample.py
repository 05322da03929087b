"""What is read for checks of derived quantities: which fields, which days, which years, and in what order of axes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.downstream_sample import Sides


@pytest.fixture
def cube():
    """Values that tell their place: 1000 level + 100 time + 10 latitude + longitude, axes in an odd order."""
    place = np.ix_(np.arange(3), range(5), range(4), range(6))  # lon, time, lat, level
    values = 1000.0 * place[3] + 100 * place[1] + 10 * place[2] + place[0]
    coords = {
        "lon": [0.0, 1.0, 2.0], "lat": [10.0, 20.0, 30.0, 40.0],
        "plev": ("plev", [1000.0, 850, 700, 500, 300, 100], {"units": "hPa"}),
    }  # fmt: skip
    array = xr.DataArray(values, coords, ("lon", "time", "lat", "plev"), attrs={"units": "K"})
    return xr.Dataset({"t": array})


def test_fields_are_spread_evenly_and_turned(cube):
    found = Sides(cube, cube + 0.5, 2**20).fields(("t",))
    assert found.sides[0].shape == (1, 8, 4, 3)
    assert (found.sides[1] - found.sides[0] == 0.5).all()
    first, last = found.sides[0][0, 0], found.sides[0][0, -1]
    assert first.tolist() == (10 * np.arange(4)[:, None] + np.arange(3)).tolist()
    assert last[0, 0] == 5400
    assert found.latitude.tolist() == [10, 20, 30, 40]
    assert Sides(cube, cube, 1).fields(("t",)).sides[0].shape == (1, 1, 4, 3)
    at_850 = Sides(cube, cube, 2**20).fields(("t",), level=840).sides[0]
    assert at_850[0, :, 0, 0].tolist() == [1000, 1100, 1200, 1300, 1400]


def test_what_does_not_fit_is_none(cube):
    assert Sides(cube, cube.isel(time=slice(2)), 9).fields(("t",)) is None
    assert Sides(cube, cube.transpose(), 9).fields(("t",)) is None
    assert Sides(cube, xr.Dataset(), 9).days("t") is None
    assert Sides(cube, cube, 9).days("t") is None
    assert Sides(cube, cube, 9).series("t") is None
    assert Sides(cube, cube, 9).series("t", members=True) is None


def test_days_are_whole_and_as_many_as_may_be_read():
    time = np.datetime64("2001-01-01T12", "ns") + np.arange(28) * np.timedelta64(3, "h")
    values = np.arange(28.0)[:, None] * np.ones(3)
    source = xr.Dataset({"tp": xr.DataArray(values.T, {"time": time}, ("x", "time"), attrs={"units": "mm"})})
    days = Sides(source, source, 2**20).days("tp")
    assert days.sides[0].shape == (3, 8, 3)
    assert days.sides[0][0, 0, 0] == 4  # the first midnight
    assert days.units == "mm"
    assert Sides(source, source, 48).days("tp").sides[0].shape == (2, 8, 3)
    assert Sides(source, source, 1).days("tp").sides[0].shape == (1, 8, 3)


def test_a_block_of_a_long_series():
    years = xr.date_range("1900-07-01", periods=50, freq="YS-JUL")
    values = np.arange(50.0)[:, None] + 1000 * np.arange(40)
    source = xr.Dataset({"t": xr.DataArray(values, {"time": years}, ("time", "cell"))})
    whole, part = (Sides(source, source, most).series("t") for most in (2**20, 500))
    assert whole.sides[0].shape == (50, 40)
    assert part.sides[0].shape == (50, 10)
    assert part.sides[0][0, 0] == 15000  # from the middle
    assert np.allclose(np.diff(whole.years), 1, atol=0.01)
