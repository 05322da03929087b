"""Find fields in a dataset by what they are: CF standard name, or units and a usual name, and where their axes lie.

Stage: evaluation, before `downstream`. Units are compared as products of powers: m s-1, m/s and m s**-1 are one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.grid import LATITUDE, LONGITUDE, kind_of

__all__ = [
    "EASTWARD_WIND", "GEOPOTENTIAL", "Horizontal", "Quantity", "RAIN_RATE", "RAIN_SUM", "SEA_LEVEL_PRESSURE", "days_of",
    "horizontal", "member_axis", "northward_of", "pressure_axis", "time_axis", "unit_of",
]  # fmt: skip

DAY: Final = 86400  # seconds
PER: Final = {"s": 1, "min": 60, "h": 3600, "d": DAY}
MEMBERS: Final = ("realization", "member", "members", "member_id", "number", "ensemble", "ens", "ensemble_member")
LEVELS: Final = ("level", "lev", "plev", "pressure_level", "isobaricinhpa", "pressure")
_ALIASES = {
    **dict.fromkeys(("meter", "meters", "metre", "metres", "gpm"), "m"),
    **dict.fromkeys(("millibar", "millibars", "mbar", "mb"), "hPa"),
    **dict.fromkeys(("pascal", "pascals"), "Pa"),
    **dict.fromkeys(("sec", "second", "seconds"), "s"),
    **dict.fromkeys(("minute", "minutes"), "min"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    "kilogram": "kg",
}


def unit_of(text: object) -> str:
    """Write a unit as sorted powers, whichever way it was spelt.

    Examples
    --------
    >>> unit_of("m**2 s**-2"), unit_of("kg/m^2/s"), unit_of("mm/day"), unit_of("millibars")
    ('m2 s-2', 'kg m-2 s-1', 'd-1 mm', 'hPa')
    """
    powers: dict[str, int] = {}
    spelt = re.sub(r"\*\*|\^", "", str(text))
    for slash, name, power in re.findall(r"(/?)\s*([A-Za-z%]+)\s?((?<=[A-Za-z%])[-+]?\d+)?", spelt):
        name = _ALIASES.get(name.lower(), name)
        powers[name] = powers.get(name, 0) + int(power or 1) * (-1 if slash else 1)
    return " ".join(f"{name}{'' if power == 1 else power}" for name, power in sorted(powers.items()) if power)


@dataclass(frozen=True)
class Quantity:
    """A physical quantity and how files call it.

    Attributes
    ----------
    standard_names, names : tuple of str
        Of CF; of variables, in lower case.
    units : mapping of str to float
        Each unit it may have, as of `unit_of`, and how many of the first one of it makes.
    """

    standard_names: tuple[str, ...]
    names: tuple[str, ...]
    units: Mapping[str, float]

    @property
    def unit(self) -> str:
        """The unit that all others are turned into."""
        return next(iter(self.units))

    def factor(self, array: xr.DataArray) -> float | None:
        """How many of the first unit one of the array's makes; None where it is another quantity.

        Examples
        --------
        >>> pressure = Quantity(("air_pressure_at_mean_sea_level",), ("psl", "msl"), {"Pa": 1.0, "hPa": 100.0})
        >>> pressure.factor(xr.DataArray([1013.0], name="PSL", attrs={"units": "millibars"}))
        100.0
        """
        if array.dtype.kind not in "fiu":
            return None
        named = str(array.attrs.get("standard_name", "")).lower() in self.standard_names
        if not named and str(array.name).lower() not in self.names:
            return None
        return self.units.get(unit_of(array.attrs.get("units", "")))

    def find(self, dataset: xr.Dataset) -> dict[str, float]:
        """Names of the variables that are of it, each with its `factor`."""
        found = {str(name): self.factor(array) for name, array in dataset.data_vars.items()}
        return {name: factor for name, factor in found.items() if factor is not None}


EASTWARD_WIND: Final = Quantity(
    ("eastward_wind", "x_wind"),
    ("u", "ua", "uas", "u10", "10u", "u100", "100u", "u_component_of_wind", "10m_u_component_of_wind",
     "100m_u_component_of_wind", "u10m", "u2m", "u50m", "ulml", "u200", "u250", "u500", "u850"),
    {"m s-1": 1.0},
)  # fmt: skip
GEOPOTENTIAL: Final = Quantity(
    ("geopotential", "geopotential_height"),
    ("z", "zg", "gh", "hgt", "z3", "h", "geopotential", "geopotential_height"),
    {"m2 s-2": 1.0, "m": 9.80665},
)
SEA_LEVEL_PRESSURE: Final = Quantity(
    ("air_pressure_at_mean_sea_level", "air_pressure_at_sea_level"),
    ("msl", "psl", "slp", "prmsl", "mslp", "mean_sea_level_pressure"),
    {"hPa": 1.0, "Pa": 0.01},
)
RAIN_RATE: Final = Quantity(
    ("precipitation_flux", "lwe_precipitation_rate", "rainfall_flux"),
    ("pr", "tp", "prate", "prectot", "prectotcorr", "precip", "precipitation", "total_precipitation", "mtpr",
     "avg_tprate"),
    {"d-1 mm": 1.0, "kg m-2 s-1": 86400.0, "mm s-1": 86400.0, "d-1 kg m-2": 1.0, "h-1 mm": 24.0, "m s-1": 8.64e7,
     "d-1 m": 1e3},
)  # fmt: skip
RAIN_SUM: Final = Quantity(
    ("precipitation_amount", "lwe_thickness_of_precipitation_amount", "rainfall_amount"),
    RAIN_RATE.names,
    {"mm": 1.0, "m": 1e3, "kg m-2": 1.0},
)


def northward_of(dataset: xr.Dataset, name: str) -> str | None:
    """The northward wind that belongs to an eastward one: of its name with v for u, or the only one on its axes."""
    swaps = (("u", "v"), ("U", "V"), ("east", "north"), ("x_", "y_"))
    others = [name.replace(old, new, 1) for old, new in swaps if old in name]
    known = ("northward_wind", "y_wind")
    said = [str(each) for each, array in dataset.data_vars.items() if array.attrs.get("standard_name") in known]
    alike = [
        other
        for other in (*others, *said)
        if other in dataset.data_vars
        and dataset[other].dims == dataset[name].dims
        and unit_of(dataset[other].attrs.get("units", "")) == EASTWARD_WIND.unit
    ]
    return next((other for other in alike if other in others), alike[0] if len(alike) == 1 else None)


@dataclass(frozen=True)
class Horizontal:
    """Where a field has its latitudes and longitudes: `horizontal` finds it.

    Attributes
    ----------
    dims : (str, str)
        Of latitude, of longitude.
    latitude, longitude : NDArray[np.float64], degrees
    """

    dims: tuple[str, str]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]


def horizontal(array: xr.DataArray) -> Horizontal | None:
    """Find latitude and longitude, each one axis of at least three different points; None where they are not."""
    axes: dict[str, tuple[str, NDArray[np.float64]]] = {}
    for name, coordinate in array.coords.items():
        kind = kind_of(str(name), coordinate)
        if kind is not None and coordinate.ndim == 1 and coordinate.size >= 3 and coordinate.dtype.kind in "fiu":
            degrees = np.asarray(coordinate.values, np.float64)
            if np.isfinite(degrees).all() and (np.diff(degrees) != 0).all():
                axes.setdefault(kind, (str(coordinate.dims[0]), degrees))
    if len(axes) < 2 or axes[LATITUDE][0] == axes[LONGITUDE][0]:
        return None
    (y, latitude), (x, longitude) = axes[LATITUDE], axes[LONGITUDE]
    return Horizontal((y, x), latitude, longitude)


def pressure_axis(array: xr.DataArray) -> tuple[str | None, NDArray[np.float64]] | None:
    """Dimension of a field's levels, if it has several, and their pressures (hPa); None where it has none of these."""
    for name, coordinate in array.coords.items():
        said = " ".join(str(coordinate.attrs.get(key, "")) for key in ("standard_name", "long_name", "units")).lower()
        units = unit_of(coordinate.attrs.get("units", ""))
        usual = str(name).lower() in LEVELS and units in ("hPa", "Pa", "")
        if coordinate.ndim > 1 or coordinate.dtype.kind not in "fiu" or re.search("hybrid|sigma|model", said):
            continue
        if usual or (units in ("hPa", "Pa") and coordinate.attrs.get("standard_name") == "air_pressure"):
            values = np.atleast_1d(np.asarray(coordinate.values, np.float64))
            # Levels of a model are counted 1, 2, 3; those of pressure are not.
            if not units and (values.max(initial=0) < 200 or (values.size > 1 and (np.diff(values) == 1).all())):
                continue
            return (str(coordinate.dims[0]) if coordinate.ndim else None), values / (100 if units == "Pa" else 1)
    return None


