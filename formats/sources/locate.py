"""What a user gives -> files, stores and URLs: patterns and folders are expanded, in order of their names.

Stage: the first of find_source. Nothing is opened here; of a folder's files, the first bytes are read.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from adiabat.formats.errors import RequestError
from adiabat.formats.sources import urls
from adiabat.formats.sources.cf import file_kind, is_zarr

__all__ = ["locate"]

_GRIB = tuple(f".{name}{edition}" for name in ("grib", "grb") for edition in ("", 1, 2))
SUFFIXES = (".nc", ".nc3", ".nc4", ".netcdf", ".cdf", ".h5", ".hdf5", ".he5", *_GRIB)
ARCHIVE = '"adiabat_request"'  # an attribute of the root of what adiabat compress writes
UNFINISHED = ".partial"  # beside its destination
_MOST_NAMED = 5


def locate(given: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """Expand what was given.

    Parameters
    ----------
    given : sequence of path or str
        Files, Zarr stores, folders (searched to the bottom), patterns such as ``era5/**/t_*.nc``, and URLs.

    Returns
    -------
    paths : list of str
        Each once, in the order given; those of a folder or a pattern sorted by name.
    notes : list of str
        Sentences on what was passed over.

    Raises
    ------
    RequestError
        If something is not there, nothing matches a pattern, a folder holds no data, or may not be read.
    """
    if not given:
        raise RequestError("expected at least one file, folder, pattern or URL, got none")
    paths: dict[str, None] = {}
    notes: list[str] = []
    for each in given:
        paths.update(dict.fromkeys(_expand(each, notes)))
    return list(paths), notes


def _expand(given: str | Path, notes: list[str]) -> list[str]:
    if urls.is_url(given):
        found = urls.expand(str(given)) if glob.has_magic(str(given)) else [str(given)]
        if not found:
            raise RequestError(f"nothing matches {given}")
        return found
    path = Path(given)
    try:
        there = path.exists()
    except PermissionError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from error
    if there:
        return _in_folder(path, notes) if path.is_dir() and not is_zarr(path) else [str(path)]
    if not glob.has_magic(str(given)):
        raise RequestError(f"{path} does not exist")
    matches = [Path(match) for match in sorted(glob.glob(str(given), recursive=True))]
    matches = [match for match in matches if (match.is_file() or is_zarr(match)) and not _is_unfinished(match)]
    stores = {match for match in matches if match.is_dir()}
    found = [str(match) for match in matches if not stores & set(match.parents)]  # of a store's own files, none
    if not found:
        raise RequestError(f"nothing matches {given}")
    return found


def _in_folder(folder: Path, notes: list[str]) -> list[str]:
    found, others, ours = [], [], []
    for path in _walk(folder):
        if path.is_dir() and _is_ours(path):
            ours.append(str(path))
        elif path.is_dir() or path.suffix.lower() in SUFFIXES or _is_data(path):
            found.append(str(path))
        else:
            others.append(str(path.relative_to(folder)))
    if ours and found:  # where it is written beside its source, an archive is no part of it
        notes.append(f"stores that adiabat has written are left out: {', '.join(ours)}")
    found = found or ours
    if not found:
        raise RequestError(f"{folder} is a folder without any NetCDF, GRIB or Zarr")
    if others:
        some = ", ".join(others[:_MOST_NAMED]) + (", ..." if len(others) > _MOST_NAMED else "")
        notes.append(f"{len(others)} of the files in {folder} are no data and are left out: {some}")
    return found


def _is_ours(store: Path) -> bool:
    """Whether a store is an archive, by what its root says."""
    metadata = store / "zarr.json"
    return metadata.is_file() and ARCHIVE in metadata.read_text(errors="replace")


def _is_unfinished(path: Path) -> bool:
    """Whether this is, or lies in, what a run has not finished."""
    return any(each.name.endswith(UNFINISHED) for each in (path, *path.parents))


def _is_data(path: Path) -> bool:
    try:
        return file_kind(path) is not None
    except RequestError:  # what may not be read and is not called data is none
        return False


def _walk(folder: Path) -> Iterator[Path]:
    """Files and stores, hidden ones apart, sorted."""

    def refuse(error: OSError) -> None:
        raise RequestError(f"{error.filename} cannot be read: {error.strerror}") from error

    seen: set[str] = set()
    for above, below, names in os.walk(folder, onerror=refuse, followlinks=True):
        here, real = Path(above), os.path.realpath(above)
        if real in seen:  # links may go round in circles
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith(".") and not name.endswith(UNFINISHED))
        stores = [name for name in below if is_zarr(here / name)]
        below[:] = [name for name in below if name not in stores]
        yield from (here / name for name in sorted([*stores, *names]) if not name.startswith("."))
