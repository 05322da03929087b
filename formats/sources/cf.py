"""Any NetCDF, GRIB or Zarr that follows (or nearly follows) CF, as an xarray Dataset.

Stage: the entrance of the archive. Coordinates, bounds and integers stay as they lie in the file,
times included (an integer with ``units``), so that they can be written back unchanged. Float data
are masked (``_FillValue`` becomes NaN) and packed data unpacked, because those are what a bound
speaks about.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.sources.grib import grib_options, open_grib
from adiabat.formats.sources.netcdf import LOCK, find_group, group_names, netcdf_file, netcdf_store
from adiabat.formats.sources.urls import is_url, open_options

PACKING = ("scale_factor", "add_offset")
_STANDARD_NAMES = (
    "latitude",
    "longitude",
    "time",
    "projection_x_coordinate",
    "projection_y_coordinate",
    "forecast_reference_time",
    "forecast_period",
)
_PLAIN_NAMES = ("latitude", "longitude", "lat", "lon", "xlat", "xlong", "nav_lat", "nav_lon")
_LISTING = ("coordinates", "bounds", "climatology", "grid_mapping", "formula_terms", "cell_measures")
_NEEDS = {
    "netcdf4": ("netCDF4", "NetCDF"),
    "h5netcdf": ("h5netcdf", "NetCDF"),
    "cfgrib": ("cfgrib", "GRIB"),
}


def open_source(path: str | Path, *, group: str | None = None) -> xr.Dataset:
    """Open a file or Zarr store lazily, ready to be archived.

    Parameters
    ----------
    path : path or str
        A NetCDF 3 or 4, GRIB 1 or 2 file, a Zarr store of version 2 or 3, or the URL of a NetCDF 4 file or a store.
    group : str, optional
        The group inside a NetCDF 4 file or Zarr store; of GRIB, messages to keep: ``typeOfLevel=surface,number=0``.

    Returns
    -------
    xarray.Dataset
        Lazily loaded. Its ``coords`` are all that must never be lossy: dimension coordinates,
        everything CF attributes refer to, and everything that by its standard name or units is a
        place or a time.

    Raises
    ------
    RequestError
        If there is nothing there, it is of another kind, or its variables lie in groups.
    """
    return open_group(path, group, refuse_empty=True)


def open_group(path: str | Path, group: str | None = None, *, refuse_empty: bool = False) -> xr.Dataset:
    """Open as `open_source` does; a group that holds coordinates alone, or nothing, only if it need not be refused."""
    path = str(path) if is_url(path) else Path(path)
    options = _open_options(path, group)
    raw = _open(path, options, mask_and_scale=False)
    if refuse_empty and not raw.data_vars:
        _refuse_empty(path, group)
    coordinates = coordinate_names(raw)
    if options.get("engine") == "cfgrib":  # has masked and unpacked already, and opens slowly
        return raw.set_coords(sorted(coordinates, key=str))
    decode = decoded_names(raw, coordinates)
    dataset = _open(path, options, mask_and_scale=decode)
    if "engine" in options:
        raw.close()  # of NetCDF, both have one handle
    for variable in dataset.variables.values():
        _name_flags(variable)
    return dataset.set_coords(sorted(coordinates, key=str))


def open_raw(path: str | Path, group: str | None = None) -> xr.Dataset:
    """Open without masking and unpacking, to look at attributes."""
    path = str(path) if is_url(path) else Path(path)
    return _open(path, _open_options(path, group), mask_and_scale=False)


def decoded_names(raw: xr.Dataset, coordinates: Collection[Hashable]) -> dict[str, bool]:
    """Which variables are masked and unpacked: what a bound may speak about, never coordinates."""
    return {str(name): name not in coordinates and is_field(variable) for name, variable in raw.variables.items()}


def _name_flags(variable: xr.Variable) -> None:
    """Numbers that a type of the file has names for keep them as CF's flags."""
    metadata = getattr(variable.encoding.get("dtype"), "metadata", None) or {}
    names = metadata.get("enum")
    if names and "flag_meanings" not in variable.attrs:
        variable.attrs["flag_values"] = np.asarray(list(names.values()), variable.dtype)
        variable.attrs["flag_meanings"] = " ".join(name.replace(" ", "_") for name in names)


def unwritable(path: str | Path, group: str | None = None) -> list[str]:
    """Variables of a NetCDF file, or of a group of it, that are of kinds Zarr has nothing for: compound, or ragged."""
    with netcdf_file(path) as file:
        place = find_group(path, file, group)
        return [name for name, variable in place.variables.items() if not _is_plain(variable)]


def _is_plain(variable: Any) -> bool:
    """Numbers, text, or names for numbers; compound and ragged types are none of these."""
    return (
        variable.dtype is str
        or isinstance(variable.datatype, np.dtype)
        or type(variable.datatype).__name__ == "EnumType"
    )


def is_zarr(path: Path) -> bool:
    """Tell whether a Zarr group or array stands at `path`."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def file_kind(path: Path) -> str | None:
    """``NetCDF`` or ``GRIB``, by a file's first bytes; None for anything else."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror or error}") from error
    if start[:3] == b"CDF" or start == b"\x89HDF\r\n\x1a\n":
        return "NetCDF"
    return "GRIB" if start[:4] == b"GRIB" else None


