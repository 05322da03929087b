"""Read a sample of source and decoded fields for the checks of what users derive: frames, whole days, yearly means.

Stage: evaluation, under `downstream`. Values are read by position on both sides; axes are the source's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.field_scores import area_weights
from adiabat.formats.field_search import horizontal, member_axis, pressure_axis, time_axis
from adiabat.formats.sample import evenly

__all__ = ["Fields", "Series", "Sides"]

Floats = NDArray[np.float64]
FRAMES: Final = 8  # at most, spread evenly over times and levels
YEARS: Final = 5  # at least, of a series


@dataclass(frozen=True)
class Fields:
    """Fields of both sides.

    Attributes
    ----------
    sides : two arrays, shape (name, frame, latitude, longitude)
        Source, decoded.
    latitude, longitude : NDArray[np.float64], degrees
    """

    sides: tuple[Floats, Floats]
    latitude: Floats
    longitude: Floats

    @property
    def weights(self) -> Floats:
        """Area of a row's cells, (latitude,)."""
        return area_weights(self.latitude)


@dataclass(frozen=True)
class Series:
    """Series of both sides.

    Attributes
    ----------
    sides : two arrays
        Source, decoded: (day, time of day, ...), (year, ...), or (member, ...).
    weights : NDArray[np.float64]
        Area of the cells, to broadcast to the last axes.
    units : str
    years : NDArray[np.float64] or None
        Of yearly means.
    """

    sides: tuple[Floats, Floats]
    weights: Floats
    units: str
    years: Floats | None = None


