"""Files of the same variables as one dataset, lazily: a region touches only the files it lies in.

Stage: arrange -> **series** -> source.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.sources.cf import PACKING
from adiabat.formats.sources.lazy import Files, Joined, lazy_variable
from adiabat.formats.sources.survey import LIMITS, Facts, Part
from adiabat.formats.sources.times import TimeAxis

__all__ = ["Series", "make_series", "open_series"]

_ENCODING = ("dtype", *PACKING, "coordinates", "grid_mapping")  # the rest is of one file


@dataclass(frozen=True, eq=False)
class Series:
    """Files in order of time.

    Attributes
    ----------
    paths : tuple of str
    lengths : tuple of int
        Times of each.
    times : TimeAxis or None
        Of all, in the reference of the first; None for a file without times.
    dtypes : dict
        Of the variables that have a time: one that holds those of all files.
    packing : dict
        Of packed variables, the widest of all files: that with the largest numbers, so that what is said of rounding
        to float32 holds for every file.
    limits : dict
        Of variables whose limits (``valid_range``, ...) differ by file: attributes that hold for all.
    references : dict
        Of variables that count "since" something that differs by file: units and calendar of each.
    """

    paths: tuple[str, ...]
    lengths: tuple[int, ...]
    times: TimeAxis | None
    dtypes: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    packing: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    references: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)


def make_series(parts: Sequence[Part]) -> Series:
    """Describe files that fit and are in order, so that each can be opened when it is needed."""
    axes = [part.times for part in parts if part.times is not None]
    first = axes[0]
    same = [axis.converted(first.units, first.calendar) if first.units else axis for axis in axes]
    times = replace(first, values=np.concatenate([axis.values for axis in same]))
    moving = [name for name in parts[0].variables if _moves(parts, name)]
    columns = {name: [part.variables[name] for part in parts] for name in moving}
    references = {name: _references(parts, name, axes) for name in moving if name != first.name}
    return Series(
        tuple(part.path for part in parts),
        tuple(axis.values.size for axis in axes),
        times,
        {name: np.result_type(*(facts.dtype for facts in column)) for name, column in columns.items()},
        {name: widest for name, column in columns.items() if (widest := _widest(column))},
        {name: limits for name, column in columns.items() if (limits := _limits(column))},
        {name: pairs for name, pairs in references.items() if len(set(pairs)) > 1},
    )


def open_series(series: Series, opener: Callable[[str], xr.Dataset]) -> xr.Dataset:
    """One dataset of all files; the first is opened now, the others when a region lies in them."""
    files = Files(opener)
    template = files[series.paths[0]]
    axis = series.times
    if axis is None:
        return template
    variables: dict[Any, xr.Variable] = {}
    for name, variable in template.variables.items():
        if name == axis.name:
            attrs = {**variable.attrs}
            variables[name] = xr.Variable((axis.dim,), axis.values, attrs, _kept(variable.encoding))
        elif str(name) in series.dtypes:
            variables[name] = _joined(series, files, str(name), variable, axis)
        else:
            variables[name] = variable
    coordinates = [name for name in template.coords if name in variables]
    whole = xr.Dataset(variables, attrs=template.attrs).set_coords([*coordinates, axis.name])
    whole.set_close(files.close)
    return whole


def _joined(series: Series, files: Files, name: str, variable: xr.Variable, axis: TimeAxis) -> xr.Variable:
    dims = variable.dims if axis.dim in variable.dims else (axis.dim, *variable.dims)
    sizes = {**dict(zip(variable.dims, variable.shape, strict=True)), axis.dim: axis.values.size}
    change = None
    if name in series.references:
        sources = dict(zip(series.paths, series.references[name], strict=True))
        change = partial(_recount, sources, series.references[name][0])
    array = Joined(
        files, series.paths, series.lengths, name=name, dim=axis.dim, change=change,
        like=(dims, tuple(sizes[dim] for dim in dims), series.dtypes[name]),
    )  # fmt: skip
    attrs = {**variable.attrs, **series.limits.get(name, {})}
    return lazy_variable(array, dims, attrs, {**_kept(variable.encoding), **series.packing.get(name, {})})


def _kept(encoding: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: encoding[key] for key in _ENCODING if key in encoding}


def _recount(
    sources: Mapping[str, tuple[str, str]], target: tuple[str, str], path: str, values: NDArray[Any]
) -> NDArray[Any]:
    """Numbers "since" the reference of their file, as numbers since that of the first."""
    axis = TimeAxis("", "", values.ravel(), *sources[path])
    return axis.converted(*target).values.reshape(values.shape)


def _moves(parts: Sequence[Part], name: str) -> bool:
    """Whether it has a time; so has a scalar that is another in another file."""
    column = [part.variables[name] for part in parts]
    return any(facts.digest is None for facts in column) or (
        not column[0].shape and len({facts.digest for facts in column}) > 1
    )


def _references(parts: Sequence[Part], name: str, axes: Sequence[TimeAxis]) -> tuple[tuple[str, str], ...]:
    """What each file counts a variable from: its own units, or those of the times it bounds; empty if nothing."""
    out = []
    for part, axis in zip(parts, axes, strict=True):
        units = str(part.variables[name].attrs.get("units", ""))
        bounds = part.variables[axis.name].attrs.get("bounds")
        if " since " in units:
            out.append((units, str(part.variables[name].attrs.get("calendar", axis.calendar))))
        elif not units and bounds == name:
            out.append((axis.units, axis.calendar))
    return tuple(out)


def _widest(column: Sequence[Facts]) -> dict[str, Any]:
    """The packing with the largest numbers."""
    packings = [dict(facts.packing) for facts in column if facts.packing]
    return max(packings, key=lambda packing: max(map(abs, _unpacked(packing))), default={})


def _unpacked(packing: Mapping[str, Any], values: Any = None) -> tuple[float, ...]:
    """Values, by default the ends of the integers', as they are unpacked."""
    dtype = np.dtype(packing["dtype"])
    if values is None:
        values = (np.iinfo(dtype).min, np.iinfo(dtype).max) if dtype.kind in "iu" else (0, 1)
    scale, offset = (float(packing.get(key, default)) for key, default in zip(PACKING, (1, 0), strict=True))
    return tuple(float(value) * scale + offset for value in np.atleast_1d(values))


def _limits(column: Sequence[Facts]) -> dict[str, Any]:
    """Limits that hold for all files, the widest met; of packed numbers unpacked, since CF keeps them packed."""
    out: dict[str, Any] = {}
    packed = len({str(dict(facts.packing)) for facts in column}) > 1
    for key in LIMITS:
        found = [facts for facts in column if key in facts.attrs]
        if len(found) < len(column) or not (packed or key == "actual_range"):
            continue
        if len({str(facts.attrs[key]) for facts in found}) == 1 and not packed:
            continue
        ends = [_ends(facts, key) for facts in found]
        low, high = min(min(pair) for pair in ends), max(max(pair) for pair in ends)
        out[key] = low if key == "valid_min" else high if key == "valid_max" else [low, high]
    return out


def _ends(facts: Facts, key: str) -> tuple[float, ...]:
    raw = np.atleast_1d(facts.attrs[key])
    return _unpacked(facts.packing, raw) if facts.packing and raw.dtype.kind in "iu" else tuple(map(float, raw))
