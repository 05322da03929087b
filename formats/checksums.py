"""Checksums of what no record covers: metadata, records, coordinates, models. One file of the store has them all.

Stage: archive, at the end; `integrity` reads it. The file is what ``sha256sum`` writes, so that in the store's folder
``sha256sum --check .adiabat/checksums/SHA256SUMS`` reads it too. Spec: `spec/archive.md`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zarr

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.models import STORE_FOLDER
from adiabat.formats.journal import RECORDS, replace_file

__all__ = ["CHECKSUMS", "METADATA", "read_checksums", "sum_file", "summed_files", "update_checksums", "write_checksums"]

NODE = "checksums"
CHECKSUMS = f"{STORE_FOLDER}/{NODE}/SHA256SUMS"
METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata", RECORDS)  # beside chunks
LINE = re.compile(r"([0-9a-f]{64})  ([^\n\\]+)")  # of a name that sha256sum does not escape; others are left out


def write_checksums(store: Path) -> None:
    """Sum every file of a finished store but the chunks that records cover.

    Parameters
    ----------
    store : path

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((1, 37, 72)), "a.zarr", default_bound={"abs": 0.1})
    >>> sorted(read_checksums(Path("a.zarr")))[:3]
    ['README.txt', 'lat/c/0', 'lat/zarr.json']
    """
    if json.loads((store / "zarr.json").read_text()).get("consolidated_metadata") is None:
        # Who reads lists groups, and Zarr warns of what it does not know there: an array's folder is not listed.
        group = zarr.open_group(store, mode="r+", use_consolidated=False).require_group(STORE_FOLDER)
        about: dict[str, Any] = {"about": "Beside this empty array lie checksums of the store's files."}
        group.create_array(NODE, shape=(0,), dtype="u1", dimension_names=("byte",), attributes=about, overwrite=True)
    recorded = {file.parent.relative_to(store).as_posix() for file in store.rglob(RECORDS)}
    _write(store, {name: sum_file(store / name) for name in summed_files(store, recorded)})


def update_checksums(store: Path, files: Iterable[Path]) -> None:
    """Sum files that were added to a store or changed on purpose; nothing where it has no checksums."""
    if (store / CHECKSUMS).is_file():
        _write(store, read_checksums(store) | {f.relative_to(store).as_posix(): sum_file(f) for f in files})


def read_checksums(store: Path) -> dict[str, str]:
    """SHA-256 by a file's path in the store.

    Raises
    ------
    OSError
        If there is no such file.
    CorruptStreamError
        If it is damaged.
    """
    sums: dict[str, str] = {}
    for number, line in enumerate((store / CHECKSUMS).read_bytes().decode(errors="replace").split("\n")[:-1], 1):
        match = LINE.fullmatch(line)
        if match is None or match[2] in sums:
            raise CorruptStreamError(
                f"expected SHA-256, two spaces and a path in line {number} of {CHECKSUMS}, got {line!r}"
            )
        sums[match[2]] = match[1]
    return sums


def summed_files(store: Path, recorded: Iterable[str]) -> Iterator[str]:
    """Paths of the files that checksums are for, in order; `recorded`: arrays whose chunks have records instead."""
    chunked = set(recorded)
    for folder, folders, names in os.walk(store):
        place = Path(folder).relative_to(store)
        folders.sort()
        if place.as_posix() in chunked:
            folders.clear()
            names = [name for name in names if name in METADATA]
        paths = sorted((place / name).as_posix() for name in names)
        yield from (path for path in paths if path != CHECKSUMS and not {"\n", "\\"} & set(path))


def sum_file(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _write(store: Path, sums: dict[str, str]) -> None:
    lines = (f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    replace_file(store / CHECKSUMS, "".join(lines))
