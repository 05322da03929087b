"""GRIB through cfgrib: one cube, or several merged into one dataset where they fit.

Stage: below cf. cfgrib makes one dataset of messages that fill one cube, and leaves the others out with a line in a
log. Here nothing is left out: cubes are merged, or refused in a sentence that says how to choose.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from adiabat.formats.errors import RequestError

__all__ = ["check_messages", "grib_options", "open_grib"]


def grib_options(group: str | None) -> dict[str, Any]:
    """What cfgrib is told: no index files beside other people's data, and the messages to keep.

    Examples
    --------
    >>> grib_options("typeOfLevel=surface,number=0")["filter_by_keys"]
    {'typeOfLevel': 'surface', 'number': 0}
    """
    keys: dict[str, Any] = {}
    for pair in group.split(",") if group else ():
        key, equals, value = (word.strip() for word in pair.partition("="))
        if not (key and equals and value):
            raise RequestError(f"GRIB files have no groups; expected such as typeOfLevel=surface, got {group!r}")
        keys[key] = int(value) if value.lstrip("-").isdecimal() else value
    return {"indexpath": "", "errors": "raise", "filter_by_keys": keys}


def open_grib(options: Mapping[str, Any], how: Mapping[str, Any]) -> xr.Dataset:
    """Open as `options` and `how` tell `xarray.open_dataset`; what does not fill one cube is merged.

    Raises
    ------
    RequestError
        If two cubes do not fit into one dataset.
    """
    import cfgrib
    from cfgrib.xarray_store import open_variable_datasets

    path = Path(options["filename_or_obj"])
    try:
        dataset = xr.open_dataset(**options, **how)
    except cfgrib.DatasetBuildError:
        cubes = open_variable_datasets(str(path), backend_kwargs=dict(options["backend_kwargs"]), **how)
        return _merged(path, cubes)
    if not dataset.data_vars and options["backend_kwargs"]["filter_by_keys"]:
        raise RequestError(f"{path} holds no message with {options['backend_kwargs']['filter_by_keys']}")
    return dataset


def check_messages(path: Path) -> None:
    """Refuse a file that ends within a message, or has something else between them: cfgrib leaves that out.

    Raises
    ------
    RequestError
    """
    try:
        eccodes = import_module("eccodes")
    except ImportError as error:
        raise RequestError("reading GRIB needs the package cfgrib: pip install 'adiabat[io]'") from error
    with path.open("rb") as file:
        try:
            while (message := eccodes.codes_new_from_file(file, eccodes.CODES_PRODUCT_GRIB, True)) is not None:
                eccodes.codes_release(message)
        except eccodes.CodesInternalError as error:
            raise RequestError(f"{path} cannot be read: it is truncated or damaged ({error})") from error


def _merged(path: Path, cubes: list[xr.Dataset]) -> xr.Dataset:
    """One dataset; scalar coordinates that differ become attributes of the variables they belong to."""
    scalars: dict[Hashable, list[Any]] = {}
    for cube in cubes:
        for name, variable in cube.variables.items():
            if variable.ndim == 0:
                scalars.setdefault(name, []).append(variable.values.item())
    shared = {name for name, values in scalars.items() if len(values) == len(cubes) and len(set(values)) == 1}
    variables: dict[Hashable, xr.Variable] = {}
    attrs: dict[Any, Any] = {}
    for cube in cubes:
        attrs = {**cube.attrs, **attrs}
        own = {
            name: each.values.item() for name, each in cube.variables.items() if not each.ndim and name not in shared
        }
        for name, variable in cube.variables.items():
            if name in own:
                continue
            if _is_field(variable):
                # As cfgrib names its keys: GRIB_heightAboveGround says where it is.
                variable.attrs.update({f"GRIB_{key}": value for key, value in own.items() if value == value})
            if name not in variables:
                variables[name] = variable
            elif _is_field(variable) or not _same(variables[name], variable):
                raise _misfit(path, str(name), variables[name], variable)
    return xr.Dataset(variables, attrs=attrs)


def _is_field(variable: xr.Variable) -> bool:
    return "GRIB_paramId" in variable.attrs


def _same(one: xr.Variable, other: xr.Variable) -> bool:
    return one.dims == other.dims and one.shape == other.shape and np.array_equal(one.values, other.values)


def _misfit(path: Path, name: str, one: xr.Variable, other: xr.Variable) -> RequestError:
    """Say which key tells the two apart."""
    keys = ("typeOfLevel", "stepType", "dataType", "stepUnits", "gridType", "numberOfPoints")
    for key in keys:
        pair = [each.attrs.get(f"GRIB_{key}") for each in (one, other)]
        if None not in pair and pair[0] != pair[1]:
            choice = f"{key}={pair[0]} or {key}={pair[1]}"
            return RequestError(f"{path} holds {name} twice, which does not fit into one store: choose messages with "
                                f"--group {choice}")  # fmt: skip
    sizes = " and ".join(str(dict(zip(each.dims, each.shape, strict=True))) for each in (one, other))
    return RequestError(f"{path} holds cubes that do not fit together ({name}: {sizes}): choose messages with --group, "
                        "such as --group typeOfLevel=surface or --group shortName=t")  # fmt: skip
