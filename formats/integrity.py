"""A store held against what it says of itself, without the source: every file, every chunk, all that is wrong.

Stage: after the archive. Checksums and records tell whether bytes are those that were written, decoding whether they
can be read; stores that others wrote have neither, and are decoded. Spec: `spec/archive.md`, "Checking".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adiabat.codec.errors import CorruptStreamError
from adiabat.formats.block_check import Written, check_block
from adiabat.formats.blocks import BLOCK_VALUES, Array, Block, find_files
from adiabat.formats.checksums import CHECKSUMS, METADATA, read_checksums, sum_file, summed_files
from adiabat.formats.chunks import blocks
from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.journal import RECORDS, Record
from adiabat.formats.metadata_check import array_paths, check_metadata, open_anyhow
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.workspace import Workspace

__all__ = ["Findings", "check_integrity", "count_values"]

Told = Callable[[str, int], None]


@dataclass
class Findings:
    """What came of a check.

    Parameters
    ----------
    wrong : mapping of str to list of str
        What is wrong, by the file's path in the store, or the array's.
    notes : list of str
        What could not be seen, a sentence each.
    arrays, files : int
        How many were looked at; files of chunks alone.
    """

    wrong: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[str] = field(default_factory=list)
    arrays: int = 0
    files: int = 0

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line for each file."""
        return [f"{key}: {'; '.join(dict.fromkeys(said))}" for key, said in sorted(self.wrong.items())]


def check_integrity(
    target: str | Path, *, decode: bool = True, progress: Callable[[str, int], None] | None = None
) -> Findings:
    """Hold a store against its checksums and records, and with `decode` see that all of it can be decoded.

    Parameters
    ----------
    target : path
        A Zarr group or array, version 2 or 3, in a local folder.
    decode : bool
    progress : callable, optional
        Called with an array's name and how many more of its values are done; may raise to stop.

    Returns
    -------
    Findings

    Raises
    ------
    RequestError
        If there is no store.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((1, 37, 72)), "a.zarr", default_bound={"abs": 0.1})
    >>> _ = Path("a.zarr/lat/c/0").write_bytes(b"0")
    >>> check_integrity("a.zarr", decode=False).problems
    ['lat/c/0: its bytes are not those that were written']
    """
    store, found = _standing(Path(target)), Findings()
    recorded = _check_files(store, found)
    arrays = list(array_paths(store))
    records = {name: _read_records(store, name, found) for name in arrays if name in recorded}
    written = Written(store, records)
    for name in arrays:
        stored, problem = open_anyhow(store, name)
        if problem:
            document = ".zarray" if (store / name / ".zarray").is_file() else "zarr.json"
            found.wrong[f"{name}/{document}".lstrip("/")].append(problem)
        if stored is not None:
            _check_array(name, stored, found, written, decode=decode, told=progress)
    for key, problem in check_metadata(store):
        found.wrong[key].append(problem)
    found.notes += _unseen(store, records, arrays)
    return found


def count_values(target: str | Path) -> int:
    """Values of all arrays that can be opened: what `check_integrity` is told of."""
    store = _standing(Path(target))
    opened = (open_anyhow(store, name)[0] for name in array_paths(store))
    return sum(stored.size for stored in opened if stored is not None)


def _standing(store: Path) -> Path:
    if not is_zarr(store) and not (store / CHECKSUMS).is_file():
        begun = ", nor one being written" if Workspace(store).read_job() is None else " yet: it is being written"
        raise RequestError(f"there is no archive at {store}{begun}")
    return store


def _check_files(store: Path, found: Findings) -> set[str]:
    """Hold files against checksums; the arrays whose chunks have records instead."""
    recorded = {file.parent.relative_to(store).as_posix() for file in store.rglob(RECORDS)}
    try:
        sums = read_checksums(store)
    except FileNotFoundError:
        if any('"files"' in (store / name / RECORDS).read_text(errors="replace") for name in recorded):
            found.wrong[CHECKSUMS].append("is missing, though records say that there were checksums")
        return recorded
    except (CorruptStreamError, OSError) as error:
        found.wrong[CHECKSUMS].append(first_line(error))
        return recorded
    recorded |= {name.removesuffix(RECORDS).rstrip("/") for name in sums if name.endswith(f"/{RECORDS}")}
    there = dict.fromkeys(summed_files(store, recorded))
    for name, expected in sums.items():
        if name not in there:
            found.wrong[name].append("is missing")
        elif sum_file(store / name) != expected:
            found.wrong[name].append("its bytes are not those that were written")
    for name in there:
        if name not in sums:
            found.wrong[name].append("is no file that was written")
    return recorded


