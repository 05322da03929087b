"""One block of a store, checked: are its files those that were written, and can they be decoded; if not, which not.

Stage: under `integrity`. Spec: `spec/archive.md`, "Checking".
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zarr

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import ModelMismatchError, ModelNotFoundError
from adiabat.codec.stream import MAGIC, Stream
from adiabat.formats.blocks import ABSENT, MARK, Array, Block, find_files, mark_files, read_digest
from adiabat.formats.errors import first_line
from adiabat.formats.journal import RECORDS, Record

__all__ = ["Written", "check_block"]

CHANGED = "its bytes are not those that were written"
Problem = tuple[str, str]
"""The path of a file in the store, and what is wrong with it."""


@dataclass(frozen=True)
class Written:
    """What a store says was written.

    Parameters
    ----------
    store : path
    records : mapping of str to sequence of Record
        By the paths of arrays.
    missing : set
        Models that were found to be missing, so that this is said once for each array.
    """

    store: Path
    records: Mapping[str, Sequence[Record]]
    missing: set[tuple[str, str]] = field(default_factory=set)

    def key(self, file: Path) -> str:
        """A file's path in the store."""
        return file.relative_to(self.store).as_posix()

    def find(self, file: Path) -> str | None:
        """What file was written with these bytes."""
        return self._files.get(mark_files([file]))

    @cached_property
    def _files(self) -> dict[str, str]:
        """Files by their marks; made when the first damage is found, since a store may have millions."""
        files: dict[str, str] = {}
        for name, records in self.records.items():
            try:
                stored = zarr.open_array(self.store, path=name, mode="r")
            except (OSError, ValueError):
                continue
            for record in records:
                paths = find_files(self.store, stored, Block("", name, record.start, record.stop))
                pairs = zip(_marks(record, len(paths)) or (), paths, strict=False)
                files.update((mark, self.key(path)) for mark, path in pairs)
        files.pop(ABSENT, None)
        return files


def check_block(stored: Array, block: Block, record: Record | None, written: Written, *, decode: bool) -> list[Problem]:
    """Say what is wrong with the files of a block; nothing if all is well.

    Parameters
    ----------
    stored : zarr.Array
    block : Block
    record : Record, optional
        Without one, files are decoded alone.
    written : Written
    decode : bool
        Whether files whose bytes are right are decoded, too, and others for what they hold.
    """
    files = find_files(written.store, stored, block)
    if record is None or read_digest(files) == (record.written_bytes, record.digest):
        return list(_undecodable(stored, block, files, written)) if decode else []
    broken: dict[str, list[str]] = {}
    if decode:
        for key, reason in _undecodable(stored, block, files, written):
            broken.setdefault(key, []).append(reason)
    marks = _marks(record, len(files))
    if marks is None:  # a record of several files that does not tell them apart
        found = dict.fromkeys(broken, CHANGED) or {block.key: _unnamed(files, written, decode=decode)}
    else:
        pairs = [(file, mark) for file, mark in zip(files, marks, strict=True) if mark_files([file]) != mark]
        size = record.written_bytes if len(files) == 1 else None
        found = {written.key(file): _describe(file, mark, size, written) for file, mark in pairs}
        found = found or {f"{block.array}/{RECORDS}": f"the record of {block.key} is not of its files"}
    return [(key, "; ".join([said, *broken.pop(key, ())])) for key, said in found.items()] + [
        (key, reason) for key, reasons in broken.items() for reason in reasons
    ]


def _marks(record: Record, count: int) -> list[str] | None:
    """What tells each of the files; None where the record does not."""
    text = record.files or (record.digest[:MARK] if record.written_bytes else ABSENT) * (count == 1)
    marks = [text[at : at + MARK] for at in range(0, len(text), MARK)]
    return marks if len(marks) == count else None


def _unnamed(files: Sequence[Path], written: Written, *, decode: bool) -> str:
    """Say that something is wrong in a block, nobody knows where."""
    missing = [written.key(file) for file in files if not file.is_file()]
    there = f"; there is no {', '.join(missing)}" if missing else ""
    though = ", though all of them decode: some may have changed places" if decode and not missing else ""
    return f"the bytes of its {len(files)} files are not those that were written{though}{there}"


