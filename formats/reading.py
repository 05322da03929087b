"""Open an archive to be read: one Dataset, times decoded, dask chunks that are whole shards; blocks in stored order.

Stage: outermost, for readers, over `xarray_backend`. Measured with the shipped codecs (744 chunks of 33 x 49, tiles of
a map): batches of chunks decode no faster than chunks one by one (Zarr's ``codec_pipeline.batch_size`` from 1 to
1000 changes nothing beyond the noise), since nine tenths of a small chunk's time is not spent in its network; but one
dask task for many small chunks saves a quarter of the time, and maps of a block that is read once come 20 times faster
than maps read one by one (chunks of 24 hours). So tasks span whole shards, and several small ones, and that is all the
batching there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import xarray as xr
import zarr
from zarr.abc.store import Store

from adiabat.formats.chunks import blocks
from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.metadata import CHILD
from adiabat.formats.store_paths import join_path
from adiabat.formats.xarray_backend import AdiabatBackend, groups_in, quiet

__all__ = ["TASK_BYTES", "group_paths", "open_archive", "open_merged", "stored_blocks", "task_chunks"]

NO_GROUP = (zarr.errors.GroupNotFoundError, zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError)
TASK_BYTES = 100_000_000  # of decoded values: what small chunks are put together up to


def open_archive(
    store: str | Path | Store,
    *,
    group: str | None = None,
    chunks: str | Mapping[str, int] | None = "auto",
    models: str | None = None,
    decode_times: bool = True,
    drop_variables: str | list[str] | None = None,
    damaged: str | None = None,
) -> xr.Dataset:
    """Open a store that `adiabat` wrote, or any other Zarr group, lazily.

    Parameters
    ----------
    store : path, URL or Zarr store
        What lies in a child group ``compressed`` (``--layout child``) comes back beside its coordinates.
    group : str, optional
        Inside the store; a store of several is opened as a tree by
        ``xr.open_datatree(store, engine="adiabat", chunks={})``.
    chunks : "auto", mapping of dimension to size, or None
        Of dask: "auto" takes whole shards, or whole chunks where there are none, several small ones together up to 100
        MB, and no dask where that is not installed. A mapping says it for some dimensions. None: no dask; values are
        read when they are asked for.
    models : None or "store"
        ``"store"``: this process, and those the dataset is sent to, may decode with the models that the store carries.
        They decide what values you see: whom do you have the store from?
    decode_times : bool
        Whether times become dates.
    drop_variables : str or list of str, optional
    damaged : None or "nan"
        ``"nan"``: where a chunk of floats cannot be decoded there are NaN and a warning, instead of an error.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    RequestError
        If it is no Zarr group, or one of groups alone, which are named then.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((6, 37, 72)), "a.zarr", default_bound={"abs": 0.1}, chunks={"time": 2})
    >>> open_archive("a.zarr", chunks=None).temperature.isel(time=5).shape
    (37, 72)
    """
    if models not in (None, "store"):
        raise RequestError(f'expected models=None or "store", got {models!r}')
    if isinstance(chunks, str) and chunks != "auto":
        raise RequestError(f'expected chunks="auto", None or sizes by dimension, got {chunks!r}')
    options = {"models": models or False, "decode_times": decode_times, "drop_variables": drop_variables}
    options["damaged"] = damaged
    dataset = open_merged(store, group, **options)
    if not dataset.variables:
        within = [path for path in group_paths(store, group) if path and _has_arrays(store, group, path)]
        if within:
            raise RequestError(f"{store} holds groups alone: choose one with group=, of {', '.join(within)}")
    if chunks is None or (chunks == "auto" and find_spec("dask") is None):
        return dataset
    return _in_tasks(dataset, {} if isinstance(chunks, str) else chunks)


def open_merged(store: str | Path | Store, group: str | None = None, **options: Any) -> xr.Dataset:
    """One group, with the arrays of its child ``compressed`` if it has one; options are those of the engine.

    Raises
    ------
    FileNotFoundError
        If there is nothing.
    RequestError
        If it is no Zarr group.
    """
    options = {"chunks": None, "cache": False, "engine": AdiabatBackend, **options}
    place: Any = store  # xarray's types know no Zarr store
    try:
        dataset = xr.open_dataset(place, group=group, **options)
        root = zarr.open_group(store, mode="r", path=group or "", use_consolidated=False)
    except NO_GROUP as error:
        where = f"{store}, group {group}" if group else str(store)
        raise RequestError(f"expected a Zarr group at {where}, got none: {first_line(error)}") from None
    if not _is_child(root.get(CHILD)):
        return dataset
    child = xr.open_dataset(place, group=join_path(group, CHILD), **options)
    fields = {name: array.variable for name, array in child.data_vars.items() if name not in dataset.variables}
    merged = dataset.assign(fields)
    merged.encoding = dataset.encoding
    return merged.set_coords([name for name in child.coords if name in dataset.variables])


def group_paths(store: str | Path | Store, group: str | None = None) -> list[str]:
    """Groups of a store from this one down, itself as ``""``; none that are part of another's dataset."""
    from adiabat.codec.models import STORE_FOLDER
    from adiabat.formats.low_rank_layout import low_rank_names

    def walk(node: zarr.Group, path: str) -> Iterator[str]:
        yield path
        own = {*low_rank_names(node), STORE_FOLDER}
        for name, member in groups_in(node).items():
            if name not in own and not (name == CHILD and _is_child(member)):
                yield from walk(member, join_path(path, name))

    return list(walk(zarr.open_group(store, mode="r", path=group or "", use_consolidated=False), ""))


