"""NetCDF files through netCDF4: one open handle for each file of a process, whoever reads it.

Stage: below cf, trees, tempo and overpasses. Two handles on one file, of which one is closed, crash the library
(netCDF 4.10.1 with HDF5 2.2.0: after that, opening any file may be a segmentation fault). xarray's file manager
shares a handle among those that ask for it under one name, and opens it again when it was closed. Nor may two threads
be inside the library, which xarray itself heeds when it reads but not when it opens: so `LOCK` is held for both.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xarray.backends import CachingFileManager, NetCDF4DataStore
from xarray.backends.netCDF4_ import NETCDF4_PYTHON_LOCK

from adiabat.formats.errors import RequestError

__all__ = ["LOCK", "find_group", "group_names", "netcdf_file", "netcdf_store"]


class _Reentrant:
    """xarray's own lock of netCDF4, which one thread may take more than once."""

    def __init__(self) -> None:
        self._mine = threading.RLock()
        self._depth = 0

    def acquire(self, blocking: bool = True) -> bool:
        if not self._mine.acquire(blocking):
            return False
        if not self._depth and not NETCDF4_PYTHON_LOCK.acquire(blocking):
            self._mine.release()
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            NETCDF4_PYTHON_LOCK.release()
        self._mine.release()

    def locked(self) -> bool:
        return self._depth > 0

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __reduce__(self) -> str:
        return "LOCK"  # every process has its own


LOCK = _Reentrant()


def netcdf_store(path: str | Path, group: str | None = None) -> Any:
    """What `xarray.open_dataset` opens in place of a path, with `LOCK` held.

    Raises
    ------
    RequestError
        If netCDF4 is missing, or the file or group cannot be opened.
    """
    store: Any = NetCDF4DataStore  # without types
    with netcdf_file(path) as file:
        find_group(path, file, group)
        return store(_manager(path), group=group, mode="r", lock=LOCK)


@contextmanager
def netcdf_file(path: str | Path) -> Iterator[Any]:
    """The open file; nobody else reads meanwhile."""
    manager = _manager(path)
    with LOCK:
        try:
            file = manager.acquire(needs_lock=False)
        except (OSError, RuntimeError) as error:  # damaged HDF5 is either
            raise RequestError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
        try:
            yield file
        except (OSError, RuntimeError) as error:
            raise RequestError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error


def group_names(path: str | Path) -> list[str]:
    """Paths of the groups below the root that hold variables of their own."""
    with netcdf_file(path) as file:
        return [place for place, group in _walk(file, "") if group.variables and place]


def _walk(group: Any, place: str) -> Iterator[tuple[str, Any]]:
    yield place, group
    for name, below in group.groups.items():
        yield from _walk(below, f"{place}/{name}")


def find_group(path: str | Path, file: Any, group: str | None) -> Any:
    """A group of an open file; the file itself for None, an empty name or a slash."""
    try:
        return file[group] if group and group.strip("/") else file
    except (IndexError, KeyError) as error:
        raise RequestError(f"{path} cannot be read: it has no group {group}") from error


def _manager(path: str | Path) -> CachingFileManager[Any]:
    """Shared by all that ask for the same state of the same file."""
    try:
        import netCDF4
    except ImportError as error:
        raise RequestError("reading NetCDF needs the package netCDF4: pip install 'adiabat[io]'") from error
    try:
        state = Path(path).stat()
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from error
    name = f"adiabat {state.st_ino} {state.st_size} {state.st_mtime_ns}"
    # The absolute path: a process may change its folder before it opens the file again.
    return CachingFileManager(netCDF4.Dataset, str(Path(path).absolute()), mode="r", lock=LOCK, manager_id=name)
