"""Add to a finished store the times that it lacks: what is new, and the last shard where it was not full.

Stage: archive, on a store that stands. New blocks and metadata are made beside the store, as for any archive, and moved
into it when all are done: files of chunks first, the metadata that readers go by last.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from adiabat.formats.achieved import note_achieved
from adiabat.formats.archive import Progress, do_blocks
from adiabat.formats.blocks import Block, blocks_of, path_of
from adiabat.formats.bundles import bundle_blocks
from adiabat.formats.checksums import CHECKSUMS
from adiabat.formats.engine import Run
from adiabat.formats.errors import RequestError
from adiabat.formats.journal import RECORDS, Record, digest_of, file_in_place_of, read_records, write_records
from adiabat.formats.metadata import REQUEST, Groups, add_history, consolidate
from adiabat.formats.plan import VariablePlan
from adiabat.formats.policy import format_bound
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.sources.times import TimeAxis, time_axis
from adiabat.formats.store_paths import join_path
from adiabat.formats.tasks import InMemory, Job, Openable
from adiabat.formats.verify import stated_bound
from adiabat.formats.workspace import Workspace

__all__ = ["append_times"]


@dataclass(frozen=True)
class Seam:
    """Where the times of a source go on from those of a store.

    Parameters
    ----------
    axis : TimeAxis
        Times of the source, as the store counts them.
    stored : int
        Times that the store has.
    lead : int
        Index in the store of the source's first time.
    total : int
        Times that there will be.
    times : array
        Those that the store has, decoded.
    first : object
        The first of the source.
    """

    axis: TimeAxis
    stored: int
    lead: int
    total: int
    times: Any
    first: Any


def append_times(
    source: Openable,
    groups: Groups,
    target: str | Path,
    *,
    run: Run | None = None,
    command: str = "adiabat.formats.append_times",
    progress: Progress | None = None,
) -> bool:
    """Extend a store along time; arguments as of `archive`.

    Returns
    -------
    bool
        True: the store has all times of the source.

    Raises
    ------
    RequestError
        If the store is not one of adiabat's, or the source does not go on where it ends.
    """
    run, space, told = run or Run(), Workspace(Path(target)), progress or (lambda *_: None)
    if not is_zarr(space.target):
        raise RequestError(f"{space.target} is not a Zarr store, so nothing can be appended to it")
    if run.part != (1, 1):
        raise RequestError("times are appended by one run: leave --part out")
    seams = {place: _find_seam(dataset, _open(space.target, place), place) for place, (dataset, _) in groups.items()}
    blocks, kept = [], []
    for place, (_, plan) in sorted(groups.items()):
        for variable in plan:
            more, records = _extend(variable, place, seams[place], space.target)
            blocks += more
            kept += records
    if not blocks:
        return True
    asked = {"append": source.identity(), "to": zarr.open_group(space.target, mode="r").attrs.get(REQUEST)}
    with space.lock():
        if run.restart or source.identity() is None:
            space.clear()
        space.begin(asked, lambda store: _make(space.target, store, groups, seams, command, digest_of(asked)))
        opened = {place: dataset for place, (dataset, _) in groups.items()}
        used = InMemory(opened) if run.workers.alone(blocks) else source
        job = Job(used, space.store, space.journal.folder, run.workers.threads(blocks))
        do_blocks(job, bundle_blocks(blocks, opened, most=run.workers.memory // 4), run.workers, told)
        records = [*kept, *space.journal.read().values()]
        note_achieved(space.store, records)
        write_records(space.store, records)
        consolidate(space.store)
        _move(space.store, space.target)
        space.discard()
    return True


def _open(store: Path, place: str) -> xr.Dataset:
    group = place.strip("/") or None
    opened: xr.Dataset = xr.open_zarr(store, group=group, chunks=None, decode_times=False, mask_and_scale=False)
    return opened


def _find_seam(dataset: xr.Dataset, stored: xr.Dataset, place: str) -> Seam | None:
    """Where time goes on; None for a group without times."""
    axis = time_axis(dataset)
    if axis is None or axis.dim not in dataset.dims:
        return None
    if axis.name not in stored.variables:
        raise RequestError(f"the store has no times along {axis.dim}, which the source has")
    old, new = _decoded(stored[axis.name]), _decoded(dataset[axis.name])
    if not len(new) or new[-1] <= old[-1]:
        return Seam(axis, len(old), 0, len(old), old, old[0])
    common = np.flatnonzero(old == new[0])
    lead = int(common[0]) if common.size else len(old)
    if not np.array_equal(old[lead:], new[: len(old) - lead]) or (lead == len(old) and new[0] <= old[-1]):
        raise RequestError(
            f"the times of the source do not go on from those of the store, which ends at {old[-1]}"
            f"{f' in {place}' if place != '/' else ''}: it begins at {new[0]}"
        )
    return Seam(_as_counted(axis, stored[axis.name]), len(old), lead, lead + len(new), old, new[0])


def _as_counted(axis: TimeAxis, stored: xr.DataArray) -> TimeAxis:
    """Times in the numbers of a store; RequestError where these cannot say them."""
    counted = axis.converted(stored.attrs.get("units", ""), stored.attrs.get("calendar", "standard"))
    values = counted.values.astype(stored.dtype)
    if not np.array_equal(values, counted.values):
        raise RequestError(
            f"the store keeps times as {stored.dtype} in {counted.units!r}, and cannot say {axis.span()}"
        )
    return replace(counted, values=values)


def _decoded(times: xr.DataArray) -> Any:
    return xr.decode_cf(xr.Dataset({"t": (("n",), times.values, times.attrs)}))["t"].values


def _extend(variable: VariablePlan, place: str, seam: Seam | None, target: Path) -> tuple[list[Block], list[Record]]:
    """Blocks to write of one variable, and the records that stay."""
    path = path_of(place, variable)
    records = list(read_records(target, [path]).values())
    if not records:
        raise RequestError(f"{target} holds no {path} that adiabat wrote, so nothing can be appended to it")
    stored = zarr.open_array(target, path=path, mode="r")
    _check_same(variable, stored, target)
    if seam is None or seam.axis.dim not in variable.dims or seam.total == seam.stored:
        return [], records
    axis = variable.dims.index(seam.axis.dim)
    whole = (stored.shards or stored.chunks)[axis]
    full = seam.stored // whole * whole
    origin = min((record.start[axis] for record in records if record.stop[axis] > full), default=full)
    if origin < seam.lead:
        raise RequestError(
            f"the last file of {path} has room left, so that it is written again: expected a source that begins at "
            f"{seam.times[origin]} or before, got one that begins at {seam.first}"
        )
    shape = tuple(seam.total if i == axis else n for i, n in enumerate(variable.shape))
    extended = replace(variable, shape=shape, chunks=stored.chunks, shards=stored.shards)
    at = tuple(origin if i == axis else 0 for i in range(len(shape)))
    lead = tuple(seam.lead if i == axis else 0 for i in range(len(shape)))
    return blocks_of(place, extended, origin=at, lead=lead), [each for each in records if each.stop[axis] <= origin]


def _check_same(variable: VariablePlan, stored: zarr.Array[Any], target: Path) -> None:
    """Refuse another bound or grid than the store has."""
    there = stated_bound(xr.Variable(variable.dims, np.empty(stored.shape, "i1"), dict(stored.attrs)))
    wanted = variable.bound if variable.bound is not None else "lossless"
    if there != wanted:
        raise RequestError(
            f"{variable.name} has {format_bound(there)} in {target}, and cannot go on with {format_bound(wanted)}"
        )
    if len(stored.shape) != len(variable.shape):
        raise RequestError(
            f"{variable.name} has the shape {stored.shape} in {target}, and {variable.shape} in the source"
        )


def _make(
    target: Path, store: Path, groups: Groups, seams: Mapping[str, Seam | None], command: str, request: str
) -> None:
    """Copy metadata and small arrays, and make room for the new times."""
    long = {file.parent for file in target.rglob(RECORDS)}  # whose chunks stay where they are
    for file in sorted(target.rglob("*")):
        if file.is_file() and (file.name in ("zarr.json", RECORDS) or not long & set(file.parents)):
            copy = store / file.relative_to(target)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: fixed-length strings are not in the v3 spec yet
        for place, (dataset, plan) in groups.items():
            if seams[place] is not None:
                _resize(store, place, dataset, plan, seams[place])  # type: ignore[arg-type]
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    root.attrs.update({"history": add_history(root.attrs.get("history"), command), REQUEST: request})


def _resize(store: Path, place: str, dataset: xr.Dataset, plan: Sequence[VariablePlan], seam: Seam) -> None:
    """Lengthen what has times, and fill in what is small."""
    planned = {variable.name for variable in plan}
    for child in {"", *(variable.child for variable in plan)}:
        group = zarr.open_group(store, mode="r+", path=join_path(place, child), use_consolidated=False)
        for name, array, axis in _with_times(group, map(str, dataset.variables), seam.axis.dim):
            array.resize((*array.shape[:axis], seam.total, *array.shape[axis + 1 :]))
            if name not in planned:
                times = slice(seam.stored - seam.lead, None)
                new = seam.axis.values[times] if name == seam.axis.name else dataset[name].isel({seam.axis.dim: times})
                array[(*[slice(None)] * axis, slice(seam.stored, None))] = np.asarray(new)


def _with_times(group: zarr.Group, names: Iterable[str], dim: str) -> Iterator[tuple[str, zarr.Array[Any], int]]:
    """Arrays of a group that have times, and along which axis."""
    for name in names:
        array = group.get(name)
        if isinstance(array, zarr.Array):
            dims = array.metadata.dimension_names or ()  # type: ignore[union-attr]
            if dim in dims:
                yield name, array, dims.index(dim)


def _move(store: Path, target: Path) -> None:
    """Chunks, then what is said of arrays, then what is said of groups, which readers go by; checksums last.

    Everything stays where it was, too, so that a killed move can be begun again.
    """
    order = {"zarr.json": 1, RECORDS: 1, Path(CHECKSUMS).name: 2}

    def when(file: Path) -> tuple[int, int]:
        return order.get(file.name, 0), -len(file.relative_to(store).parts)

    for file in sorted((file for file in store.rglob("*") if file.is_file()), key=when):
        place = target / file.relative_to(store)
        place.parent.mkdir(parents=True, exist_ok=True)
        with file_in_place_of(place) as temporary:
            try:
                os.link(file, temporary)
            except OSError:  # a file system without links
                shutil.copyfile(file, temporary)
