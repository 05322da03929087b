"""Variable -> bound: what was asked for, checked against what is there.

Stage: planning. A bound is ``{"abs": x}`` (units of the variable), ``{"rel": r}`` (of each value's magnitude),
``{"noise": k}`` (of the standard deviation of its noise, which a variable beside it holds) or ``"lossless"``; on the
command line ``abs:0.1``, ``rel:0.01``, ``noise:0.25`` and ``lossless``. From Python it may also be ``{"abs": [x, ...],
"axis": k}``, one for each index along an axis. In a bound's place may stand a target of the latent codecs,
``{"rmse": x}`` or ``{"ratio": r}``, written ``rmse:0.5`` and ``ratio:300``: no value is bounded then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from adiabat.formats.errors import RequestError

Bound = dict[str, Any] | str  # of floats, or a list of them with its axis
TUNES = ("bytes", "rmse")
TARGETS = ("rmse", "ratio")


def parse_bound(text: str) -> Bound:
    """Read ``abs:0.1``, ``rel:0.01``, ``noise:0.25``, ``lossless``, ``rmse:0.5`` or ``ratio:300``.

    Parameters
    ----------
    text : str
        As typed.

    Returns
    -------
    dict or str
        As `adiabat.codec.Pyramid` takes it, or a target as `adiabat.codec.Hyperprior` does.

    Raises
    ------
    RequestError
        If it is none of them.

    Examples
    --------
    >>> parse_bound("abs:0.1")
    {'abs': 0.1}
    >>> parse_bound("lossless")
    'lossless'
    """
    if text == "lossless":
        return text
    kind, colon, number = text.partition(":")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not colon or kind not in ("abs", "rel", "noise", *TARGETS) or not (math.isfinite(value) and value > 0):
        raise RequestError(
            f"{text!r} is not a bound: write abs:0.1 (in the variable's units), rel:0.01 "
            "(a share of each value), noise:0.25 (standard deviations of its noise) or lossless; or a target without "
            "a bound: rmse:0.5 or ratio:300"
        )
    if kind == "rel" and value >= 1:
        raise RequestError(f"{text!r} would allow any value at all: a relative bound is below 1")
    return {kind: value}


def is_target(bound: object) -> bool:
    """Whether this is a target of the latent codecs, which bounds no value.

    Examples
    --------
    >>> is_target({"rmse": 0.5}), is_target({"abs": 0.5})
    (True, False)
    """
    return isinstance(bound, Mapping) and any(kind in bound for kind in TARGETS)


def parse_variable_bound(text: str) -> tuple[str, Bound]:
    """Read ``VAR=abs:0.1``; see `parse_bound`."""
    name, equals, bound = text.rpartition("=")
    if not equals or not name:
        raise RequestError(
            f"{text!r} does not name a variable: write --bound VAR=abs:0.1, or --default-bound for all of them"
        )
    return name, parse_bound(bound)


def format_bound(bound: object, dims: Sequence[str] = ()) -> str:
    """Write a bound as it is typed, the inverse of `parse_bound`; of many along an axis the ends.

    Examples
    --------
    >>> format_bound({"rel": 0.01})
    'rel:0.01'
    >>> format_bound({"abs": [0.5, 0.1, 0.2], "axis": 1}, ("time", "level", "lat", "lon"))
    'abs:0.1..0.5 along level'
    """
    if not isinstance(bound, Mapping) or not bound:
        return str(bound)
    kind, size = next(item for item in bound.items() if item[0] != "axis")
    if not np.ndim(size):
        return f"{kind}:{size:.6g}"
    axis = bound.get("axis")
    along = "one axis" if axis is None else f"axis {axis}"
    if axis is not None and -len(dims) <= axis < len(dims):
        along = dims[axis]
    return f"{kind}:{min(size):.6g}..{max(size):.6g} along {along}"


def place_bound(bound: Bound, shape: Sequence[int]) -> Bound:
    """Say which axis of an array of this shape a list of bounds lies along; other bounds stay as they are.

    Raises
    ------
    RequestError
        If there is no such axis.

    Examples
    --------
    >>> place_bound({"abs": [0.1, 0.2]}, (5, 2, 9))
    {'abs': [0.1, 0.2], 'axis': 1}
    """
    from adiabat.codec.bound_profile import Profile

    if isinstance(bound, str) or not np.ndim(bound.get("abs", 0)):
        return bound
    try:
        profile = Profile.parse(bound["abs"], bound.get("axis")).on(tuple(shape))
    except (TypeError, ValueError) as error:
        raise RequestError(f"a list of bounds does not fit: {error}") from None
    return profile.config()


def check_tune(tune: str) -> None:
    """Refuse what is no way of tuning.

    Raises
    ------
    RequestError
    """
    if tune not in TUNES:
        raise RequestError(f"{tune!r} is not a way to tune: write --tune bytes or --tune rmse")


def check_bounds(dataset: xr.Dataset, bounds: Mapping[str, Bound]) -> None:
    """Refuse bounds for what is not there, is a coordinate or is not a float.

    Raises
    ------
    RequestError
        Naming the variables that can have one.
    """
    fields = [str(name) for name, array in dataset.data_vars.items() if array.dtype.kind == "f"]
    there = f"bounds can be given for: {', '.join(fields) or 'none of its variables'}"
    for name in bounds:
        if name not in dataset.variables:
            raise RequestError(f"there is no variable {name!r}; {there}")
        if name in dataset.coords:
            raise RequestError(f"{name} is a coordinate, and coordinates are kept exactly; {there}")
        if name not in fields:
            raise RequestError(f"{name} holds {dataset[name].dtype}, not floats, and is kept exactly; {there}")


def bound_of(array: xr.DataArray, bounds: Mapping[str, Bound], default: Bound | None) -> Bound:
    """Choose the bound of one float data variable.

    Its own, or else the default. The default is for fields: a scalar, a profile such as hybrid
    coefficients, a flag or a quality value is kept exactly unless it is named.
    """
    own = bounds.get(str(array.name))
    if own is not None:
        return own
    if default is not None and array.ndim >= 2 and not is_flag(array):
        return default
    return "lossless"


def is_flag(array: xr.DataArray) -> bool:
    """Tell whether the values are compared with thresholds rather than averaged."""
    words = f"{array.name} {array.attrs.get('standard_name', '')}".lower()
    coded = any(str(key).startswith("flag_") for key in array.attrs)
    return coded or any(word in words for word in ("flag", "quality", "qa_", "mask"))