class Sides:
    """Source and decoded fields, and how much of them a check may read.

    Parameters
    ----------
    source, decoded : xarray.Dataset
    most : int
        Values of one side, variable and check; at least one stored chunk, and one field or one day.
    """

    def __init__(self, source: xr.Dataset, decoded: xr.Dataset, most: int) -> None:
        self._source, self._decoded, self._most = source, decoded, most
        self._last: tuple[object, Fields | None] = (None, None)  # checks of the same fields follow each other

    def fields(self, names: Sequence[str], *, level: float | None = None) -> Fields | None:
        """Fields spread evenly over the leading axes; None where they are not on latitudes and longitudes.

        Parameters
        ----------
        names : sequence of str
            Variables on the same axes.
        level : float, hPa, optional
            Only the level of pressure that is nearest.
        """
        key = (tuple(names), level)
        if self._last[0] != key:
            self._last = (key, self._read_fields(names, level))
        return self._last[1]

    def days(self, name: str) -> Series | None:
        """Whole days from the first on, (day, time of day, ...); None where times are not regular within days."""
        pair = self._both([name])
        axis = time_axis(self._source[name]) if pair is not None else None
        if pair is None or axis is None:
            return None
        dim, days = axis
        steps = np.diff(days)
        each = round(1 / float(np.median(steps)))
        if each < 1 or not np.allclose(steps, 1 / each, rtol=0.01):
            return None
        day = np.floor(days + 1e-6).astype(int)
        start = int(np.argmax(day == day[0] + 1)) if np.sum(day == day[0]) < each else 0  # the first may be a part
        whole = min((days.size - start) // each, max(1, self._most // (each * pair[0][0].size // days.size)))
        if whole < 1:
            return None
        sides = [_first(arrays[0].isel({dim: slice(start, start + whole * each)}), dim) for arrays in pair]
        first, second = (side.reshape(whole, each, *side.shape[1:]) for side in sides)
        return Series((first, second), _weights(pair[0][0]), _units(pair[0][0]))

    def series(self, name: str, *, members: bool = False) -> Series | None:
        """Yearly means, (year, ...), or the members of an ensemble, (member, ...), of yearly means where it has some.

        None where times are neither yearly nor monthly or go over fewer than five years, or where there is no member.
        """
        pair = self._both([name])
        array = self._source[name]
        member = member_axis(array)
        time = _yearly(array)
        if pair is None or (member is None if members else time is None):
            return None
        cut = _block(array, {member, time[0] if time else None}, self._most)
        sides = []
        for arrays in pair:
            side = arrays[0].isel(cut)
            values = _first(side, time[0] if time else str(member))
            if time:
                years, each = time[1:]
                values = values[: years.size * each].reshape(years.size, each, *values.shape[1:]).mean(1)
            if members and time:
                values = np.moveaxis(values, _order(side, time[0]).index(str(member)), 0)
            sides.append(values)
        return Series((sides[0], sides[1]), _weights(array.isel(cut)), _units(array), time[1] if time else None)

    def _read_fields(self, names: Sequence[str], level: float | None) -> Fields | None:
        pair = self._both(names)
        grid = horizontal(self._source[names[0]]) if pair is not None else None
        if pair is None or grid is None:
            return None
        model, axis = pair[0][0], pressure_axis(pair[0][0]) if level is not None else None
        at_level = {axis[0]: int(np.abs(axis[1] - level).argmin())} if axis and axis[0] and level is not None else {}
        lead = [str(dim) for dim in model.dims if dim not in grid.dims and dim not in at_level]
        blocks = _blocks(pair[1][0], lead, grid.latitude.size * grid.longitude.size, self._most)
        sides = []
        for arrays in pair:
            frames = [
                np.concatenate([_frames(each.isel({**at_level, **at}), grid.dims, many) for at, many in blocks])
                for each in arrays
            ]
            sides.append(np.stack(frames))
        return Fields((sides[0], sides[1]), grid.latitude, grid.longitude)

    def _both(self, names: Sequence[str]) -> tuple[list[xr.DataArray], list[xr.DataArray]] | None:
        """Arrays of both sides; None where they do not fit each other."""
        if any(name not in self._decoded.data_vars for name in names):
            return None
        arrays = [self._source[name] for name in names], [self._decoded[name] for name in names]
        model = arrays[0][0]
        same = all(one.dims == model.dims and one.shape == model.shape for side in arrays for one in side)
        return arrays if same and model.size else None


def _blocks(array: xr.DataArray, lead: Sequence[str], cells: int, most: int) -> list[tuple[dict[str, slice], int]]:
    """Stored chunks spread evenly over the leading axes, and how many fields to take of each.

    To read one field of a chunk is to decode the chunk.
    """
    stored = array.chunksizes or array.encoding.get("preferred_chunks") or {}
    lengths = []
    for dim in lead:
        length = stored.get(dim, 1)
        lengths.append(max(1, min(array.sizes[dim], int(length[0] if isinstance(length, tuple) else length))))
    counts = [-(-array.sizes[dim] // length) for dim, length in zip(lead, lengths, strict=True)]
    inside = math.prod(lengths)
    many = max(1, min(math.prod(counts), FRAMES, most // (inside * cells)))
    frames = max(1, min(inside, FRAMES // many, most // (many * cells)))
    out = []
    for place in evenly(math.prod(counts), many):
        starts = (int(k) * length for k, length in zip(np.unravel_index(place, counts), lengths, strict=True))
        at = {dim: slice(start, start + n) for dim, start, n in zip(lead, starts, lengths, strict=True)}
        out.append((at, frames))
    return out


def _frames(array: xr.DataArray, dims: tuple[str, str], many: int) -> Floats:
    """At most so many fields of a block, spread evenly, (field, latitude, longitude)."""
    values = array.transpose(..., *dims).values
    flat = values.reshape(-1, *values.shape[-2:])
    return np.asarray(flat[evenly(len(flat), many)], np.float64)


def _yearly(array: xr.DataArray) -> tuple[str, Floats, int] | None:
    """Dimension of time, the years (whole and parts) of yearly means, and how many values one mean takes."""
    axis = time_axis(array)
    if axis is None:
        return None
    dim, days = axis
    steps = np.diff(days)
    each = 1 if ((steps > 359) & (steps < 367)).all() else 12 if ((steps > 27) & (steps < 32)).all() else 0
    if not each or days.size // each < YEARS:
        return None
    many = days.size // each
    return dim, days[: many * each].reshape(many, each).mean(1) / 365.2425, each


def _block(array: xr.DataArray, keep: set[str | None], most: int) -> dict[str, slice]:
    """A block from the middle of the longest axis that may be cut, so that so many values are left."""
    free = [str(dim) for dim in array.dims if dim not in keep]
    if not free or array.size <= most:
        return {}
    dim = max(free, key=lambda each: array.sizes[each])
    size = max(1, most * array.sizes[dim] // array.size)
    start = (array.sizes[dim] - size) // 2
    return {dim: slice(start, start + size)}


def _order(array: xr.DataArray, first: str) -> list[str]:
    """Dimensions: a given one, the others, latitude and longitude."""
    grid = horizontal(array)
    last = [dim for dim in (grid.dims if grid else ()) if dim != first]
    return [first, *(str(dim) for dim in array.dims if dim != first and dim not in last), *last]


def _first(array: xr.DataArray, dim: str) -> Floats:
    return np.asarray(array.transpose(*_order(array, dim)).values, np.float64)


def _weights(array: xr.DataArray) -> Floats:
    """Areas of the cells, (y, 1); 1 where they are not known."""
    grid = horizontal(array)
    return area_weights(grid.latitude)[:, None] if grid else np.ones(1)


def _units(array: xr.DataArray) -> str:
    return str(array.attrs.get("units", "1"))
