"""One task of an archive: read regions of whole shards, encode, write, read back, check, and only then record them.

Stage: the middle of the engine, run by every worker. Doing a block twice gives the same bytes, so that it does not
matter who does it, how often, or where it was interrupted.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from zarr.core.sync import sync

from adiabat.codec.errors import BoundError
from adiabat.formats.blocks import Array, Block, find_files, hull, mark_files, open_stored, read_digest
from adiabat.formats.journal import Journal, Record
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.plan import PYRAMID
from adiabat.formats.policy import format_bound
from adiabat.formats.spectral import write_chunk

__all__ = ["InMemory", "Job", "Openable", "write_blocks"]


class Openable(Hashable, Protocol):
    """A source that every process can open for itself, such as `adiabat.formats.sources.source.Source`."""

    def open(self) -> Mapping[str, xr.Dataset]:
        """Datasets by the paths of their groups, the root ``/`` among them."""

    def identity(self) -> object:
        """What JSON can say of it, the same whenever it holds the same; None where nobody knows."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """Datasets that this process has: nothing tells whether those of another run are the same."""

    datasets: Mapping[str, xr.Dataset]

    def open(self) -> Mapping[str, xr.Dataset]:
        """As they are."""
        return self.datasets

    def identity(self) -> None:
        """None."""


@dataclass(frozen=True)
class Job:
    """What all blocks of an archive have in common; it pickles.

    Parameters
    ----------
    source : Openable
    store : path
        Where metadata stand already.
    journal : path
        Folder of records.
    threads : int or None
        Of each process; None: as many as it has cores.
    """

    source: Openable
    store: Path
    journal: Path
    threads: int | None = None


def write_blocks(job: Job, bundle: Sequence[Block]) -> list[Record]:
    """Do blocks that are read together, each from its values to its record in the journal.

    Raises
    ------
    BoundError
        If what was read back is not within the bound. Nothing is recorded then, nor if anything else fails.
    """
    from adiabat.codec.workers import limit_threads

    limit_threads(job.threads)
    source = job.source.open() if isinstance(job.source, InMemory) else _opened(job.source)
    dataset, whole = source[bundle[0].group], hull(bundle)
    with _nothing_left_running():
        values = _read(dataset, whole.name, whole)
        return [_write(job, block, dataset, values[_within(block, whole)]) for block in bundle]


def _write(job: Job, block: Block, dataset: xr.Dataset, values: NDArray[Any]) -> Record:
    """Encode, write, read back, check, record."""
    stored = open_stored(job.store, block.array)
    note, noise = json.loads(str(stored.attrs.get("adiabat", "{}"))), None
    if note.get("noise") is None:
        stored[block.region or ...] = values.astype(stored.dtype, copy=False)
    else:
        noise = _read(dataset, note["noise"], block)
        index = [first // chunk for first, chunk in zip(block.start, stored.chunks, strict=True)]
        write_chunk(stored, index, values.astype(stored.dtype, copy=False), noise, _told(stored))
    files = find_files(job.store, stored, block)
    written, digest = _sync(files)
    errors = _check(values, np.asarray(stored[block.region or ...]), note, block, noise)
    record = Record(
        block.key, block.stop, written, digest, errors.values, errors.compared, errors.max_error, errors.used,
        errors.sum_of_errors, errors.sum_of_squares, errors.sum_of_magnitudes, mark_files(files),
    )  # fmt: skip
    Journal(job.journal).keep(record)
    return record


def _within(block: Block, whole: Block) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(block.start, block.stop, whole.start, strict=True))


@contextmanager
def _nothing_left_running() -> Iterator[None]:
    """Zarr raises at the first chunk that fails: wait for the others, which would meet the next try, and hear them."""

    async def settle() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    try:
        yield
    except BaseException:
        sync(settle())
        raise


@lru_cache(maxsize=1)
def _opened(source: Openable) -> Mapping[str, xr.Dataset]:
    """Opened once in each process."""
    return source.open()


def _read(dataset: xr.Dataset, name: str, block: Block) -> NDArray[Any]:
    array = dataset[name][block.source_region] if block.start else dataset[name]
    return np.asarray(array.values)


def _told(stored: Array) -> dict[str, Any]:
    """The configuration of our codec."""
    codecs = (codec.to_dict() for codec in stored.metadata.codecs)  # type: ignore[union-attr]
    told: Any = next(codec["configuration"] for codec in codecs if str(codec["name"]) == PYRAMID)
    return dict(told)


def _check(
    source: NDArray[Any], stored: NDArray[Any], note: Mapping[str, Any], block: Block, noise: NDArray[Any] | None
) -> ErrorSummary:
    """Hold a block against its source; BoundError where a value is out of bounds."""
    limits = note.get("valid_range")
    errors = ErrorSummary(note.get("bound", "lossless"), valid_range=None if limits is None else (limits[0], limits[1]))
    if source.dtype.kind in "iu" and not np.array_equal(source, stored):  # float64 cannot tell large ones apart
        raise BoundError(f"{block.key}: integers that were read back differ from the source")
    errors.add(source, stored, block.start, noise)
    if errors.violations or errors.outside:
        raise BoundError(
            f"{block.key}: read back, {errors.violations} values are outside {format_bound(errors.bound)} and "
            f"{errors.outside} outside the valid range; the largest error is {errors.max_error:.6g}"
        )
    return errors


def _sync(files: Sequence[Path]) -> tuple[int, str]:
    """See files on the disk before anything says that they are there."""
    for file in files:
        if file.is_file():
            handle = os.open(file, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
    return read_digest(files)
