"""Decide, before a byte is written, how each variable will lie in the store.

Stage: planning. The plan is plain data: which variables go through Pyramid, with which bound,
dtype and chunks, and which go through Zarr's own lossless compression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from adiabat.formats.errors import RequestError
from adiabat.formats.policy import Bound, bound_of, check_bounds
from adiabat.formats.sources.cf import PACKING

CHUNK_BYTES = 8 * 2**20  # aimed at
FRAME_BYTES = 16 * 2**20  # a larger frame is cut into tiles


@dataclass(frozen=True)
class VariablePlan:
    """How one data variable is stored.

    Parameters
    ----------
    name : str
    dims : tuple of str
    shape, chunks : tuple of int
    dtype : numpy dtype
        As stored; a packed source becomes float32.
    bound : dict or str or None
        What was asked for; None: Zarr's default compression, exactly.
    codec_bound : dict or str or None
        What the codec is told: narrower than `bound` by the rounding of an unpacked source to
        float32, so that `bound` holds against the source in float64.
    asked : bool
        Whether somebody gave the bound, or it is lossless for want of one.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    bound: Bound | None
    codec_bound: Bound | None
    asked: bool

    @property
    def values(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


def make_plan(
    dataset: xr.Dataset,
    *,
    bounds: Mapping[str, Bound],
    default_bound: Bound | None = None,
    chunks: Mapping[str, int] | None = None,
) -> list[VariablePlan]:
    """Plan every numeric data variable of `dataset`; the rest is small and passes as it is.

    Raises
    ------
    RequestError
        If a bound or a chunk is asked for that cannot be.
    """
    chunks = chunks or {}
    check_bounds(dataset, bounds)
    for dim, size in chunks.items():
        if dim not in dataset.dims:
            known = ", ".join(str(name) for name in dataset.dims)
            raise RequestError(f"there is no dimension {dim!r} to chunk; the dimensions: {known}")
        if size < 1:
            raise RequestError(f"a chunk of {dim} must hold at least 1, not {size}")
    return [
        _plan_variable(array, bounds=bounds, default_bound=default_bound, chunks=chunks)
        for array in dataset.data_vars.values()
        if array.dtype.kind in "fiu"
    ]


def _plan_variable(
    array: xr.DataArray,
    *,
    bounds: Mapping[str, Bound],
    default_bound: Bound | None,
    chunks: Mapping[str, int],
) -> VariablePlan:
    name, dtype = str(array.name), array.dtype.newbyteorder("=")
    bound: Bound | None = None
    codec_bound: Bound | None = None
    if dtype.kind == "f" and dtype.itemsize <= 8 and array.size:
        bound = bound_of(array, bounds, default_bound)
        if bound == "lossless" and array.ndim < 2 and name not in bounds:
            bound = None  # a scalar or a profile: readable without adiabat
        else:
            dtype, codec_bound = _stored_as(array, bound)
    return VariablePlan(
        name=name,
        dims=tuple(str(dim) for dim in array.dims),
        shape=array.shape,
        chunks=choose_chunks(array, dtype.itemsize, chunks),
        dtype=dtype,
        bound=bound,
        codec_bound=codec_bound,
        asked=name in bounds or bound != "lossless",
    )


def _stored_as(array: xr.DataArray, bound: Bound) -> tuple[np.dtype[Any], Bound]:
    """Store what was unpacked from integers as float32, where the bound has room for that."""
    dtype = array.dtype.newbyteorder("=")
    packing = array.encoding
    source = np.dtype(packing.get("dtype", dtype))
    packed = source.kind in "iu" and any(key in packing for key in PACKING)
    if not packed or dtype.itemsize < 8 or isinstance(bound, str):
        return dtype, bound
    rounding = float(np.finfo(np.float32).eps) / 2
    if "abs" in bound:
        ends = np.array([np.iinfo(source).min, np.iinfo(source).max], dtype=np.float64)
        values = ends * float(packing.get("scale_factor", 1)) + float(packing.get("add_offset", 0))
        loss = float(np.abs(values).max()) * rounding
        narrowed = {"abs": bound["abs"] - loss}
        room = bound["abs"] > 16 * loss
    else:
        narrowed = {"rel": (bound["rel"] - rounding) / (1 + rounding)}
        room = bound["rel"] > 16 * rounding
    return (np.dtype(np.float32), narrowed) if room else (dtype, bound)


def choose_chunks(array: xr.DataArray, itemsize: int, wanted: Mapping[str, int] | None = None) -> tuple[int, ...]:
    """Choose chunks of whole frames, as many of them as make about 8 MB.

    Parameters
    ----------
    array : xarray.DataArray
        Its last two axes are a frame. A frame beyond 16 MB is cut into nearly equal tiles.
    itemsize : int
        Bytes of a stored value.
    wanted : mapping of dimension to size, optional
        Taken as given.

    Returns
    -------
    tuple of int
        One size for every dimension.
    """
    wanted = wanted or {}
    shape = array.shape
    sizes = [max(1, size) for size in shape]
    frame = sizes[-2:]
    budget = FRAME_BYTES // itemsize
    while math.prod(frame) > budget:
        longest = frame.index(max(frame))
        frame[longest] = math.ceil(frame[longest] / 2)
    sizes[-2:] = frame
    room = CHUNK_BYTES // itemsize // max(1, math.prod(frame))
    for axis in range(len(shape) - 3, -1, -1):
        sizes[axis] = min(sizes[axis], max(1, room))
        room //= sizes[axis]
    return tuple(
        min(int(wanted.get(str(dim), size)), max(1, full))
        for dim, size, full in zip(array.dims, sizes, shape, strict=True)
    )
