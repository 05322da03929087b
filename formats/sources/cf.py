"""Any NetCDF, GRIB or Zarr that follows (or nearly follows) CF, as an xarray Dataset.

Stage: the entrance of the archive. Coordinates, bounds and integers stay as they lie in the file,
times included (an integer with ``units``), so that they can be written back unchanged. Float data
are masked (``_FillValue`` becomes NaN) and packed data unpacked, because those are what a bound
speaks about.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr
import zarr

from adiabat.formats.errors import RequestError

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
    path : path
        A NetCDF 3 or 4, GRIB 1 or 2 file, or a Zarr store of version 2 or 3.
    group : str, optional
        The group inside a NetCDF 4 file or Zarr store.

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
    path = Path(path)
    options = _open_options(path, group)
    raw = _open(path, options, mask_and_scale=False)
    if not raw.data_vars:
        _refuse_empty(path, group)
    coordinates = _coordinate_names(raw)
    decode = {str(name): name not in coordinates and _is_field(variable) for name, variable in raw.variables.items()}
    raw.close()
    dataset = _open(path, options, mask_and_scale=decode)
    return dataset.set_coords(sorted(coordinates, key=str))


def is_zarr(path: Path) -> bool:
    """Tell whether a Zarr group or array stands at `path`."""
    return any((path / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def file_kind(path: Path) -> str | None:
    """``NetCDF`` or ``GRIB``, by a file's first bytes; None for anything else."""
    with path.open("rb") as file:
        start = file.read(8)
    if start[:3] == b"CDF" or start == b"\x89HDF\r\n\x1a\n":
        return "NetCDF"
    return "GRIB" if start[:4] == b"GRIB" else None


def _open_options(path: Path, group: str | None) -> dict[str, Any]:
    if not path.exists():
        raise RequestError(f"{path} does not exist")
    if is_zarr(path):
        # Group "" would be the root; None is what xarray wants for it.
        return {"chunks": None, "group": group, **_zarr_options(path, group)}
    if path.is_dir():
        raise RequestError(f"{path} is a folder, but not a Zarr store")
    kind = file_kind(path)
    if kind == "GRIB":
        if group is not None:
            raise RequestError("GRIB files have no groups: leave --group out")
        return {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}}
    if kind == "NetCDF":
        return {"engine": "netcdf4", "group": group}
    raise RequestError(f"{path} is neither NetCDF, GRIB nor Zarr, which are what adiabat reads")


def _zarr_options(path: Path, group: str | None) -> dict[str, Any]:
    """Engine of a store; of factors with a residual, what they stand for is the source, holes included."""
    from adiabat.formats.low_rank_layout import MARKER, bounds_of

    metadata = path / (group or "") / "zarr.json"
    if not metadata.is_file() or f'"{MARKER}"' not in metadata.read_text():
        return {"engine": "zarr"}
    bounds = bounds_of(zarr.open_group(path, mode="r", path=group or "", use_consolidated=False))
    return {"engine": "adiabat", "view": "source" if bounds and None not in bounds.values() else None}


def _open(path: Path, options: Mapping[str, Any], *, mask_and_scale: Any) -> xr.Dataset:
    engine = options["engine"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities of other people's files, dealt with here
            return xr.open_dataset(
                path,
                **options,
                mask_and_scale=mask_and_scale,
                decode_times=False,
                decode_coords=False,
            )
    except (ImportError, ValueError) as error:
        module, kind = _NEEDS.get(engine, ("", ""))
        if isinstance(error, ImportError) or "unrecognized engine" in str(error):
            raise RequestError(f"reading {kind} needs the package {module}: pip install 'adiabat[io]'") from error
        raise RequestError(f"{path} cannot be read: {_first_line(error)}") from error
    except (OSError, KeyError, EOFError) as error:
        raise RequestError(f"{path} cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.strip().splitlines()[0]


def _refuse_empty(path: Path, group: str | None) -> None:
    groups = _group_names(path)
    below = [name for name in groups if name.startswith(f"/{group}" if group else "/")]
    if below:
        listed = ", ".join(name.strip("/") for name in below[:12])
        raise RequestError(f"{path} keeps its variables in groups; choose one with --group: {listed}")
    raise RequestError(f"{path} holds no data variables")


def _group_names(path: Path) -> list[str]:
    """List the groups that hold variables of their own."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            groups = xr.open_groups(path, decode_cf=False)
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name, dataset in groups.items() if dataset.data_vars and name != "/"]


def _is_field(variable: xr.Variable) -> bool:
    """Tell whether masking and unpacking applies: floats, and integers that stand for floats."""
    packed = any(key in variable.attrs for key in PACKING)
    return variable.dtype.kind == "f" or (variable.dtype.kind in "iu" and packed)


def _coordinate_names(dataset: xr.Dataset) -> set[Hashable]:
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