def _describe(file: Path, mark: str, size: int | None, written: Written) -> str:
    """What is wrong with a file that was written as `mark` says, of `size` bytes where that is known."""
    if not file.is_file():
        return "is missing"
    if mark == ABSENT:
        return "is no file that was written"
    other = written.find(file)
    if other is not None:
        return f"holds what was written as {other}"
    got = file.stat().st_size
    if size is not None and got < size:
        return f"is cut short: it has {got} bytes of {size}"
    return CHANGED


def _undecodable(stored: Array, block: Block, files: Sequence[Path], written: Written) -> Iterator[Problem]:
    """Files of a block that cannot be decoded, and why; once for each array if that is for want of a model."""
    error = _error_of(stored, block.region)
    if error is None:
        yield from _misfits(stored, files, written)
        return
    if isinstance(error, ModelNotFoundError | ModelMismatchError):
        said = f"cannot be decoded, as may be others of {block.array}: {_reason(error)}"
        if (block.array, _reason(error)) not in written.missing:
            written.missing.add((block.array, _reason(error)))
            yield written.key(next((file for file in files if file.is_file()), files[0])), said
        return
    for file, region in zip(files, _regions(stored, block), strict=True):
        for reason in _reasons(stored, region):
            yield written.key(file), reason


def _misfits(stored: Array, files: Sequence[Path], written: Written) -> Iterator[Problem]:
    """Streams of another dtype or shape, which Zarr v2 reads as if they were the array's; v3 refuses them."""
    if stored.metadata.zarr_format == 3 or stored.filters:
        return
    for file in files:
        data = file.read_bytes() if file.is_file() else b""
        if data.startswith(MAGIC):
            stream = Stream.read(data)
            if (stream.dtype.itemsize, stream.shape) != (stored.dtype.itemsize, stored.chunks):
                said = f"holds {stream.dtype} of shape {stream.shape}, but the Zarr metadata say"
                yield written.key(file), f"{said} {stored.dtype} of shape {stored.chunks}"


def _regions(stored: Array, block: Block) -> Iterator[tuple[slice, ...]]:
    """What each file of a block holds, in the order of `find_files`."""
    whole = stored.shards or stored.chunks
    spans = [
        [slice(i * n, min((i + 1) * n, length)) for i in range(a // n, -(-b // n))]
        for a, b, n, length in zip(block.start, block.stop, whole, stored.shape, strict=True)
    ]
    yield from itertools.product(*spans)


def _reasons(stored: Array, region: tuple[slice, ...]) -> list[str]:
    """Why a file cannot be decoded; of a shard, for each of its chunks, unless it is the same for all."""
    if stored.shards is None:
        error = _error_of(stored, region)
        return [] if error is None else [f"cannot be decoded: {_reason(error)}"]
    inner = [range(r.start, r.stop, n) for r, n in zip(region, stored.chunks, strict=True)]
    found: dict[tuple[int, ...], str] = {}
    count = 0
    for corner in itertools.product(*inner):
        part = tuple(slice(a, min(a + n, r.stop)) for a, n, r in zip(corner, stored.chunks, region, strict=True))
        error = _error_of(stored, part)
        count += 1
        if error is not None:
            place = tuple((a - r.start) // n for a, n, r in zip(corner, stored.chunks, region, strict=True))
            found[place] = _reason(error)
    if len(found) == count > 1 and len(set(found.values())) == 1:
        return [f"cannot be decoded: {next(iter(found.values()))}"]
    return [f"chunk {place} of the shard cannot be decoded: {reason}" for place, reason in found.items()]


def _error_of(stored: Array, region: tuple[slice, ...]) -> Exception | None:
    """What reading a region raises."""
    try:
        np.asarray(stored[region or ...])
    except Exception as error:  # whatever codecs of others make of damaged bytes
        return error
    return None


def _reason(error: BaseException) -> str:
    """What an error says, without the place that the codec put before it."""
    cause = error.__cause__
    return first_line(cause if type(cause) is type(error) and str(error).endswith(str(cause)) else error)
