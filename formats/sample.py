"""Which pieces of a variable stand for the whole of it when its size is estimated.

Stage: before `estimate`. Pieces keep a chunk's length in time, and are cut in space; their places are spread over all
axes. What the source would have to read for them is bounded too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.chunks import blocks
from adiabat.formats.plan import VariablePlan

__all__ = ["evenly", "pieces"]

VALUES = 2_000_000  # of all pieces: 8 MB as float32
PLACES = (0.5, 0.1, 0.9)  # along every axis: the middle first
SIDE = 128  # of a piece, at least, where the frame is as large
READ = 64_000_000  # values that the source reads for a piece, at most, as far as its chunks are known


def pieces(array: xr.DataArray, variable: VariablePlan) -> list[tuple[slice, ...]]:
    """Regions to sample: every chunk of what is small, otherwise up to three pieces of chunks.

    Parameters
    ----------
    array : xarray.DataArray
        The source; only its shape and its own chunks count.
    variable : VariablePlan

    Returns
    -------
    list of tuple of slice

    Examples
    --------
    >>> array = xr.DataArray(np.broadcast_to(np.float32(0), (48, 721, 1440)), dims=("time", "lat", "lon"))
    >>> plan = VariablePlan("t", array.dims, array.shape, (24, 721, 1440), array.dtype, {"abs": 1}, {"abs": 1}, True)
    >>> pieces(array, plan)[0]
    (slice(12, 36, None), slice(278, 444, None), slice(636, 803, None))
    """
    shape, chunks = variable.shape, variable.chunks
    if variable.values <= VALUES:
        return list(blocks(shape, chunks, at_once=1)) if variable.values else []
    sizes = _sizes(shape, chunks, _whole(variable))
    while _read_for(array, sizes) > READ and max(sizes[:-2], default=1) > 1:
        longest = max(range(len(sizes) - 2), key=lambda axis: sizes[axis])
        sizes[longest] = math.ceil(sizes[longest] / 2)
    once = variable.channels is not None or tuple(sizes) == variable.shape
    count = 1 if once else max(1, min(len(PLACES), VALUES // math.prod(sizes)))
    return [
        tuple(_at(place, length, size) for length, size in zip(shape, sizes, strict=True)) for place in PLACES[:count]
    ]


def evenly(count: int, many: int) -> NDArray[np.int64]:
    """At most so many of the numbers from 0 to count - 1, both ends among them, each once.

    Examples
    --------
    >>> evenly(10, 4).tolist(), evenly(2, 4).tolist()
    ([0, 3, 6, 9], [0, 1])
    """
    return np.unique(np.linspace(0, count - 1, many).round().astype(np.int64))


def _whole(variable: VariablePlan) -> set[int]:
    """Axes that are not cut: all cells of a sphere, channels of spectra, an axis with bounds of its own."""
    axes = {-1} if variable.healpix else set()
    axes |= set() if variable.channels is None else {variable.channels}
    bound = variable.codec_bound
    axes |= {int(bound["axis"])} if isinstance(bound, dict) and bound.get("axis") is not None else set()
    return {axis % len(variable.shape) for axis in axes}


def _sizes(shape: Sequence[int], chunks: Sequence[int], whole: set[int]) -> list[int]:
    """Of a piece: a chunk, of which levels go first, then the frame shrinks, and at last time."""
    sizes = [min(chunk, length) for chunk, length in zip(chunks, shape, strict=True)]
    if math.prod(sizes) <= VALUES:
        return sizes
    room = VALUES if whole else VALUES // len(PLACES)
    frame = [axis for axis in range(max(0, len(sizes) - 2), len(sizes)) if axis not in whole]
    leading = [axis for axis in range(len(sizes) - 2) if axis not in whole]
    leading.sort(key=lambda axis: -sizes[axis])
    for axis in leading[1:]:
        sizes[axis] = 1
    for axes, least in ((frame, SIDE), (leading[:1], 1), (frame, 1)):
        _shrink(sizes, axes, room, least)
    return sizes


def _shrink(sizes: list[int], axes: Sequence[int], room: int, least: int) -> None:
    """Make axes shorter, nearly alike, until the piece is small enough, or they are as short as they may be."""
    for number, axis in enumerate(sorted(axes, key=lambda axis: sizes[axis])):
        values = math.prod(sizes)
        if values <= room:
            return
        share = (room / values) ** (1 / (len(axes) - number))
        if len(axes) == 2:  # towards a square
            others = values // math.prod(sizes[each] for each in axes)
            share = min(1.0, math.sqrt(room / others) / sizes[axis] if number == 0 else room / values)
        sizes[axis] = max(min(least, sizes[axis]), min(sizes[axis], int(sizes[axis] * share)))


def _at(place: float, length: int, size: int) -> slice:
    """A stretch of an axis around a place; at its very ends nothing is typical."""
    first = round(place * (length - size))
    return slice(first, first + size)


def _read_for(array: xr.DataArray, sizes: Sequence[int]) -> int:
    """Values that the source reads for a piece, whole chunks of its own."""
    dask = {dim: each[0] for dim, each in (array.chunksizes or {}).items()}
    own = dask or array.encoding.get("preferred_chunks") or {}
    spans = [
        math.ceil(size / min(own.get(dim, 1) or 1, length)) * min(own.get(dim, 1) or 1, length)
        for dim, size, length in zip(array.dims, sizes, array.shape, strict=True)
    ]
    return math.prod(min(span, length) for span, length in zip(spans, array.shape, strict=True))
