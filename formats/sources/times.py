"""Times as numbers "since" a reference, compared and brought from one reference to another without rounding.

Stage: below series, which puts files one after another; beside the append of a source that grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError

__all__ = ["TimeAxis", "time_axis"]

NAMES = ("time", "valid_time")
_UNITS = {
    "microsecond": 1,
    "millisecond": 1_000,
    "second": 1_000_000,
    "minute": 60_000_000,
    "hour": 3_600_000_000,
    "day": 86_400_000_000,
}  # in microseconds
_SHORT = {"us": "microsecond", "ms": "millisecond", "msec": "millisecond", "s": "second", "sec": "second"}
_SHORT |= {"min": "minute", "h": "hour", "hr": "hour", "d": "day"}
_SAME_CALENDAR = {"gregorian": "standard", "365_day": "noleap", "366_day": "all_leap"}
_TOLERANCE = 1  # microseconds, of times that are floats


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The times of a dataset, as they lie in its file.

    Attributes
    ----------
    name : str
        Of the coordinate.
    dim : str
        Of the dimension, mostly the same; where there is one time and no dimension, the name of the one to make.
    values : NDArray
        (times,) Numbers in `units`; never decoded.
    units : str
        ``hours since 1900-01-01``; empty where the file has none.
    calendar : str

    Examples
    --------
    >>> axis = TimeAxis("time", "time", np.array([0, 6]), "hours since 2020-03-01", "standard")
    >>> axis.converted("minutes since 2020-02-29").values.tolist()
    [1440, 1800]
    >>> axis.text(1)
    '2020-03-01 06:00:00'
    """

    name: str
    dim: str
    values: NDArray[Any]
    units: str
    calendar: str = "standard"

    def converted(self, units: str, calendar: str | None = None) -> TimeAxis:
        """The same instants counted in other units, from another reference.

        Integers stay integers. Floats are the nearest, at most a microsecond off.

        Raises
        ------
        RequestError
            If the calendars differ, or the numbers would have to be rounded.
        """
        calendar = self.calendar if calendar is None else calendar
        if self.units == units and _known(self.calendar) == _known(calendar):
            return self
        if _known(self.calendar) != _known(calendar):
            raise RequestError(f"times of calendar {self.calendar} cannot be counted in calendar {calendar}")
        factor, divisor = _unit(self.units), _unit(units)
        shift = _reference(self.units, calendar) - _reference(units, calendar)
        values = _exact(self.values, factor, shift, divisor)
        if values is None:
            raise RequestError(f"times in {self.units!r} are no whole numbers in {units!r}")
        return TimeAxis(self.name, self.dim, values, units, calendar)

    def text(self, index: int) -> str:
        """One time for people; the number and its units where it cannot be decoded.

        Parameters
        ----------
        index : int
        """
        value = self.values[index]
        try:
            decoded = xr.coding.times.decode_cf_datetime(np.asarray([value]), self.units, self.calendar)[0]
        except (ValueError, OverflowError, KeyError, ImportError):
            return f"{value} {self.units}".strip()
        return str(decoded).replace("T", " ").split(".")[0]

    def span(self) -> str:
        """First and last time, for people."""
        return self.text(0) if self.values.size == 1 else f"{self.text(0)} to {self.text(-1)}"


def time_axis(dataset: xr.Dataset) -> TimeAxis | None:
    """Find the times of a dataset with undecoded times; None if it has none, or no single axis of them.

    Along a dimension named time or valid_time, or whose coordinate counts "since"; else a single time without a
    dimension.
    """
    counted = [name for name in dataset.variables if _since(dataset.variables[name])]
    dims = [str(dim) for dim in dataset.dims if dim in dataset.variables and (dim in NAMES or dim in counted)]
    dims.sort(key=lambda dim: NAMES.index(dim) if dim in NAMES else len(NAMES))
    if dims:
        return _axis(dataset, dims[0], dims[0])
    along = [str(name) for name in counted if dataset[name].ndim == 1 and str(dataset[name].dims[0]).lower() in NAMES]
    if along:
        return _axis(dataset, along[0], str(dataset[along[0]].dims[0]))
    scalars = [name for name in NAMES if name in counted and dataset[name].ndim == 0 and name not in dataset.dims]
    return _axis(dataset, scalars[0], scalars[0]) if scalars else None


def _axis(dataset: xr.Dataset, name: str, dim: str) -> TimeAxis:
    variable = dataset.variables[name]
    values = np.atleast_1d(np.asarray(variable.values))
    attrs = {**variable.encoding, **variable.attrs}
    return TimeAxis(name, dim, values, str(attrs.get("units", "")), str(attrs.get("calendar", "standard")))


def _since(variable: xr.Variable) -> bool:
    return " since " in str(variable.attrs.get("units", "")).lower() and variable.dtype.kind in "fiu"


def _known(calendar: str) -> str:
    name = calendar.lower()
    return _SAME_CALENDAR.get(name, name)


def _unit(units: str) -> int:
    """Microseconds of one."""
    word = units.lower().split(" since ")[0].strip()
    word = _SHORT.get(word, _SHORT.get(word.rstrip("s"), word.rstrip("s")))
    if " since " not in units.lower() or word not in _UNITS:
        raise RequestError(f"expected times in days, hours, minutes or seconds since a date, got {units!r}")
    return _UNITS[word]


def _reference(units: str, calendar: str) -> int:
    """Microseconds from 1970-01-01 to the date after "since"."""
    try:
        cftime = import_module("cftime")
    except ImportError as error:
        raise RequestError(f"times of several references need the package cftime, for {units!r}: pip install "
                           "'adiabat[io]'") from error  # fmt: skip
    try:
        date = cftime.num2date(0, units, calendar, only_use_cftime_datetimes=True)
        return int(cftime.date2num(date, "microseconds since 1970-01-01", calendar))
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the reference of {units!r} ({calendar}) is no date: {error}") from error


def _exact(values: NDArray[Any], factor: int, shift: int, divisor: int) -> NDArray[Any] | None:
    """``(values * factor + shift) / divisor``; None if that is not what it should be."""
    if values.dtype.kind in "iu":
        whole = [divmod(int(value) * factor + shift, divisor) for value in values.tolist()]
        return None if any(rest for _, rest in whole) else np.asarray([number for number, _ in whole], np.int64)
    instants = values.astype(np.longdouble) * factor + shift
    out = np.asarray(instants / divisor, np.float64)
    close = ~np.isfinite(instants) | (np.abs(out.astype(np.longdouble) * divisor - instants) <= _TOLERANCE)
    return out if bool(close.all()) else None
