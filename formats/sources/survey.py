"""What one of many files holds: times, grid, names, dtypes, packing; of what has no time, a digest of the values.

Stage: locate -> **survey** -> series. A file is opened once, and only what is small is read.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError, first_line
from adiabat.formats.sources.cf import PACKING, coordinate_names, decoded_names
from adiabat.formats.sources.times import TimeAxis, time_axis

__all__ = ["LIMITS", "RAW", "Facts", "Part", "survey"]

LIMITS = ("valid_range", "valid_min", "valid_max", "actual_range")
RAW = (*PACKING, "_FillValue", "missing_value")


@dataclass(frozen=True)
class Facts:
    """Of one variable of one file.

    Attributes
    ----------
    dims : tuple of str
    shape : tuple of int
    dtype : numpy dtype
        As it is read: unpacked.
    attrs : dict
        ``units`` and ``calendar``, as far as there are any, and limits.
    packing : dict
        ``dtype``, and ``scale_factor`` and ``add_offset``, of the file; empty for what is not packed.
    digest : bytes or None
        Of the values, if they have no time.
    text : str
        What the values are, for people; of what has no time.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attrs: Mapping[str, Any]
    packing: Mapping[str, Any]
    digest: bytes | None
    text: str = ""


@dataclass(frozen=True)
class Part:
    """One file among others.

    Attributes
    ----------
    path : str
    times : TimeAxis or None
        None if it has no times.
    variables : dict of Facts
    fields : frozenset of str
        Data variables with a time.
    """

    path: str
    times: TimeAxis | None
    variables: Mapping[str, Facts]
    fields: frozenset[str]

    def still(self, name: str) -> bool:
        """Whether a variable has no time."""
        return self.variables[name].digest is not None


def survey(path: str, raw: xr.Dataset) -> Part:
    """Look at a file, opened by `open_raw`.

    Raises
    ------
    RequestError
        If it holds no variable, or cannot be read.
    """
    if not raw.data_vars:
        raise RequestError(f"{path} holds no data variables")
    coordinates = coordinate_names(raw)
    decode = decoded_names(raw, coordinates)
    try:
        axis = time_axis(raw)
        dim = axis.dim if axis else None
        # A single time without a dimension is the time of everything that is a field.
        single = dim is not None and dim not in raw.dims
        moving = {
            str(name)
            for name, variable in raw.variables.items()
            if dim in variable.dims or (single and name not in coordinates and variable.ndim > 0)
        }
        moving |= {axis.name} if axis else set()
        facts = {
            str(name): _facts(variable, decode[str(name)], still=str(name) not in moving)
            for name, variable in raw.variables.items()
        }
    except (OSError, RuntimeError) as error:
        raise RequestError(f"{path} cannot be read: {first_line(error)}") from error
    return Part(path, axis, facts, frozenset(moving - {str(name) for name in coordinates}))


def _facts(variable: xr.Variable, decode: bool, *, still: bool) -> Facts:
    packed = decode and any(key in variable.attrs for key in PACKING)
    packing = {key: variable.attrs[key] for key in PACKING if key in variable.attrs} if packed else {}
    values = np.asarray(variable.values) if still else None
    # Of what stays as it lies in the file, the numbers mean what these say.
    keys = ("units", "calendar", "bounds", *LIMITS, *(() if decode else RAW))
    return Facts(
        tuple(map(str, variable.dims)),
        variable.shape,
        _decoded_dtype(variable) if decode else variable.dtype,
        {key: variable.attrs[key] for key in keys if key in variable.attrs},
        {"dtype": variable.dtype, **packing} if packed else {},
        None if values is None else _digest(values),
        "" if values is None else _describe(values),
    )


def _decoded_dtype(variable: xr.Variable) -> np.dtype[Any]:
    """What xarray makes of it, asked with one value."""
    one = xr.Variable((), np.zeros((), variable.dtype), variable.attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oddities of other people's files
        decoded: xr.Variable = xr.conventions.decode_cf_variable("one", one, decode_times=False)
    dtype: np.dtype[Any] = decoded.dtype
    return dtype


def _digest(values: NDArray[Any]) -> bytes:
    """Equal for equal numbers, whichever their width."""
    if values.dtype.kind == "f":
        values = values.astype(np.float64)
    elif values.dtype.kind in "iub":
        values = values.astype(np.int64)
    else:
        values = np.asarray([str(value) for value in values.ravel().tolist()] or [""], np.str_)
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).digest()


def _describe(values: NDArray[Any]) -> str:
    if values.ndim == 0:
        return str(values)
    sizes = " x ".join(map(str, values.shape))
    if values.dtype.kind not in "fiu" or not values.size:
        return f"{sizes} values"
    flat = values.reshape(-1)
    return f"{sizes} values from {flat[0]:g} to {flat[-1]:g}"
