"""What the axes of a variable are: which two make a map, which is time, which makes a profile.

Stage: report, first. By coordinates, CF attributes and usual names; where none says anything, the last two axes make a
map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.grid import LATITUDE, LONGITUDE, kind_of
from adiabat.formats.sources.times import TimeAxis

__all__ = ["Axes", "label_of", "place_of"]

_LEVELS = ("lev", "plev", "pres", "isobaric", "height", "depth", "hybrid", "sigma", "layer", "channel", "wave", "band")
_TIMES = ("time", "valid_time", "t")


@dataclass(frozen=True)
class Axes:
    """Numbers of axes.

    Attributes
    ----------
    shape : tuple of int
    frame : tuple of int
        The two that make a map; one where values lie in a line, such as cells of a mesh; none of a scalar.
    time, profile : int or None
        Of more than one index each; the profile is along levels, channels, or the longest axis that is left.
    latitude, longitude : NDArray[np.float64] or None
        Degrees along the two axes of a map, where it is one of them in this order.
    """

    shape: tuple[int, ...]
    frame: tuple[int, ...]
    time: int | None
    profile: int | None
    latitude: NDArray[np.float64] | None = None
    longitude: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, array: xr.DataArray) -> Axes:
        """Find them.

        Examples
        --------
        >>> field = xr.DataArray(np.zeros((4, 3, 5, 6)), dims=("time", "level", "lat", "lon"))
        >>> found = Axes.of(field)
        >>> found.frame, found.time, found.profile
        ((2, 3), 0, 1)
        """
        dims, shape = tuple(map(str, array.dims)), array.shape
        time = next((axis for axis, dim in enumerate(dims) if shape[axis] > 1 and _is_time(array, dim)), None)
        frame = _frame(array, dims, time)
        rest = [axis for axis in range(len(dims)) if axis not in frame and axis != time and shape[axis] > 1]
        levels = [axis for axis in rest if _is_level(array, dims[axis])]
        profile = max(levels or rest, key=lambda axis: shape[axis], default=None)
        degrees = [_degrees(array, dims[axis]) for axis in frame] if len(frame) == 2 else [None, None]
        kinds = [None if found is None else found[0] for found in degrees]
        if kinds == [LATITUDE, LONGITUDE]:
            latitude, longitude = (found[1] for found in degrees if found is not None)
            return cls(shape, frame, time, profile, latitude, longitude)
        return cls(shape, frame, time, profile)

    @property
    def leading(self) -> tuple[int, ...]:
        """Axes that are not of the frame."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.frame)

    def in_frames(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values with the axes of the frame last, of two axes at least: (..., y, x)."""
        moved = np.moveaxis(values, self.frame, range(-len(self.frame), 0)) if self.frame else values
        return moved.reshape((1,) * max(0, 2 - moved.ndim) + moved.shape)


def label_of(array: xr.DataArray, dim: str, index: int) -> str:
    """An index in words: its date or its coordinate where there is one, otherwise its number.

    Examples
    --------
    >>> field = xr.DataArray([0.0, 0.0], {"level": ("level", [500, 850], {"units": "hPa"})}, "level")
    >>> label_of(field, "level", 1), label_of(field.drop_vars("level"), "level", 1)
    ('level 850 hPa', 'level[1]')
    """
    if dim not in array.coords or array.coords[dim].dims != (dim,):  # get() would make one of indices
        return f"{dim}[{index}]"
    coordinate = array.coords[dim]
    units = str(coordinate.attrs.get("units", ""))
    if " since " in units and coordinate.dtype.kind in "fiu":
        calendar = str(coordinate.attrs.get("calendar", "standard"))
        try:
            return f"{dim} {TimeAxis(dim, dim, coordinate.values, units, calendar).text(index)}"
        except (ValueError, OverflowError, KeyError):
            return f"{dim}[{index}]"
    value = coordinate.values[index]
    said = f"{float(value):.6g}" if coordinate.dtype.kind in "fiu" else str(value)
    short = {"degrees_north": "°N", "degrees_east": "°E"}.get(units, units)
    return f"{dim} {said} {short}".strip()


def place_of(array: xr.DataArray, index: tuple[int, ...], *, without: tuple[int, ...] = ()) -> str:
    """Where a value lies, in words, along the axes that have any length.

    Examples
    --------
    >>> place_of(xr.DataArray(np.zeros((1, 3, 4)), dims=("time", "y", "x")), (0, 1, 2))
    'y[1], x[2]'
    """
    axes = [axis for axis in range(array.ndim) if array.shape[axis] > 1 and axis not in without]
    return ", ".join(label_of(array, str(array.dims[axis]), index[axis]) for axis in axes)


def _frame(array: xr.DataArray, dims: tuple[str, ...], time: int | None) -> tuple[int, ...]:
    located: dict[str, tuple[str, ...]] = {}
    for name, coordinate in array.coords.items():
        kind = kind_of(str(name), coordinate)
        if kind is not None and coordinate.ndim and set(coordinate.dims) <= set(dims):
            located.setdefault(kind, tuple(map(str, coordinate.dims)))
    along = sorted({dims.index(dim) for named in located.values() for dim in named})
    if set(located) == {LATITUDE, LONGITUDE}:
        if len(along) == 1:  # cells of a mesh
            return tuple(along)
        if len(along) == 2:
            flat = located[LATITUDE] == (dims[along[1]],) and located[LONGITUDE] == (dims[along[0]],)
            return (along[1], along[0]) if flat else (along[0], along[1])
    rest = [axis for axis in range(len(dims)) if axis != time and array.shape[axis] > 1]
    last = rest[-2:] if len(rest) > 1 else rest
    if len(last) < 2 and time is None:  # no map, but a frame of one row or column
        last = list(range(len(dims)))[-2:]
    return tuple(last)


def _degrees(array: xr.DataArray, dim: str) -> tuple[str, NDArray[np.float64]] | None:
    for name, coordinate in array.coords.items():
        kind = kind_of(str(name), coordinate)
        if kind is not None and coordinate.dims == (dim,) and coordinate.dtype.kind in "fiu":
            return kind, np.asarray(coordinate.values, np.float64)
    return None


def _is_time(array: xr.DataArray, dim: str) -> bool:
    attributes = array.coords[dim].attrs if dim in array.coords else {}
    said = str(attributes.get("standard_name", "")), str(attributes.get("axis", "")).upper()
    return dim.lower() in _TIMES or " since " in str(attributes.get("units", "")) or said[0] == "time" or said[1] == "T"


def _is_level(array: xr.DataArray, dim: str) -> bool:
    attributes = array.coords[dim].attrs if dim in array.coords else {}
    words = f"{dim} {attributes.get('standard_name', '')}".lower()
    vertical = "positive" in attributes or str(attributes.get("axis", "")).upper() == "Z"
    return vertical or any(word in words for word in _LEVELS)
