"""One task of an archive: read regions of whole shards, encode, write, read back, check, and only then record them.

Stage: the middle of the engine. A block shares no file with another, and doing it twice gives the same bytes, so that
it does not matter who does it, how often, or where it was interrupted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from adiabat.codec.errors import BoundError
from adiabat.formats.chunks import PLAIN_VALUES, blocks, choose_chunks
from adiabat.formats.journal import Journal, Record
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.plan import PYRAMID, VariablePlan
from adiabat.formats.policy import format_bound
from adiabat.formats.spectral import write_chunk

__all__ = [
    "Block",
    "InMemory",
    "Job",
    "Openable",
    "blocks_of",
    "find_files",
    "hull",
    "open_stored",
    "path_of",
    "read_digest",
    "write_blocks",
]

BLOCK_VALUES = 2**20  # of small chunks: so few that a kill loses little, so many that records are next to nothing
Array = zarr.Array[Any]


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


@dataclass(frozen=True)
class Block:
    """A region of one array, of whole shards, except at its end.

    Parameters
    ----------
    group : str
        Of the source.
    array : str
        Path in the store; the last part is the variable's name.
    start, stop : tuple of int
        In the array that is stored.
    lead : tuple of int
        By how much the source begins later, along each axis; () for not at all.
    """

    group: str
    array: str
    start: tuple[int, ...]
    stop: tuple[int, ...]
    lead: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """As in `Record.block`."""
        return f"{self.array}/{'.'.join(map(str, self.start))}"

    @property
    def name(self) -> str:
        """Of the variable."""
        return self.array.rpartition("/")[2]

    @property
    def region(self) -> tuple[slice, ...]:
        """Where it lies in the array."""
        return tuple(map(slice, self.start, self.stop))

    @property
    def source_region(self) -> tuple[slice, ...]:
        """Where it lies in the source."""
        lead = self.lead or (0,) * len(self.start)
        return tuple(slice(a - late, b - late) for a, b, late in zip(self.start, self.stop, lead, strict=True))

    @property
    def values(self) -> int:
        """How many."""
        return math.prod(stop - start for start, stop in zip(self.start, self.stop, strict=True))


def blocks_of(
    group: str, variable: VariablePlan, *, origin: Sequence[int] = (), lead: Sequence[int] = ()
) -> list[Block]:
    """Cut a planned variable into blocks: one shard, or as many small ones as make a million values.

    Parameters
    ----------
    group : str
    variable : VariablePlan
    origin : sequence of int
        Where to begin, on edges of shards; what lies before stays as it is.
    lead : sequence of int
        See `Block`.

    Examples
    --------
    >>> plan = VariablePlan("t", ("time", "y", "x"), (50, 721, 1440), (24, 721, 1440), np.dtype("f4"), {"abs": 0.1},
    ...                     {"abs": 0.1}, True)
    >>> [block.key for block in blocks_of("/", plan)]
    ['t/0.0.0', 't/24.0.0', 't/48.0.0']
    """
    whole = variable.shards or variable.chunks
    alone = variable.noise is not None  # what Zarr cannot tell the codec is told chunk by chunk
    at_once = 1 if alone else max(1, BLOCK_VALUES // max(1, math.prod(whole)))
    origin = tuple(origin or (0,) * len(whole))
    shape = [length - first for length, first in zip(variable.shape, origin, strict=True)]
    path = path_of(group, variable)
    return [
        Block(
            group,
            path,
            tuple(first + part.start for first, part in zip(origin, region, strict=True)),
            tuple(first + part.stop for first, part in zip(origin, region, strict=True)),
            tuple(lead),
        )
        for region in blocks(shape, whole, at_once=at_once)
    ]


def path_of(group: str, variable: VariablePlan) -> str:
    """Where a variable of a group lies in the store."""
    return "/".join(part for part in (group.strip("/"), variable.child, variable.name) if part)


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
    written, digest = _sync(find_files(job.store, stored, block))
    errors = _check(values, np.asarray(stored[block.region or ...]), note, block, noise)
    record = Record(
        block.key, block.stop, written, digest, errors.values, errors.compared, errors.max_error, errors.used,
        errors.sum_of_errors, errors.sum_of_squares, errors.sum_of_magnitudes,
    )  # fmt: skip
    Journal(job.journal).keep(record)
    return record


def hull(bundle: Sequence[Block]) -> Block:
    """The block from the first corner of a bundle to the last."""
    start = tuple(min(place) for place in zip(*(block.start for block in bundle), strict=True))
    stop = tuple(max(place) for place in zip(*(block.stop for block in bundle), strict=True))
    return replace(bundle[0], start=start, stop=stop)


def _within(block: Block, whole: Block) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(block.start, block.stop, whole.start, strict=True))


def find_files(store: Path, stored: Array, block: Block) -> list[Path]:
    """Files of a block, whether they are there or not, in order."""
    whole = stored.shards or stored.chunks
    spans = (range(a // n, -(-b // n)) for a, b, n in zip(block.start, block.stop, whole, strict=True))
    return [store / block.array / stored.metadata.encode_chunk_key(index) for index in itertools.product(*spans)]


def read_digest(files: Sequence[Path]) -> tuple[int, str]:
    """Bytes of files, and what `Record.digest` makes of them."""
    total, digest = 0, hashlib.blake2b(digest_size=8)
    for number, file in enumerate(files):
        if file.is_file():
            data = file.read_bytes()
            total += len(data)
            digest.update(b"%d:%d:" % (number, len(data)) + data)
    return total, digest.hexdigest()


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


@lru_cache(maxsize=1)
def _opened(source: Openable) -> Mapping[str, xr.Dataset]:
    """Opened once in each process."""
    return source.open()


def open_stored(store: Path, path: str) -> Array:
    """An array of the store, to be written."""
    return zarr.open_array(store, path=path, mode="r+")


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
    whole = xr.DataArray(np.broadcast_to(np.int8(0), source.shape))
    if source.dtype.kind in "iu" and not np.array_equal(source, stored):  # float64 cannot tell large ones apart
        raise BoundError(f"{block.key}: integers that were read back differ from the source")
    for part in blocks(source.shape, choose_chunks(whole, most=PLAIN_VALUES), at_once=1):  # errors take memory
        offset = tuple(first + p.start for first, p in zip(block.start, part, strict=True))
        errors.add(source[part], stored[part], offset, None if noise is None else noise[part])
    if errors.violations or errors.outside:
        raise BoundError(
            f"{block.key}: read back, {errors.violations} values are outside {format_bound(errors.bound)} and "
            f"{errors.outside} outside the valid range; the largest error is {errors.max_error:.6g}"
        )
    return errors
