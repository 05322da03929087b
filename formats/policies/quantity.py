"""Which physical quantity a variable is: by its standard name, then its short names, its level and its units.

Stage: planning, used by `policies`. The table is ``quantities.toml``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

import xarray as xr

from adiabat.formats.policies.rule import Range
from adiabat.formats.policies.units import factor

__all__ = ["Match", "Quantity", "level_of", "matches", "quantities"]

LEVELS, SURFACE = "levels", "surface"
_ON_LEVELS = ("isobaric", "hybrid", "sigma", "theta", "potentialvorticity", "generalvertical")  # of GRIB_typeOfLevel
_VERTICAL = (
    "level", "lev", "levels", "plev", "pressure", "pressure_level", "isobaricInhPa", "isobaricInPa", "hybrid",
    "model_level", "model_level_number", "hybrid_level", "lev_p", "altitude", "pfull", "eta", "sigma",
)  # fmt: skip
_VERTICAL_NAMES = (
    "air_pressure", "altitude", "model_level_number", "atmosphere_hybrid_sigma_pressure_coordinate",
    "atmosphere_sigma_coordinate", "atmosphere_ln_pressure_coordinate", "geopotential_height",
    "air_potential_temperature",
)  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """A quantity that rules are written for.

    Parameters
    ----------
    key : str
        Its GRIB short name.
    label : str
        In words.
    level : {"levels", "surface"}
    units : str
        Of rules; ``any`` for codes, where nothing is converted.
    names, standard_names : tuple of str
    limits : (lowest, highest) or None
        What is physically possible.
    also : mapping of unit to factor
        Other units for the same quantity, and how many of `units` make one.
    """

    key: str
    label: str
    level: str
    units: str
    names: tuple[str, ...]
    standard_names: tuple[str, ...] = ()
    limits: Range | None = None
    also: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def units_in(self, units: str) -> float | None:
        """How many of the quantity's units make one of these; None if they measure something else."""
        if self.units == "any":
            return 1.0
        own = factor(units, self.units)
        if own is not None:
            return own
        for other, size in self.also.items():
            count = factor(units, other)
            if count is not None:
                return count * size
        return None


@dataclass(frozen=True)
class Match:
    """A variable recognised: the quantity, and how many of its units make one of the variable's."""

    quantity: Quantity
    factor: float


@cache
def quantities() -> tuple[Quantity, ...]:
    """All quantities of the table, in its order."""
    text = (resources.files("adiabat.formats.policies") / "quantities.toml").read_text(encoding="utf-8")
    return tuple(_read(key, row) for key, row in tomllib.loads(text).items())


def _read(key: str, row: Mapping[str, Any]) -> Quantity:
    options: dict[str, Any] = {name: tuple(each) if isinstance(each, list) else each for name, each in row.items()}
    low, high = options.pop("limits", (-math.inf, math.inf))
    limits = None if math.isinf(low) and math.isinf(high) else (_end(low), _end(high))
    return Quantity(key=key, limits=limits, **options)


def _end(number: float) -> float | None:
    """One end of a range; infinity is none."""
    return None if math.isinf(number) else float(number)


def matches(array: xr.DataArray) -> tuple[list[Match], str]:
    """What a variable can be, and in words why not, if it goes by the name of something it is not.

    Parameters
    ----------
    array : xarray.DataArray
        Its name, attributes and coordinates count, never its values.

    Returns
    -------
    list of Match
        None where nothing is known of it; more than one where its level is not stated.
    str
        Why a name that is known was not believed, or "".

    Examples
    --------
    >>> field = xr.DataArray([[280.0]], dims=("lat", "lon"), name="t2m", attrs={"units": "K"})
    >>> [match.quantity.key for match in matches(field)[0]]
    ['2t']
    >>> matches(field.rename("msl"))
    ([], 'msl has units K, and mean sea level pressure is in Pa')
    """
    standard, names = str(array.attrs.get("standard_name", "")), set(_names(array))
    by_standard = [each for each in quantities() if standard in each.standard_names]
    by_name = [each for each in quantities() if names.intersection(each.names)]
    both = [each for each in by_standard if each in by_name]
    pool = both or by_standard or by_name
    if not pool:
        return [], ""
    level = level_of(array)
    fits = [each for each in pool if level in (None, each.level)]
    if not fits:
        where = "on levels" if level == LEVELS else "at a single level"
        return [], f"{array.name} is {where}, and {pool[0].label} is not"
    units = array.attrs.get("units")
    if units is None and all(each.units != "any" for each in fits):
        return [], f"{array.name} states no units, and {fits[0].label} is in {fits[0].units}"
    found = [Match(each, size) for each in fits if (size := each.units_in(str(units))) is not None]
    if not found:
        return [], f"{array.name} has units {units}, and {fits[0].label} is in {fits[0].units}"
    return found, ""


def _names(array: xr.DataArray) -> Iterator[str]:
    """What a variable is called, in its file and in GRIB."""
    yield str(array.name).rpartition("/")[2]
    for key in ("GRIB_shortName", "GRIB_cfVarName", "short_name"):
        if array.attrs.get(key, "unknown") != "unknown":
            yield str(array.attrs[key])


def level_of(array: xr.DataArray) -> str | None:
    """Whether a variable lies on levels or at a single one; None where nothing says so.

    Examples
    --------
    >>> level_of(xr.DataArray([[1.0]], dims=("level", "x")))
    'levels'
    """
    kind = str(array.attrs.get("GRIB_typeOfLevel", "")).lower()
    if kind and kind != "unknown":
        return LEVELS if kind.startswith(_ON_LEVELS) else SURFACE
    for name in array.dims:
        attributes = array.coords[name].attrs if name in array.coords else {}
        named = str(name) in _VERTICAL or attributes.get("standard_name") in _VERTICAL_NAMES
        if named or str(attributes.get("axis", "")).upper() == "Z":
            return LEVELS
    # A scalar level is shared by all variables of a dataset; only CMIP's height of 2 or 10 m says something.
    if any(each.attrs.get("standard_name") == "height" and each.size == 1 for each in array.coords.values()):
        return SURFACE
    return None