def _read_records(store: Path, name: str, found: Findings) -> list[Record]:
    """Records of an array, but for damaged lines."""
    key, records = f"{name}/{RECORDS}", []
    try:
        lines = (store / key).read_bytes().decode(errors="replace").splitlines()
    except OSError as error:
        found.wrong[key].append(f"cannot be read: {error.strerror}")
        return []
    for number, line in enumerate(lines, 1):
        try:
            record = Record.from_json(line)
            if record.array != name:
                raise ValueError(f"it is of {record.array}")
            records.append(record)
        except (ValueError, TypeError, KeyError) as error:
            found.wrong[key].append(f"line {number} is no record of {name}: {first_line(error)}")
    return records


def _check_array(
    name: str, stored: Array, found: Findings, written: Written, *, decode: bool, told: Told | None
) -> None:
    """Every block of an array, then whether there are files of none."""
    records = written.records.get(name)
    found.arrays += 1
    there, done = 0, 0
    for block, record in _blocks(name, stored, records, found):
        there += sum(file.is_file() for file in find_files(written.store, stored, block))
        for key, problem in check_block(stored, block, record, written, decode=decode):
            found.wrong[key].append(problem)
        done += block.values
        if told is not None:
            told(name, block.values)
    found.files += there
    if done < stored.size:
        found.wrong[f"{name}/{RECORDS}"].append(f"has records of {done} of {stored.size} values")
        for block, _ in _blocks(name, stored, None, found):  # all of it once more: nothing tells what the others are
            for key, problem in check_block(stored, block, None, written, decode=decode):
                if not any(problem in said for said in found.wrong[key]):
                    found.wrong[key].append(problem)
    _check_strays(written.store, name, stored, there if done == stored.size else -1, found)


def _blocks(
    name: str, stored: Array, records: Sequence[Record] | None, found: Findings
) -> Iterator[tuple[Block, Record | None]]:
    """Blocks with their records, which fit the array; without records, regions of it."""
    if records is None:
        whole = stored.shards or stored.chunks
        for region in blocks(stored.shape, whole, at_once=max(1, BLOCK_VALUES // max(1, math.prod(whole)))):
            yield Block("", name, tuple(r.start for r in region), tuple(r.stop for r in region)), None
        return
    seen = set()
    for record in records:
        block = Block("", name, record.start, record.stop)
        inside = len(record.stop) == stored.ndim and all(
            0 <= a <= b <= n for a, b, n in zip(record.start, record.stop, stored.shape, strict=True)
        )
        if not inside or record.block in seen or record.values != block.values:
            found.wrong[f"{name}/{RECORDS}"].append(f"has a record of {record.block} that does not fit the array")
            continue
        seen.add(record.block)
        yield block, record


def _check_strays(store: Path, name: str, stored: Array, expected: int, found: Findings) -> None:
    """Find files in an array's folder that are no chunks of it."""
    folder = store / name
    files = [file for file in folder.rglob("*") if file.is_file() and file.name not in METADATA]
    if len(files) == expected:
        return
    whole = stored.shards or stored.chunks
    known = set(find_files(store, stored, Block("", name, (0,) * stored.ndim, stored.shape)))
    for file in files:
        if file not in known:
            of = " x ".join(str(-(-n // size)) for n, size in zip(stored.shape, whole, strict=True)) or "one"
            found.wrong[file.relative_to(store).as_posix()].append(f"is no file of this array, which has {of} of them")


def _unseen(store: Path, records: Mapping[str, Sequence[Record]], arrays: Sequence[str]) -> Iterator[str]:
    """What this store gives no means to see, and what lies beside it."""
    bare = [name for name in arrays if name not in records]
    if not (store / CHECKSUMS).is_file() and bare:
        which = "all arrays have" if len(bare) == len(arrays) else f"{', '.join(bare)} have"
        yield (
            f"{which} no record of what was written: files that are missing or have changed places, and changed bytes "
            "that still decode, cannot be seen there"
        )
    space = Workspace(store)
    if space.folder.exists():
        who = ", ".join(space.writers())
        doing = f"is written to by {who}" if who else "is of a run that did not finish"
        yield f"{space.folder} {doing}; what is checked is what stands"
