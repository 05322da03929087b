"""Files and stores that lie elsewhere: ``gs://``, ``s3://``, ``https://``, ``memory://`` through fsspec.

Stage: below cf and locate. A Zarr store is read by Zarr itself; a NetCDF-4 file through h5netcdf, which fetches
only what it is asked for. Credentials and the like are fsspec's own configuration, never ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from adiabat.formats.errors import RequestError, first_line

__all__ = ["exists", "expand", "is_store", "is_url", "open_options", "size_of"]

_NEEDS = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "http": "aiohttp requests", "https": "aiohttp requests"}
_NEEDS |= {"abfs": "adlfs", "az": "adlfs"}
_MARKS = ("zarr.json", ".zmetadata", ".zgroup", ".zarray")


def is_url(path: str | Path) -> bool:
    """Tell whether it names something that fsspec reaches.

    Examples
    --------
    >>> is_url("gs://bucket/store.zarr"), is_url("store.zarr")
    (True, False)
    """
    return isinstance(path, str) and "://" in path


def open_options(url: str, group: str | None) -> Mapping[str, Any]:
    """What `xarray.open_dataset` needs for it: ``filename_or_obj``, an engine and a group.

    Raises
    ------
    RequestError
        If it cannot be reached, there is nothing, or it is of a kind that is read from local files only.
    """
    if is_store(url):
        return {"filename_or_obj": url, "engine": "zarr", "chunks": None, "group": group}
    system, path = _system(url)
    if not _ask(url, system.isfile, path):
        raise RequestError(f"there is no Zarr store and no file at {url}")
    file = _ask(url, system.open, path, "rb")
    start = _ask(url, file.read, 8)
    file.seek(0)
    if start != b"\x89HDF\r\n\x1a\n":
        kind = "GRIB" if start[:4] == b"GRIB" else "NetCDF-3" if start[:3] == b"CDF" else "neither NetCDF nor Zarr"
        raise RequestError(f"{url} is {kind}; by URL only Zarr stores and NetCDF-4 files are read: copy it here first")
    return {"filename_or_obj": file, "engine": "h5netcdf", "group": group, **_dimensions()}


def is_store(url: str) -> bool:
    """Tell whether a Zarr group or array stands there."""
    system, path = _system(url)
    return any(_ask(url, system.exists, f"{path.rstrip('/')}/{mark}") for mark in _MARKS)


def exists(url: str) -> bool:
    """Tell whether anything stands there."""
    system, path = _system(url)
    return is_store(url) or bool(_ask(url, system.exists, path))


def expand(pattern: str) -> list[str]:
    """URLs that match a pattern, sorted."""
    system, path = _system(pattern)
    return sorted(system.unstrip_protocol(found) for found in _ask(pattern, system.glob, path))


def size_of(url: str) -> int | None:
    """Bytes of a file; None where that is not known."""
    system, path = _system(url)
    size = _ask(url, system.size, path)
    return None if size is None else int(size)


def _dimensions() -> dict[str, Any]:
    """HDF5 made without netCDF has dimensions without names, which h5netcdf numbers if it is told to."""
    return {"phony_dims": "access"}


def _system(url: str) -> tuple[Any, str]:
    protocol = url.split("://", 1)[0]
    try:
        fsspec = importlib.import_module("fsspec")
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        needed = "fsspec" if "fsspec" in str(error) else _NEEDS.get(protocol, "of this protocol")
        raise RequestError(f"reading {protocol}:// needs the package {needed}: pip install {needed}") from error
    except ValueError as error:
        raise RequestError(f"{url} cannot be read: {str(error).strip()}") from error
    return system, str(path)


def _ask(url: str, question: Any, *words: Any) -> Any:
    """Whatever goes wrong on the way is one sentence: file systems raise errors of their own libraries."""
    try:
        return question(*words)
    except Exception as error:
        raise RequestError(f"{url} cannot be read: {first_line(error)}") from error