def member_axis(array: xr.DataArray) -> str | None:
    """The dimension along which the members of an ensemble lie; None where there are not two or more."""
    for dim in map(str, array.dims):
        said = array[dim].attrs.get("standard_name") if dim in array.coords else None
        if array.sizes[dim] >= 2 and (dim.lower() in MEMBERS or said == "realization"):
            return dim
    return None


def time_axis(array: xr.DataArray) -> tuple[str, NDArray[np.float64]] | None:
    """The dimension of time and its days since a midnight; None where its points do not rise or are not known."""
    for name, coordinate in array.coords.items():
        if coordinate.ndim == 1 and coordinate.dims[0] == name and coordinate.size >= 2:
            days = days_of(coordinate)
            if days is not None and (np.diff(days) > 0).all():
                return str(name), days
    return None


def days_of(coordinate: xr.DataArray) -> NDArray[np.float64] | None:
    """Days since the midnight before the first time, or one before it; None where these are no times.

    Decoded times (of NumPy or cftime) and numbers with units such as "hours since 2000-01-01 06:00" are known.

    Examples
    --------
    >>> time = xr.DataArray([0.0, 6.0], dims="time", attrs={"units": "hours since 2000-01-01 12:00"})
    >>> days_of(time)
    array([0.5 , 0.75])
    """
    values: NDArray[Any] = coordinate.values
    if values.dtype.kind == "M" and not np.isnat(values).any():
        return np.asarray((values - values[0].astype("datetime64[D]")) / np.timedelta64(1, "D"), np.float64)
    if values.dtype.kind == "O" and all(hasattr(value, "calendar") for value in values):
        first = values[0]
        start = (first.hour * 3600 + first.minute * 60 + first.second) / DAY
        return np.array([start + (value - first).total_seconds() / DAY for value in values])
    said = re.match(r"\s*([A-Za-z]+) since [-+\d]+(?:[T ]+(\d+):(\d+))?", str(coordinate.attrs.get("units", "")))
    if said is None or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        return None
    seconds = PER.get(_ALIASES.get(said[1].lower(), said[1].lower()))
    start = (int(said[2] or 0) * 3600 + int(said[3] or 0) * 60) / DAY
    return None if seconds is None else start + values.astype(np.float64) * seconds / DAY
