"""How an array is cut: into chunks worth predicting across, and into regions of whole chunks.

Stage: planning and writing. Sizes are counted in values, since the codec's memory goes with them.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence

import xarray as xr

from adiabat.formats.errors import RequestError

CHUNK_VALUES = 25_000_000  # of a volume, at most: 100 MB as float32, one day of hourly fields of 721 x 1440
PLAIN_VALUES = 2**21  # of a chunk that is not predicted: 8 MB as float32
FRAME_VALUES = 2**22  # a larger frame is cut into tiles: 16 MB as float32
MOST_FRAMES = 48  # along the first axis, unless these are few values
REGION_VALUES = 4 * CHUNK_VALUES  # encoded side by side, at most
SHARD_VALUES = 2 * CHUNK_VALUES  # of tiles that make one file, at most


def choose_chunks(
    array: xr.DataArray, wanted: Mapping[str, int] | None = None, *, most: int = CHUNK_VALUES
) -> tuple[int, ...]:
    """Choose chunks that are volumes worth predicting across.

    Frames (the last two axes) stay whole; one of more than 4 million values is cut into nearly equal tiles. Frames are
    predicted from others along one leading axis, and along time that helps most. So time, or else the first leading
    axis that has any length, gets its share first: up to 48 frames, or as many as make 2 million values where frames
    are small. The other leading axes, such as levels, get what is left of 25 million values, in their order. An axis
    that does not fit is cut into nearly equal parts.

    One day of hourly 721 x 1440 fields is one chunk; so is a month of hourly 33 x 49. Reading one map of a day decodes
    five to eight frames, not all 24: as many as its references need (`adiabat.codec.order`).

    Parameters
    ----------
    array : xarray.DataArray
        Only its dimensions count.
    wanted : mapping of dimension to size, optional
        Taken as given; the others share what is left.
    most : int
        Values of a chunk; a frame or what is wanted may be more.

    Returns
    -------
    tuple of int
        One size for every dimension.

    Examples
    --------
    >>> field = xr.DataArray(0.0).expand_dims(time=30, level=37, lat=181, lon=360)
    >>> choose_chunks(field)
    (30, 10, 181, 360)
    """
    full = [max(1, size) for size in array.shape]
    given = [min(int((wanted or {}).get(str(dim), 0)), size) for dim, size in zip(array.dims, full, strict=True)]
    sizes = [size or 1 for size in given[:-2]] + [size or whole for size, whole in zip(given, full, strict=True)][-2:]
    _cut_frame(sizes, given)
    leading = [axis for axis in range(len(full) - 2) if full[axis] > 1]
    leading.sort(key=lambda axis: "time" not in str(array.dims[axis]).lower())
    for axis in leading:
        if not given[axis]:
            values = math.prod(sizes)
            limit = max(MOST_FRAMES, PLAIN_VALUES // values) if axis == leading[0] else full[axis]
            sizes[axis] = _part(full[axis], min(limit, most // values))
    return tuple(sizes)


def choose_shards(
    dims: Sequence[str], shape: Sequence[int], chunks: Sequence[int], wanted: Mapping[str, int]
) -> tuple[int, ...] | None:
    """Choose which chunks make one file: those of tiles that together make frames, where they are small enough.

    Parameters
    ----------
    dims : sequence of str
    shape, chunks : sequence of int
    wanted : mapping of dimension to size
        Taken as given.

    Returns
    -------
    tuple of int or None
        A multiple of the chunks; None: a file for each.

    Raises
    ------
    RequestError
        If a shard that is wanted is no multiple of a chunk.

    Examples
    --------
    >>> choose_shards(("time", "lat", "lon"), (48, 721, 1440), (24, 361, 360), {})
    (24, 722, 1440)
    >>> choose_shards(("time", "lat", "lon"), (48, 721, 1440), (24, 721, 1440), {})
    """
    shards = list(chunks)
    for axis, dim in enumerate(dims):
        if dim in wanted:
            size = min(wanted[dim], chunks[axis] * math.ceil(max(1, shape[axis]) / chunks[axis]))
            if size % chunks[axis]:
                raise RequestError(f"a shard of {dim} must hold whole chunks of {chunks[axis]}, and {size} does not")
            shards[axis] = size
    for axis in range(max(0, len(shards) - 2), len(shards)):
        whole = chunks[axis] * math.ceil(max(1, shape[axis]) / chunks[axis])
        if dims[axis] not in wanted and math.prod(shards) // shards[axis] * whole <= SHARD_VALUES:
            shards[axis] = whole
    return None if tuple(shards) == tuple(chunks) else tuple(shards)


def check_sizes(dataset: xr.Dataset, *sizes: Mapping[str, int]) -> None:
    """Refuse lengths of chunks and shards along what is no dimension, or below 1, with a RequestError."""
    for dim, size in (item for some in sizes for item in some.items()):
        if dim not in dataset.dims:
            known = ", ".join(str(name) for name in dataset.dims)
            raise RequestError(f"there is no dimension {dim!r} to chunk; the dimensions: {known}")
        if size < 1:
            raise RequestError(f"a chunk of {dim} must hold at least 1, not {size}")


def _cut_frame(sizes: list[int], given: Sequence[int]) -> None:
    """Halve the longer axis of the frame until it is small enough; what was asked for stays."""
    free = [axis for axis in range(max(0, len(sizes) - 2), len(sizes)) if not given[axis]]
    while free and math.prod(sizes[-2:]) > FRAME_VALUES:
        longest = max(free, key=lambda axis: sizes[axis])
        if sizes[longest] == 1:
            return
        sizes[longest] = math.ceil(sizes[longest] / 2)


def _part(length: int, limit: int) -> int:
    """The largest of nearly equal parts of an axis, none longer than the limit."""
    return math.ceil(length / math.ceil(length / max(1, limit)))


def blocks(shape: Sequence[int], chunks: Sequence[int], *, at_once: int | None = None) -> Iterator[tuple[slice, ...]]:
    """Cut an array into regions of whole chunks, each of up to `at_once` chunks.

    Parameters
    ----------
    shape, chunks : sequence of int
    at_once : int, optional
        Chunks that Zarr may encode side by side; None: as many as there are processors, up to 8, and not more than
        four of the largest that `choose_chunks` makes, since each takes memory.

    Yields
    ------
    tuple of slice
        In C order. A 0-d array is one empty tuple.

    Examples
    --------
    >>> [r[0].stop for r in blocks((10,), (4,), at_once=2)]
    [8, 10]
    """
    room = at_once or max(1, min(8, os.cpu_count() or 1, REGION_VALUES // max(1, math.prod(chunks))))
    steps = list(chunks)
    for axis in range(len(shape) - 1, -1, -1):
        count = min(room, math.ceil(shape[axis] / chunks[axis]))
        steps[axis] = chunks[axis] * max(1, count)
        room //= max(1, count)
    ranges = [range(0, size, step) for size, step in zip(shape, steps, strict=True)]
    for start in itertools.product(*ranges):
        yield tuple(
            slice(begin, min(begin + step, size)) for begin, step, size in zip(start, steps, shape, strict=True)
        )
