"""What is done of an archive: a record for each block, written last and whole, so that a killed run goes on.

Stage: beside the engine. Records are JSON files in a folder while the work goes on, and lines of one file in the
store when it is finished. They hold nothing of time or place: the same source and options give the same records.
Spec: `spec/archive.md`.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

__all__ = [
    "RECORDS",
    "Journal",
    "Record",
    "by_array",
    "digest_of",
    "file_in_place_of",
    "read_records",
    "replace_file",
    "write_records",
]

RECORDS = "blocks.jsonl"


@dataclass(frozen=True)
class Record:
    """One block that was written, read back and found within its bound.

    Parameters
    ----------
    block : str
        Array and first index along each axis, such as ``t2m/24.0.0``.
    stop : tuple of int
        Where it ends along each axis.
    written_bytes : int
        Of its files; 0 where every value is the fill value, which Zarr does not write.
    digest : str
        Of the files' bytes: BLAKE2b of 8 bytes, in hexadecimal.
    values, compared : int
        All of them, and those that are finite.
    max_error, used : float
        The largest error, in units of the variable, its magnitude or its noise as the bound has it; and over the bound.
    sum_of_errors, sum_of_squares, sum_of_magnitudes : float
        Of absolute errors, and of the source's magnitudes, in float64.
    files : str
        What tells its files apart, `mark_files` of them; empty in records of adiabat up to 0.8.0.
    """

    block: str
    stop: tuple[int, ...]
    written_bytes: int
    digest: str
    values: int
    compared: int
    max_error: float
    used: float
    sum_of_errors: float
    sum_of_squares: float
    sum_of_magnitudes: float
    files: str = ""

    @property
    def array(self) -> str:
        """The path of its array in the store."""
        return self.block.rpartition("/")[0]

    @property
    def start(self) -> tuple[int, ...]:
        """Its first index along each axis."""
        return tuple(int(each) for each in self.block.rpartition("/")[2].split(".") if each)

    def to_json(self) -> str:
        """One line."""
        return json.dumps({key: value for key, value in asdict(self).items() if key != "files" or value})

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Undo `to_json`; ValueError, TypeError or KeyError where it is none."""
        try:
            fields = json.loads(line)
        except RecursionError:
            raise ValueError("expected the record of a block, got deeply nested JSON") from None
        record = cls(**{**fields, "stop": tuple(fields["stop"])})
        record._check()
        return record

    def _check(self) -> None:
        counts = (*self.stop, self.written_bytes, self.values, self.compared)
        words = (self.block, self.digest, self.files)
        good = all(isinstance(word, str) for word in words) and all(type(count) is int for count in counts)
        if not good or min(counts) < 0 or len(self.start) != len(self.stop):
            raise ValueError(f"expected the record of a block, got {self}")
        if not all(type(each) in (int, float) for each in (*self._errors(), self.used)):
            raise ValueError(f"expected numbers in the record of {self.block}, got {self._errors()}")

    def _errors(self) -> tuple[float, ...]:
        return self.max_error, self.sum_of_errors, self.sum_of_squares, self.sum_of_magnitudes


class OfArray(Protocol):
    """A block, or the record of one."""

    @property
    def array(self) -> str:
        """The path of its array in the store."""


Item = TypeVar("Item", bound=OfArray)


@dataclass(frozen=True)
class Journal:
    """Records of an archive that is being written.

    Parameters
    ----------
    folder : path
    """

    folder: Path

    def keep(self, record: Record) -> None:
        """Add one record: it is there whole, or not at all."""
        replace_file(self.folder / f"{record.block}.json", record.to_json())

    def read(self) -> dict[str, Record]:
        """All records, by block; what is none counts as not written."""
        records = {}
        for file in sorted(self.folder.rglob("*.json")):
            try:
                record = Record.from_json(file.read_text())
            except (ValueError, TypeError, KeyError):
                continue
            if file == self.folder / f"{record.block}.json":
                records[record.block] = record
        return records

    def forget(self, record: Record) -> None:
        """Take one record back."""
        (self.folder / f"{record.block}.json").unlink(missing_ok=True)


def read_records(store: Path, arrays: Iterable[str]) -> dict[str, Record]:
    """Records that a finished store keeps in the folders of its arrays; none where adiabat did not write them."""
    records: dict[str, Record] = {}
    for array in arrays:
        try:
            lines = (store / array / RECORDS).read_text().splitlines()
            records |= {record.block: record for record in map(Record.from_json, lines)}
        except (OSError, ValueError, TypeError, KeyError):
            continue
    return records


def write_records(store: Path, records: Iterable[Record]) -> None:
    """Keep records in a finished store, in the order of blocks: those of an array replace all that it had."""
    ordered = sorted(records, key=lambda record: (record.array, record.start))
    for array, some in by_array(ordered).items():
        replace_file(store / array / RECORDS, "".join(f"{record.to_json()}\n" for record in some))


def by_array(items: Iterable[Item]) -> dict[str, list[Item]]:
    """Blocks or records of each array, in the order in which they come."""
    some: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        some[item.array].append(item)
    return dict(some)


def digest_of(asked: Mapping[str, Any]) -> str:
    """A short name of what JSON can say."""
    return hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=8).hexdigest()


@contextmanager
def file_in_place_of(path: Path) -> Iterator[Path]:
    """Give a temporary sibling that becomes the file `path` if the block succeeds, and is gone if not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.writing")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file under another name, see it on the disk, and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_in_place_of(path) as temporary, temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
