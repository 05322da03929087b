"""Times from one reference to another, against cftime and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.times import TimeAxis, time_axis

cftime = pytest.importorskip("cftime")


def axis(values, units, calendar="standard"):
    return TimeAxis("time", "time", np.asarray(values), units, calendar)


@pytest.mark.parametrize(
    ("source", "target", "calendar"),
    [
        ("minutes since 2020-03-29 00:30:00", "minutes since 1980-01-01", "standard"),
        ("hours since 1900-01-01 00:00:0.0", "seconds since 1970-01-01", "standard"),
        ("days since 1999-02-28", "hours since 2001-01-01 06:00", "noleap"),
        ("days since 1999-02-30", "days since 1998-12-30", "360_day"),
        ("ms since 2018-05-08 12:14:02.037000", "microseconds since 2018-05-08", "proleptic_gregorian"),
    ],
)
def test_whole_numbers_stay_whole_and_mean_the_same_instants(source, target, calendar):
    numbers = np.array([0, 1, 17, 400], np.int32)
    there = axis(numbers, source, calendar).converted(target)
    assert there.values.dtype == np.int64
    one, two = (cftime.num2date(v, u, calendar) for v, u in ((numbers, source), (there.values, target)))
    assert list(one) == list(two)


def test_what_would_be_rounded_is_refused():
    with pytest.raises(RequestError, match="no whole numbers in 'hours since 2000-01-01'"):
        axis([30], "minutes since 2000-01-01").converted("hours since 2000-01-01")
    with pytest.raises(RequestError, match="calendar noleap cannot be counted in calendar standard"):
        axis([30], "days since 2000-01-01", "noleap").converted("days since 1999-01-01", "standard")
    with pytest.raises(RequestError, match="days, hours, minutes or seconds since a date"):
        axis([3], "months since 2000-01-01").converted("days since 2000-01-01")
    with pytest.raises(RequestError, match="is no date"):
        axis([3.0], "days since 0000-00-00").converted("days since 2000-01-01")


def test_floats_are_the_nearest():
    there = axis([0.5, 1 / 24, np.nan], "days since 2000-01-02").converted("hours since 2000-01-01")
    np.testing.assert_allclose(there.values, [36, 25, np.nan], rtol=1e-15)


def test_the_same_reference_is_left_alone():
    one = axis([1, 2], "months since 2000-01-01")
    assert one.converted("months since 2000-01-01") is one
    assert axis([1], "days since 2000-01-01", "gregorian").converted("days since 2000-01-01", "standard").values == [1]


def dataset(**variables):
    return xr.Dataset({name: xr.Variable(dims, values, attrs) for name, (dims, values, attrs) in variables.items()})


SINCE = {"units": "hours since 2000-01-01"}


@pytest.mark.parametrize(
    ("variables", "name", "dim"),
    [
        ({"time": ("time", [1, 2], SINCE)}, "time", "time"),
        ({"valid_time": ("valid_time", [1], SINCE), "run": ("valid_time", [0], SINCE)}, "valid_time", "valid_time"),
        ({"t": ("t", [1, 2], SINCE), "y": ("y", [1, 2], {})}, "t", "t"),
        ({"XTIME": ("Time", [1, 2], SINCE), "u": ("Time", [1.0, 2.0], {})}, "XTIME", "Time"),
        ({"time": ((), 3, SINCE), "u": ("x", [1.0], {})}, "time", "time"),
        ({"time": ("time", [1, 2], {"units": "Month"})}, "time", "time"),
    ],
)  # fmt: skip
def test_the_axis_is_found(variables, name, dim):
    found = time_axis(dataset(**variables))
    assert (found.name, found.dim) == (name, dim)


def test_there_may_be_none():
    assert time_axis(dataset(u=("x", [1.0], {}), start=("x", [1], SINCE))) is None


def test_times_are_told_as_dates_where_they_can_be():
    assert axis([1], "hours since 2000-01-01").text(0) == "2000-01-01 01:00:00"
    assert axis([199001], "YYYYMM").text(0) == "199001 YYYYMM"
    assert axis([0, 24], "hours since 2000-01-01").span() == "2000-01-01 00:00:00 to 2000-01-02 00:00:00"
