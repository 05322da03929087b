"""Overpasses of a satellite as they are published, one after another: pixels with place, quality, time and orbit.

Read are level 2 granules of Sentinel-5P (group PRODUCT, ``qa_value``), files of HARP (``..._validity``), lists of
pixels with ``n_pixels`` for each overpass, and folders of any of these. Stage: before tropomi, which lays them on a
grid. One overpass is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import file_kind

SUFFIXES = (".nc", ".nc4", ".h5")
_NOT_FIELDS = ("latitude", "longitude", "precision", "time", "angle", "bounds", "validity", "qa_value", "uncertainty")
_COMMON = {"column", "number", "density", "slant", "tropospheric", "stratospheric", "vertical", "total", "validity"}
_KEPT = ("units", "long_name", "standard_name", "description")


@dataclass(frozen=True)
class Orbit:
    """Pixels of one overpass.

    Attributes
    ----------
    values : NDArray[np.float32]
        (pixels,) In the unit of `attrs`; NaN where the file has none.
    latitude, longitude : NDArray[np.float64]
        (pixels,) Degrees of the pixels' centres.
    qa : NDArray[np.float32] or None
        (pixels,) Quality, 0 to 1; None where the file has none.
    time : np.datetime64
        The middle of the overpass, or its start where that is all the file has.
    number : int or None
        Of the orbit.
    attrs : dict
        ``units``, ``long_name`` and ``standard_name``, as far as the file has them.
    """

    values: NDArray[np.float32]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    qa: NDArray[np.float32] | None
    time: np.datetime64
    number: int | None
    attrs: dict[str, str]

    def valid(self, threshold: float | None) -> NDArray[np.bool_]:
        """Pixels with a value and, unless there is no threshold, a quality above it."""
        valid = np.isfinite(self.values) & np.isfinite(self.latitude) & np.isfinite(self.longitude)
        if threshold is None or self.qa is None:
            return valid
        # Rounded: 0.75 unpacked as float32 may lie on either side of 0.75.
        return np.asarray(valid & (np.rint(np.nan_to_num(self.qa) * 1e4) > round(threshold * 1e4)))


def is_swath(path: str | Path) -> bool:
    """Tell whether `orbits` can read what stands there: a file of one of the three kinds, or a folder that has one."""
    path = Path(path)
    if path.is_dir():
        return any(is_swath(file) for file in _files(path))
    if not path.is_file() or file_kind(path) != "NetCDF":
        return False
    with _open(path) as file:
        return _kind(file) is not None


def orbits(source: str | Path, variable: str | None = None) -> Iterator[Orbit]:
    """Read a file, or all those of a folder, in order of time.

    Parameters
    ----------
    source : path
    variable : str, optional
        By default the only one there is.

    Raises
    ------
    RequestError
        If there is nothing of the kind, or no or several such variables.
    """
    for one, file in opened(passes_of(Path(source))):
        yield read(file, one, variable)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        import netCDF4
    except ImportError as error:
        raise RequestError("reading NetCDF needs the package netCDF4: pip install 'adiabat[io]'") from error
    try:
        file = netCDF4.Dataset(path)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        yield file
    except (OSError, RuntimeError, KeyError, IndexError) as error:
        raise RequestError(f"{path} cannot be read: {str(error).strip() or type(error).__name__}") from error
    finally:
        file.close()


class Pass(NamedTuple):
    """One overpass: when, in which file, and which of the file's."""

    time: np.datetime64
    path: Path
    place: int


def opened(passes: list[Pass]) -> Iterator[tuple[Pass, Any]]:
    """Each with its file, which stays open while it is the same."""
    for path, some in groupby(passes, lambda one: one.path):
        with _open(path) as file:
            for one in some:
                yield one, file


def passes_of(source: Path) -> list[Pass]:
    """All overpasses in order of time."""
    if not source.exists():
        raise RequestError(f"{source} does not exist")
    paths = _files(source) if source.is_dir() else [source]
    if source.is_file() and file_kind(source) != "NetCDF":
        raise RequestError(f"{source} is not NetCDF, which is what swaths are read from")
    found: list[Pass] = []
    for path in paths:
        with _open(path) as file:
            kind = _kind(file)
            if kind is None and source.is_file():
                raise RequestError(f"{source} is no swath: it has neither a group PRODUCT, nor HARP's Conventions, "
                                   "nor n_pixels of each overpass")  # fmt: skip
            if kind is not None:
                found += [Pass(time, path, place) for place, time in enumerate(_times(file, kind))]
    if not found:
        raise RequestError(f"no swaths were found in {source}")
    return sorted(found)


def _kind(file: Any) -> str | None:
    if "PRODUCT" in file.groups and "latitude" in file["PRODUCT"].variables:
        return "L2"
    if "n_pixels" in file.variables and "latitude" in file.variables:
        return "pixels"
    if str(getattr(file, "Conventions", "")).startswith("HARP") and "latitude" in file.variables:
        return "HARP" if file["latitude"].dimensions == ("time",) else None
    return None


