"""How far an archive has come, seen from what lies on the disk: while it is written, after a kill, and when it stands.

Stage: beside the engine, and after it. Nothing is written here, and no source is needed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr

from adiabat.formats.achieved import achieved
from adiabat.formats.blocks import Block, find_files
from adiabat.formats.errors import RequestError
from adiabat.formats.integrity import check_integrity
from adiabat.formats.journal import RECORDS, Record, by_array, read_records
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.workspace import Workspace

__all__ = ["ArrayStatus", "Status", "check_store", "describe_progress", "take_status"]

RECENT = 600.0  # seconds, over which speed is measured


@dataclass(frozen=True)
class ArrayStatus:
    """One array of an archive.

    Parameters
    ----------
    name : str
        Its path.
    done, blocks : int
        Blocks that are recorded, and all of them.
    values, written_bytes : int
        Of the recorded ones.
    of_bound : float
        The largest error so far over the bound.
    damaged : tuple of str
        Blocks whose files are not of the size that was recorded.
    """

    name: str
    done: int
    blocks: int
    values: int
    written_bytes: int
    of_bound: float
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """An archive.

    Parameters
    ----------
    arrays : tuple of ArrayStatus
    stands : bool
        Whether the destination stands; False while it is being written.
    writers : tuple of str
        Who is writing now.
    mb_per_s, seconds_left : float or None
        In MB of float32, over the last ten minutes; None where nothing was written then.
    """

    arrays: tuple[ArrayStatus, ...]
    stands: bool
    writers: tuple[str, ...] = ()
    mb_per_s: float | None = None
    seconds_left: float | None = None

    @property
    def done(self) -> int:
        """Blocks."""
        return sum(array.done for array in self.arrays)

    @property
    def blocks(self) -> int:
        """All."""
        return sum(array.blocks for array in self.arrays)

    @property
    def damaged(self) -> list[str]:
        """Blocks."""
        return [block for array in self.arrays for block in array.damaged]


def take_status(target: str | Path) -> Status:
    """Look at a destination, and at what is being made for it.

    Parameters
    ----------
    target : path

    Raises
    ------
    RequestError
        If there is neither.
    """
    space = Workspace(Path(target))
    asked = space.read_job()
    if asked is not None:
        return _of_workspace(space, asked)
    records = [record for some in _recorded(space).values() for record in some]
    return Status(_by_array(space.target, records, {}), stands=True)


def _recorded(space: Workspace) -> dict[str, list[Record]]:
    """Records of a finished store, by the paths of its arrays."""
    store = space.target
    if not is_zarr(store):
        begun = ", nor one being written" if space.read_job() is None else " yet: it is being written"
        raise RequestError(f"there is no archive at {store}{begun}")
    names = [str(file.parent.relative_to(store)) for file in sorted(store.rglob(RECORDS))]
    records = {name: list(read_records(store, [name]).values()) for name in names}
    if not any(records.values()):
        raise RequestError(f"{store} keeps no record of its blocks: adiabat did not write it, or long ago")
    return records


def describe_progress(target: Path) -> str | None:
    """What is done of an unfinished archive, in words; None if there is none."""
    asked = Workspace(target).read_job()
    if asked is None:
        return None
    done, total = len(Workspace(target).journal.read()), _totals(asked)
    return f"{done} of {sum(total.values())} blocks are done" if total else f"{done} blocks are done"


def check_store(
    target: str | Path, *, decode: bool = False, progress: Callable[[str, int], None] | None = None
) -> list[str]:
    """Hold a finished store against its checksums and records, and with `decode` see that all of it can be decoded.

    Returns
    -------
    list of str
        What is wrong, a sentence for each file; `adiabat.formats.integrity.check_integrity` tells more.

    Raises
    ------
    RequestError
        If there is no store.
    """
    return check_integrity(target, decode=decode, progress=progress).problems


def _of_workspace(space: Workspace, asked: Any) -> Status:
    records, totals = space.journal.read(), _totals(asked)
    arrays = _by_array(space.store, records.values(), totals)
    status = Status(arrays, stands=False, writers=tuple(space.writers()))
    times = {record: _written_at(space, record) for record in records.values()}
    recent = [record for record, when in times.items() if when > time.time() - RECENT]
    if len(recent) < 2:
        return status
    span = max(times[each] for each in recent) - min(times[each] for each in recent)
    values = sum(record.values for record in recent) - min(record.values for record in recent)
    speed = 4 * values / 1e6 / span if span > 0 else None
    done, mean = sum(record.values for record in records.values()), status.done and status.blocks / status.done
    left = 4 * done * (mean - 1) / 1e6 / speed if speed and totals else None
    return Status(arrays, stands=False, writers=status.writers, mb_per_s=speed, seconds_left=left)


def _written_at(space: Workspace, record: Record) -> float:
    try:
        return (space.journal.folder / f"{record.block}.json").stat().st_mtime
    except OSError:
        return -math.inf


def _totals(asked: Any) -> dict[str, int]:
    """Blocks by array; nothing is known of them while times are appended."""
    return {name: each["blocks"] for name, each in asked.get("arrays", {}).items()}


def _by_array(store: Path, records: Iterable[Record], totals: dict[str, int]) -> tuple[ArrayStatus, ...]:
    some = by_array(records)
    return tuple(_array_status(store, name, some.get(name, []), totals.get(name)) for name in {**totals, **some})


def _array_status(store: Path, name: str, records: Sequence[Record], total: int | None) -> ArrayStatus:
    damaged = tuple(_damaged(store, name, records)) if records else ()
    return ArrayStatus(
        name,
        len(records),
        len(records) if total is None else total,
        sum(record.values for record in records),
        sum(record.written_bytes for record in records),
        achieved(records)["of_bound"] if records else 0.0,
        damaged,
    )


def _damaged(store: Path, name: str, records: Sequence[Record]) -> Iterator[str]:
    try:
        stored = zarr.open_array(store, path=name, mode="r")
    except (OSError, ValueError):
        return
    for record in records:
        sizes = [file.stat().st_size for file in find_files(store, stored, _block(record)) if file.is_file()]
        if sum(sizes) != record.written_bytes:
            yield record.block


def _block(record: Record) -> Block:
    return Block("", record.array, record.start, record.stop)