def _has_arrays(store: str | Path | Store, group: str | None, path: str) -> bool:
    with quiet():
        within = zarr.open_group(store, mode="r", path=join_path(group, path), use_consolidated=False)
        return any(True for _ in within.array_keys())


def _is_child(member: Any) -> bool:
    """Whether a group holds the compressed arrays of the one above, and is none of the user's own."""
    if not isinstance(member, zarr.Group):
        return False
    with quiet():
        return any("adiabat" in array.attrs for _, array in member.arrays())


def _in_tasks(dataset: xr.Dataset, wanted: Mapping[str, int]) -> xr.Dataset:
    """Every data variable as dask chunks of its own; coordinates stay as they are."""
    unknown = sorted(set(wanted) - set(map(str, dataset.dims)))
    if unknown:
        raise RequestError(f"there is no dimension {unknown[0]!r}; the dimensions: {', '.join(map(str, dataset.dims))}")
    chunked = {}
    for name, array in dataset.data_vars.items():
        sizes = dict(zip(array.dims, task_chunks(array), strict=True))
        sizes |= {dim: size for dim, size in wanted.items() if dim in sizes}
        chunked[name] = array.variable.chunk(sizes)
    encoding, out = dataset.encoding, dataset.assign(chunked)
    out.encoding = encoding
    return out


def task_chunks(array: xr.DataArray, *, most: int = TASK_BYTES) -> tuple[int, ...]:
    """Sizes of blocks worth reading at once: whole shards or chunks, small ones together.

    Parameters
    ----------
    array : xarray.DataArray
        As opened from Zarr; only its shape, dtype and encoding count.
    most : int
        Bytes of a block, unless one shard is more.

    Returns
    -------
    tuple of int
        One size for every dimension, whole shards each: first whole rows of them along the last axis, then along those
        before it, in nearly equal parts.

    Examples
    --------
    >>> field = xr.DataArray(0.0).expand_dims(time=744, lat=33, lon=49).astype("f4")
    >>> field.encoding["chunks"] = (1, 33, 49)
    >>> task_chunks(field), task_chunks(field, most=1_000_000)
    ((744, 33, 49), (149, 33, 49))
    """
    encoding = array.encoding
    pieces: Sequence[int] = encoding.get("shards") or encoding.get("chunks") or _preferred(array)
    if len(pieces) != array.ndim:
        pieces = array.shape
    sizes = [min(piece, max(1, length)) for piece, length in zip(pieces, array.shape, strict=True)]
    room = max(1, most // max(1, math.prod(sizes) * array.dtype.itemsize))
    for axis in range(array.ndim - 1, -1, -1):
        number = math.ceil(array.shape[axis] / sizes[axis])
        tasks = math.ceil(number / max(1, min(room, number)))
        together = max(1, math.ceil(number / max(1, tasks)))
        sizes[axis] = min(sizes[axis] * together, max(1, array.shape[axis]))
        room //= together
    return tuple(sizes)


def _preferred(array: xr.DataArray) -> tuple[int, ...]:
    preferred = array.encoding.get("preferred_chunks", {})
    return tuple(int(preferred.get(dim, size)) for dim, size in array.sizes.items())


def stored_blocks(array: xr.DataArray, *, most: int = TASK_BYTES) -> Iterator[xr.DataArray]:
    """Parts of an array in the order in which they are stored, each of whole shards, so that none is decoded twice.

    A map of a chunk of 24 costs five to eight frames (those that it is predicted from), so going through all maps one
    by one decodes each frame several times; load a block, then go through its maps.

    Parameters
    ----------
    array : xarray.DataArray
        A whole variable as `open_archive` or ``xr.open_zarr`` gives it.
    most : int
        Bytes of a block, unless one shard is more.

    Yields
    ------
    xarray.DataArray
        Not loaded yet.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((6, 37, 72)), "b.zarr", default_bound={"abs": 0.1}, chunks={"time": 2})
    >>> field = open_archive("b.zarr").temperature
    >>> [block.sizes["time"] for block in stored_blocks(field, most=50_000)]
    [4, 2]
    """
    for region in blocks(array.shape, task_chunks(array, most=most), at_once=1):
        yield array[region]
