"""An archive in pieces: regions of whole shards, of which no two share a file.

Stage: plan -> blocks -> engine. Here they are cut and found again; `tasks` does one.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from adiabat.formats.chunks import blocks
from adiabat.formats.plan import VariablePlan
from adiabat.formats.store_paths import join_path

__all__ = ["Array", "Block", "blocks_of", "find_files", "hull", "mark_files", "open_stored", "path_of", "read_digest"]

MARK = 8  # digits of a file's digest that tell it from others
ABSENT = "-" * MARK  # Zarr writes no file for a chunk that is all fill value
BLOCK_VALUES = 2**20  # of small chunks: so few that a kill loses little, so many that records are next to nothing
if TYPE_CHECKING:
    Array = zarr.Array[Any]
else:
    Array = zarr.Array  # no generic class before Zarr 3.1.4


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
    >>> import numpy as np
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
    return join_path(group, variable.child, variable.name)


def hull(bundle: Sequence[Block]) -> Block:
    """The block from the first corner of a bundle to the last."""
    start = tuple(min(place) for place in zip(*(block.start for block in bundle), strict=True))
    stop = tuple(max(place) for place in zip(*(block.stop for block in bundle), strict=True))
    return replace(bundle[0], start=start, stop=stop)


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


def mark_files(files: Sequence[Path]) -> str:
    """Tell files of a block apart, for `Record.files`: of each the first 8 digits of its own `read_digest`."""
    return "".join(read_digest([file])[1][:MARK] if file.is_file() else ABSENT for file in files)


def open_stored(store: Path, path: str) -> Array:
    """An array of the store, to be written."""
    return zarr.open_array(store, path=path, mode="r+")
