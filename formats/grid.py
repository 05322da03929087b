"""Lay a field on the grid of a variable: nearest values by latitude and longitude, whichever way either runs.

Stage: planning, for static fields. Nothing is interpolated: where the variable has a point, the field must have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

LATITUDE, LONGITUDE = "latitude", "longitude"
CLOSE = 0.01  # of the grid's spacing

_NAMES = {LATITUDE: ("latitude", "lat"), LONGITUDE: ("longitude", "lon")}
_UNITS = {LATITUDE: ("degrees_n", "degree_n"), LONGITUDE: ("degrees_e", "degree_e")}


@dataclass(frozen=True)
class Grid:
    """The last two axes of a variable.

    Attributes
    ----------
    shape : tuple of two int
    kinds : tuple of two (str or None)
        "latitude" and "longitude" in the order of the axes; None for an axis that is neither.
    degrees : mapping of str to NDArray[np.float64]
        Its latitudes and longitudes.
    """

    shape: tuple[int, ...]
    kinds: tuple[str | None, ...]
    degrees: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, array: xr.DataArray) -> Grid:
        """Find it in the one-dimensional coordinates of the array."""
        axes = [_axis(array, str(dim)) for dim in array.dims[-2:]]
        kinds = tuple(None if axis is None else axis[0] for axis in axes)
        return cls(array.shape[-2:], kinds, dict(axis for axis in axes if axis is not None))

    @property
    def is_located(self) -> bool:
        """Whether it has one axis of latitudes and one of longitudes."""
        return set(self.kinds) == {LATITUDE, LONGITUDE}

    def __str__(self) -> str:
        axes = [f"{kind} {points[0]:g} to {points[-1]:g}" for kind, points in self.degrees.items() if points.size]
        return f"{' x '.join(map(str, self.shape))} ({', '.join(axes) or 'no latitude and longitude'})"


def lay(field: xr.DataArray, target: Grid) -> NDArray[np.float32] | None:
    """Take the values of a field at the points of a grid.

    Where either has no latitudes and longitudes, the shapes must be equal, and the values stay as they lie.

    Parameters
    ----------
    field : xarray.DataArray
        Of two axes, with its coordinates if it has any.
    target : Grid

    Returns
    -------
    NDArray[np.float32] or None
        In the grid's shape and order of axes; None where the field has no value at one of the points.

    Examples
    --------
    >>> height = xr.DataArray([[1, 2, 3, 4]], {"lat": [0.0], "lon": [0.0, 90.0, 180.0, 270.0]}, ("lat", "lon"))
    >>> there = xr.DataArray(np.zeros((4, 1)), {"lat": [0.0], "lon": [-180.0, -90.0, 0.0, 90.0]}, ("lon", "lat"))
    >>> lay(height, Grid.of(there)).tolist()
    [[3.0], [4.0], [1.0], [2.0]]
    """
    here = Grid.of(field)
    if here.is_located and target.is_located:
        return _select(field, here, target)
    return np.asarray(field.values, np.float32) if here.shape == target.shape else None


def _select(field: xr.DataArray, here: Grid, target: Grid) -> NDArray[np.float32] | None:
    """Look the values up by latitude and longitude."""
    east = target.degrees[LONGITUDE]
    west = east.min() - _spacing(east) / 2  # where the circle is cut: between two points
    coordinates = {**here.degrees, LONGITUDE: (here.degrees[LONGITUDE] - west) % 360}
    wanted = {**target.degrees, LONGITUDE: (east - west) % 360}
    table = xr.DataArray(field.values, coordinates, tuple(map(str, here.kinds)))
    try:
        for kind, points in wanted.items():
            table = table.drop_duplicates(kind).sortby(kind)
            table = table.sel({kind: points}, method="nearest", tolerance=CLOSE * _spacing(points))
    except KeyError:
        return None
    return np.asarray(table.transpose(*map(str, target.kinds)).values, np.float32)


def _spacing(degrees: NDArray[np.float64]) -> float:
    """The smallest distance of neighbours, at most one degree."""
    steps = np.abs(np.diff(degrees))
    return float(steps.min(initial=1.0, where=steps > 0))


def _axis(array: xr.DataArray, dim: str) -> tuple[str, NDArray[np.float64]] | None:
    """Tell whether a dimension is one of latitudes or longitudes, and which."""
    for name, coordinate in array.coords.items():
        kind = kind_of(str(name), coordinate)
        if coordinate.dims == (dim,) and kind is not None and coordinate.dtype.kind in "fiu":
            return kind, np.asarray(coordinate.values, np.float64)
    return None


def kind_of(name: str, coordinate: xr.DataArray) -> str | None:
    """Tell by name, `standard_name` or units whether a coordinate is of "latitude" or "longitude", or of neither."""
    units = str(coordinate.attrs.get("units", "")).lower()
    said = str(coordinate.attrs.get("standard_name", "")).lower()
    for kind, names in _NAMES.items():
        if name.lower() in names or said == kind or units.startswith(_UNITS[kind]):
            return kind
    return None
