"""What an export is written into: a NetCDF-4 file, or a plain Zarr store; small variables whole, others by blocks.

Stage of `export`, last. Both need nothing but what every reader has: NetCDF is deflated by zlib, which all HDF5 builds
have (zstd in HDF5 is a plug-in), Zarr by zstd behind a byte shuffle (the codec ``blosc``, one of those Zarr specifies).
"""

from __future__ import annotations

import json
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from adiabat.formats.errors import RequestError
from adiabat.formats.journal import file_in_place_of
from adiabat.formats.workspace import in_place_of

__all__ = ["LEVEL", "NetCDFTarget", "Target", "ZarrTarget", "kind_of", "temporary_for"]

LEVEL = 5  # of zlib and zstd
FEW = 256  # values that are not worth compressing
_FILL = "_FillValue"
_OF_DTYPE = (
    "valid_range",
    "valid_min",
    "valid_max",
    "actual_range",
    "flag_values",
    "flag_masks",
    "missing_value",
    _FILL,
)


class Target(ABC):
    """Where an export goes, group by group; a context manager, since files are to be closed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def begin(self, place: str, small: xr.Dataset, large: Mapping[str, xr.Variable], chunks: Mapping[str, Any]) -> None:
        """Make a group: small variables and attributes as they are, and places for the values of large ones."""

    @abstractmethod
    def put(self, place: str, name: str, region: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write a block of a large variable."""

    @abstractmethod
    def annotate(self, place: str, name: str, attributes: Mapping[str, Any]) -> None:
        """Add attributes to a large variable."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file or store."""


class ZarrTarget(Target):
    """A Zarr store of version 3."""

    def begin(self, place: str, small: xr.Dataset, large: Mapping[str, xr.Variable], chunks: Mapping[str, Any]) -> None:
        """See `Target`; xarray writes the metadata, so that they come out as any ``to_zarr`` writes them."""
        shuffled = BloscCodec(cname="zstd", clevel=LEVEL, shuffle="shuffle")
        empty = {name: xr.Variable(v.dims, np.empty((0,) * v.ndim, v.dtype), v.attrs) for name, v in large.items()}
        encoding = {name: {"chunks": chunks[name], "compressors": [shuffled]} for name in large}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Zarr: strings are not in the v3 spec yet
            options: dict[str, Any] = {"group": place or None, "zarr_format": 3, "consolidated": False}
            _plain(small).to_zarr(self.path, mode="a" if self.path.exists() else "w-", **options)
            if large:
                marked = xr.Dataset(empty, attrs=small.attrs)
                marked.to_zarr(self.path, mode="a", encoding=encoding, **options)
        group = self._group(place)
        for name, variable in large.items():
            group[name].resize(variable.shape)  # type: ignore[union-attr]

    def _group(self, place: str) -> zarr.Group:
        return zarr.open_group(self.path, mode="r+", path=place, use_consolidated=False)

    def put(self, place: str, name: str, region: tuple[slice, ...], values: NDArray[Any]) -> None:
        """See `Target`."""
        self._group(place)[name][region or ...] = values  # type: ignore[index]

    def annotate(self, place: str, name: str, attributes: Mapping[str, Any]) -> None:
        """See `Target`."""
        self._group(place)[name].attrs.update(dict(attributes))

    def close(self) -> None:
        """Gather the metadata."""
        if self.path.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Zarr: consolidated metadata is not in the v3 spec yet
                zarr.consolidate_metadata(self.path)


class NetCDFTarget(Target):
    """A NetCDF-4 file, with groups where the archive has them."""

    def __init__(self, path: Path) -> None:
        import netCDF4

        super().__init__(path)
        # One session, and not through xarray: added to groups of a file that xarray writes too, variables end in errors
        # of HDF5 (netCDF-C 4.10.1).
        self._file: Any = netCDF4.Dataset(path, "w", format="NETCDF4")

    def begin(self, place: str, small: xr.Dataset, large: Mapping[str, xr.Variable], chunks: Mapping[str, Any]) -> None:
        """See `Target`."""
        group, plain = self._file.createGroup(place) if place else self._file, _plain(small)
        group.setncatts(netcdf_attributes(plain.attrs, None))
        everything: dict[Any, xr.Variable] = {**dict(plain.variables), **dict(large)}
        for name, variable in everything.items():
            for dim, size in variable.sizes.items():
                if str(dim) not in group.dimensions:
                    group.createDimension(str(dim), size)
            deflated = variable.size > FEW and variable.dtype.kind in "fiub"
            made = self._make(group, str(name), variable, chunks.get(str(name), variable.shape if deflated else None))
            if name in plain.variables:
                made[...] = _netcdf_values(variable.values)

    def _make(self, group: Any, name: str, variable: xr.Variable, chunks: Any) -> Any:
        """A variable without values; deflated if it has chunks."""
        attributes = netcdf_attributes(variable.attrs, variable.dtype)
        if variable.dtype == bool:
            attributes["dtype"] = "bool"  # as xarray writes and reads it
        options = {} if chunks is None else {"compression": "zlib", "complevel": LEVEL, "chunksizes": chunks}
        dtype = _netcdf_dtype(variable.dtype)
        made = group.createVariable(name, dtype, variable.dims, fill_value=attributes.pop(_FILL, None), **options)
        made.set_auto_maskandscale(False)
        made.setncatts(attributes)
        return made

    def _group(self, place: str) -> Any:
        return self._file[place] if place else self._file

    def put(self, place: str, name: str, region: tuple[slice, ...], values: NDArray[Any]) -> None:
        """See `Target`."""
        self._group(place)[name][region or ...] = _netcdf_values(values)

    def annotate(self, place: str, name: str, attributes: Mapping[str, Any]) -> None:
        """See `Target`."""
        self._group(place)[name].setncatts(netcdf_attributes(attributes, None))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _netcdf_dtype(dtype: np.dtype[Any]) -> Any:
    """What NetCDF-4 has of a dtype: no float16, no bool; the values are the same. All texts are strings."""
    if dtype.kind not in "fiub":
        return str
    kept = {np.dtype(np.float16): np.dtype(np.float32), np.dtype(bool): np.dtype(np.int8)}
    return kept.get(dtype, dtype.newbyteorder("="))