# One overpass


def read(file: Any, one: Pass, variable: str | None, *, values: bool = True) -> Orbit:
    """Read one overpass from its open file; without `values`, only where and when it was."""
    kind = _kind(file)
    group = file["PRODUCT"] if kind == "L2" else file
    name = variable or _only(group, one.path)
    if name not in group.variables:
        raise RequestError(f"{one.path} has no {name}; it has {', '.join(_fields(group)) or 'no such variable'}")
    field, part = group[name], slice(None)
    if field.dimensions != group["latitude"].dimensions:
        raise RequestError(f"{name} in {one.path} is not one value a pixel, but {' x '.join(field.dimensions)}")
    if kind == "pixels":
        ends = np.cumsum(group["n_pixels"][:])
        part = slice(int(ends[one.place - 1]) if one.place else 0, int(ends[one.place]))
    quality = _quality(group, name)
    return Orbit(
        _floats(field, part, np.float32) if values else np.empty(0, np.float32),
        _floats(group["latitude"], part, np.float64),
        _floats(group["longitude"], part, np.float64),
        _share(group[quality], part) if quality and values else None,
        one.time,
        _number(file, one.path, kind, one.place),
        {key: str(field.getncattr(key)) for key in _KEPT if key in field.ncattrs()},
    )


def _floats(variable: Any, part: slice, dtype: type) -> NDArray[Any]:
    """Unpacked, flat, NaN where masked."""
    raw = variable[part] if variable.ndim == 1 else variable[...]
    return np.asarray(np.ma.filled(np.ma.asarray(raw).astype(dtype), np.nan), dtype).ravel()


def _share(variable: Any, part: slice) -> NDArray[np.float32]:
    """Quality as 0 to 1, whichever of that and 0 to 100 the file has."""
    quality = _floats(variable, part, np.float32)
    is_percent = variable.dtype.kind in "iu" and "scale_factor" not in variable.ncattrs()
    return np.asarray(quality / 100 if is_percent or np.nanmax(quality, initial=0) > 1 else quality, np.float32)


def _fields(group: Any) -> list[str]:
    """Float variables with one value a pixel and a quality."""
    shape = group["latitude"].dimensions
    names = [name for name, variable in group.variables.items() if variable.dimensions == shape]
    floats = [name for name in names if group[name].dtype.kind == "f" and not any(n in name for n in _NOT_FIELDS)]
    return [name for name in floats if _quality(group, name)] or floats


def _quality(group: Any, name: str) -> str | None:
    """``qa_value``, or the validity of HARP that shares a species with the variable."""
    if "qa_value" in group.variables:
        return "qa_value"
    words = set(name.split("_")) - _COMMON
    rated = [other for other in group.variables if other.endswith("_validity")]
    return next((other for other in rated if words & (set(other.split("_")) - _COMMON)), None)


def _only(group: Any, path: Path) -> str:
    names = _fields(group)
    plain = [name for name in names if not name.endswith("_corrected")]
    if len(plain) == 1:
        return plain[0]
    if not names:
        raise RequestError(f"{path} has no variable with one value a pixel")
    raise RequestError(f"{path} has several variables; choose one of {', '.join(names)}")


def only_variable(first: Pass) -> str:
    """Name the variable of an overpass where nobody did."""
    with _open(first.path) as file:
        return _only(file["PRODUCT"] if _kind(file) == "L2" else file, first.path)


def _times(file: Any, kind: str | None) -> list[np.datetime64]:
    if kind == "L2":
        group = file["PRODUCT"]
        offset = np.ma.compressed(group["delta_time"][...]) if "delta_time" in group.variables else np.zeros(1)
        middle = np.timedelta64(int(np.median(offset)) if offset.size else 0, "ms")
        return [_dates(group["time"])[0] + middle]
    if kind == "HARP":
        return [_dates(file["datetime_start"], middle=True)[0]]
    return list(_dates(file["overpass_start"]))


def _dates(variable: Any, *, middle: bool = False) -> NDArray[np.datetime64]:
    number = np.ma.compressed(np.ma.masked_invalid(np.atleast_1d(variable[...])))
    if not number.size:
        raise RequestError(f"{variable.name} holds no time")
    units = str(variable.units)
    number = np.median(number)[None] if middle else number
    decoded = xr.coding.times.decode_cf_datetime(number, units)
    return np.asarray(decoded, "datetime64[ns]")


def _number(file: Any, path: Path, kind: str | None, place: int) -> int | None:
    if kind == "pixels" and "orbit" in file.variables:
        return int(file["orbit"][place])
    if "orbit" in file.ncattrs():
        return int(np.ravel(file.orbit)[0])
    # S5P_OFFL_L2__NO2____start_stop_orbit_collection_processor_written
    words = str(getattr(file, "source_product", path.name)).split("_")
    return next((int(word) for word in words if len(word) == 5 and word.isdigit()), None)