def _open_options(path: str | Path, group: str | None) -> dict[str, Any]:
    if isinstance(path, str):
        return dict(open_options(path, group))
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if is_zarr(path):
        # Group "" would be the root; None is what xarray wants for it.
        return {"filename_or_obj": path, "chunks": None, "group": group, **_zarr_options(path, group)}
    if path.is_dir():
        raise RequestError(f"{path} is a folder, but not a Zarr store")
    kind = file_kind(path)
    if kind == "GRIB":
        return {"filename_or_obj": path, "engine": "cfgrib", "backend_kwargs": grib_options(group)}
    if kind == "NetCDF":
        left_out = {"drop_variables": names} if (names := sorted(unwritable(path, group))) else {}
        return {"filename_or_obj": netcdf_store(path, group), **left_out}
    raise RequestError(f"{path} is neither NetCDF, GRIB nor Zarr, which are what adiabat reads")


def holds_factors(path: Path, group: str | None = None) -> bool:
    """Tell whether a store, or a group of it, is one of low-rank factors."""
    from adiabat.formats.low_rank_layout import MARKER

    metadata = path / (group or "") / "zarr.json"
    return metadata.is_file() and f'"{MARKER}"' in metadata.read_text()


def _zarr_options(path: Path, group: str | None) -> dict[str, Any]:
    """Engine of a store; of factors with a residual, what they stand for is the source, holes included."""
    from adiabat.formats.low_rank_layout import bounds_of

    if not holds_factors(path, group):
        return {"engine": "zarr"}
    bounds = bounds_of(zarr.open_group(path, mode="r", path=group or "", use_consolidated=False))
    return {"engine": "adiabat", "view": "source" if bounds and None not in bounds.values() else None}


def _open(path: str | Path, options: Mapping[str, Any], *, mask_and_scale: Any) -> xr.Dataset:
    engine = options.get("engine", "netcdf4")
    how = {"mask_and_scale": mask_and_scale, "decode_times": False, "decode_coords": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of other people's files, dealt with here
            if engine == "cfgrib":
                return open_grib(options, how)
            with LOCK if engine == "netcdf4" else nullcontext():
                return xr.open_dataset(**options, **how)
    except RequestError:
        raise
    except (ImportError, ValueError) as error:
        module, kind = _NEEDS.get(engine, ("", ""))
        if isinstance(error, ImportError) or "unrecognized engine" in str(error):
            raise RequestError(f"reading {kind} needs the package {module}: pip install 'adiabat[io]'") from error
        raise RequestError(f"{path} cannot be read: {first_line(error)}") from error
    except (OSError, KeyError, EOFError, RuntimeError) as error:
        raise RequestError(f"{path} cannot be read: {first_line(error)}") from error


def _refuse_empty(path: str | Path, group: str | None) -> None:
    groups = _group_names(path)
    below = [name for name in groups if name.startswith(f"/{group}" if group else "/")]
    if below:
        listed = ", ".join(name.strip("/") for name in below[:12])
        raise RequestError(f"{path} keeps its variables in groups; choose one with --group: {listed}")
    raise RequestError(f"{path} holds no data variables")


def _group_names(path: str | Path) -> list[str]:
    """List the groups that hold variables of their own."""
    if isinstance(path, Path) and not is_zarr(path):
        return group_names(path) if file_kind(path) == "NetCDF" else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            groups = xr.open_groups(path, engine="zarr", decode_cf=False)
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name, dataset in groups.items() if dataset.data_vars and name != "/"]


def is_field(variable: xr.Variable) -> bool:
    """Tell whether masking and unpacking applies: floats, and integers that stand for floats."""
    packed = any(key in variable.attrs for key in PACKING)
    return variable.dtype.kind == "f" or (variable.dtype.kind in "iu" and packed)


def coordinate_names(dataset: xr.Dataset) -> set[Hashable]:
    """Everything that says where and when, whichever way the file says so."""
    names: set[Hashable] = {name for name in dataset.variables if name in dataset.dims}
    for name, variable in dataset.variables.items():
        if str(name).lower() in _PLAIN_NAMES or _says_where_or_when(variable):
            names.add(name)
        for key in _LISTING:
            words = str(variable.attrs.get(key, "")).replace(":", " ").split()
            names.update(word for word in words if word in dataset.variables)
    names.update(word for word in str(dataset.attrs.get("coordinates", "")).split() if word in dataset.variables)
    names |= {
        name
        for name in dataset.variables
        if str(name).endswith(("_bnds", "_bounds", "_bnd")) and dataset[name].ndim > 0
    }
    return names


def _says_where_or_when(variable: xr.Variable) -> bool:
    units = str(variable.attrs.get("units", "")).lower()
    standard_name = str(variable.attrs.get("standard_name", "")).lower()
    axis = str(variable.attrs.get("axis", "")).upper()
    return (
        axis in ("X", "Y", "Z", "T")
        or standard_name in _STANDARD_NAMES
        or units.startswith(("degrees_n", "degree_n", "degrees_e", "degree_e"))
        or " since " in units
    )