def _netcdf_values(values: NDArray[Any]) -> NDArray[Any]:
    """Values of such a dtype."""
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8").astype(object)
    kind = _netcdf_dtype(values.dtype)
    return values.astype(object) if kind is str else values.astype(kind, copy=False)


def netcdf_attributes(attributes: Mapping[Any, Any], dtype: np.dtype[Any] | None) -> dict[str, Any]:
    """Attributes as NetCDF takes them: what it has no type for as JSON, limits and flags in the variable's dtype.

    Examples
    --------
    >>> netcdf_attributes({"a": {"b": 1}, "units": "K", "valid_range": [1, 2], "y": True}, np.dtype("f4"))
    {'a': '{"b": 1}', 'units': 'K', 'valid_range': array([1., 2.], dtype=float32), 'y': 1}
    """
    like = {name: dtype for name in _OF_DTYPE if dtype is not None and dtype.kind in "fiub"}
    return {str(name): _netcdf_attribute(value, like.get(str(name))) for name, value in attributes.items()}


def _netcdf_attribute(value: Any, dtype: np.dtype[Any] | None) -> Any:
    if isinstance(value, list | tuple):
        if value and all(isinstance(each, str) for each in value):
            return list(value)
        if not value or not all(isinstance(each, int | float | np.number) for each in value):
            return json.dumps(value, default=str)
    elif not isinstance(value, int | float | np.generic | np.ndarray):
        return value if isinstance(value, str | bytes) else json.dumps(value, default=str)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.ndim > 1 or not array.size:
        return json.dumps(value, default=str)
    array = array.astype(_netcdf_dtype(array.dtype))
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array if dtype is None else array.astype(_netcdf_dtype(dtype))
    if np.array_equal(cast, array, equal_nan=cast.dtype.kind == "f") or cast.dtype.kind == "f":
        return cast if cast.ndim else cast.item() if dtype is None else cast[()]
    return array  # limits that a variable of integers cannot reach


def _plain(small: xr.Dataset) -> xr.Dataset:
    """Without the encoding of where it comes from; no fill value for floats that had none, nor for dimensions (CF)."""
    out = small.copy()
    for name, variable in out.variables.items():
        variable.encoding = {}
        if variable.dims == (name,):
            variable.attrs.pop(_FILL, None)
        if variable.dtype.kind == "f" and _FILL not in variable.attrs:
            variable.encoding = {_FILL: None}
        elif variable.dtype.kind not in "fiub":
            variable.attrs.pop(_FILL, None)
    return out


def kind_of(path: Path) -> type[Target]:
    """By the suffix; RequestError for one that is unknown, or NetCDF without netCDF4."""
    if path.suffix == ".zarr":
        return ZarrTarget
    if path.suffix in (".nc", ".nc4", ".cdf"):
        if find_spec("netCDF4") is None:
            raise RequestError("NetCDF needs netCDF4: pip install 'adiabat[io]', or name OUT ....zarr")
        return NetCDFTarget
    raise RequestError(f"expected OUT to end in .nc or .zarr, got {path.name}")


@contextmanager
def temporary_for(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A sibling of the target that takes its place if all goes well, and is gone if not; RequestError if it may not."""
    if target.absolute().parent.is_dir() and not os.access(target.absolute().parent, os.W_OK):
        raise RequestError(f"there is no permission to write into {target.absolute().parent}")
    if target.suffix == ".zarr":
        with in_place_of(target, overwrite=overwrite) as temporary:
            yield temporary
        return
    if not target.absolute().parent.is_dir():
        raise RequestError(f"there is no folder {target.absolute().parent} to write into")
    if target.exists() and (not overwrite or target.is_dir()):
        advice = " and is no file" if target.is_dir() else "; --overwrite replaces it"
        raise RequestError(f"{target} exists already{advice}")
    with file_in_place_of(target.absolute()) as temporary:
        yield temporary
