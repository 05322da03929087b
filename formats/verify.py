"""Hold a store against its source: every value, in float64.

Stage: after the archive, and again whenever somebody doubts it. The bound is the one the store
itself states, in the attribute ``adiabat`` of each variable, or else to its codec.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from adiabat.formats.chunks import PLAIN_VALUES, blocks, choose_chunks
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import MARK
from adiabat.formats.inventory import codec_bounds
from adiabat.formats.low_rank_layout import bounds_of
from adiabat.formats.metadata import CHILD
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.policy import Bound, format_bound, is_target, place_bound
from adiabat.formats.sources import Source, find_source
from adiabat.formats.sources.cf import is_zarr, open_group
from adiabat.formats.sources.tropomi import is_swath
from adiabat.formats.store_paths import join_path

Progress = Callable[[str, int], None]
Given = Source | str | Path | Sequence[str | Path]
Range = tuple[float | None, float | None]


@dataclass(frozen=True)
class VariableCheck:
    """What came of one variable.

    Parameters
    ----------
    name : str
    bound : dict or str
        ``"lossless"`` for what passes exactly.
    errors : ErrorSummary or None
        None for what is not numbers.
    problem : str or None
        What is wrong, in words; None if nothing.
    dims : tuple of str
        As in the source.
    """

    name: str
    bound: Bound
    errors: ErrorSummary | None
    problem: str | None
    dims: tuple[str, ...] = ()


def verify(
    source: Given,
    target: str | Path,
    *,
    group: str | None = None,
    progress: Progress | None = None,
) -> list[VariableCheck]:
    """Compare every variable of `source` with `target`.

    Parameters
    ----------
    source : Source, path, str, or a sequence of paths
        What `find_source` found, or what it is to find: files, folders, patterns, stores, URLs.
    target : path
        The store `adiabat compress` made from it.
    group : str, optional
        The group of `source` that was compressed; a `Source` knows its own.
    progress : callable, optional
        Called with a variable's name and how many more of its values are compared.

    Returns
    -------
    list of VariableCheck
        Group by group, data variables first, then coordinates. Names are behind the paths of their groups.

    Raises
    ------
    RequestError
        If either cannot be opened.
    """
    factors = factor_bounds(target)
    if factors:
        refuse_swaths(source, target)
    told, out = codec_bounds(target), []
    free = {name for name, bound in factors.items() if bound is None}
    for path, original in _found(source, group).open().items():
        within = "" if path == "/" else path.strip("/") + "/"
        if not original.variables:
            continue
        with original, open_stored(target, path.strip("/")) as store:
            for name in map(str, (*original.data_vars, *original.coords)):
                if within + name in free:
                    problem = "was filled without a bound, so there is none to keep"
                    out.append(VariableCheck(within + name, "none", None, problem))
                    continue
                check = _check(name, original, store, told.get(within + name, "lossless"), progress)
                out.append(replace(check, name=within + name))
    return out


def count_values(source: Given, *, group: str | None = None) -> int:
    """How many numbers `verify` compares."""
    count = 0
    for dataset in _found(source, group).open().values():
        with dataset:
            count += sum(each.size for each in dataset.variables.values() if each.dtype.kind in "fiub")
    return count


def _found(source: Given, group: str | None) -> Source:
    if isinstance(source, xr.Dataset | xr.DataArray):
        raise RequestError(f"expected the file or store that was compressed, got a {type(source).__name__}")
    return source if isinstance(source, Source) else find_source(source, group=group)[0]


def refuse_swaths(source: Given, target: str | Path) -> None:
    """Pixels have no counterpart in a grid that was made of them."""
    paths = source.paths if isinstance(source, Source) else [source] if isinstance(source, str | Path) else source
    for path in map(Path, paths):
        if path.exists() and not is_zarr(path) and is_swath(path):
            raise RequestError(f"{path} holds swaths, and {target} a grid: no value of one stands for one of the other")


def open_stored(target: str | Path, group: str) -> xr.Dataset:
    """A group of the store, with what lies in its child group."""
    if not is_zarr(Path(target)):
        raise RequestError(f"{target} is not a Zarr store")
    stored = open_group(target, group or None)
    if not is_zarr(Path(target) / group / CHILD):
        return stored
    below = open_group(target, join_path(group, CHILD))
    return stored.assign({name: each.variable for name, each in below.data_vars.items()})


def stated_bound(variable: xr.Variable, told: Bound = "lossless") -> Bound:
    """Read the bound a stored variable states; `told` if it states none."""
    text = variable.attrs.get("adiabat")
    try:
        bound = told if text is None else json.loads(text)["bound"]
    except (ValueError, TypeError, KeyError) as error:
        raise RequestError(f"the attribute adiabat of a variable is not readable: {error}") from None
    return place_bound(bound, variable.shape)


def _check(name: str, original: xr.Dataset, store: xr.Dataset, told: Bound, progress: Progress | None) -> VariableCheck:
    if name not in store.variables:
        return VariableCheck(name, "lossless", None, "is missing from the store")
    x, x_hat = original[name], store[name]
    if MARK in x_hat.attrs:
        return VariableCheck(name, "none", None, "was generated by a model and is no data, so it is not compared")
    bound, dims = stated_bound(x_hat.variable, told), tuple(map(str, x.dims))
    misfit = misfit_of(x, x_hat)
    if misfit:
        return VariableCheck(name, bound, None, misfit, dims)
    if x.dtype.kind not in "fiub":
        same = bool(np.array_equal(x.values, x_hat.values))
        return VariableCheck(name, bound, None, None if same else "differs from the source", dims)
    mean, limits = promises_of(x_hat.variable)
    errors = ErrorSummary(bound, mean=mean, valid_range=limits)
    sigma = noise_of(original, x_hat.variable, bound)
    for region in blocks(x.shape, _chunks_of(x_hat), at_once=1):
        start = tuple(part.start for part in region)
        _compare(errors, x[region], x_hat[region], start, None if sigma is None else sigma[region].values)
        if progress is not None:
            progress(name, x[region].size)
    return VariableCheck(name, bound, errors, problem_of(errors, x), dims)


def promises_of(variable: xr.Variable) -> tuple[float | None, Range | None]:
    """What a stored variable states beside its bound: a mean error and a valid range."""
    note = json.loads(variable.attrs.get("adiabat", "{}"))
    limits = note.get("valid_range")
    return note.get("mean"), None if limits is None else (limits[0], limits[1])


def noise_of(original: xr.Dataset, variable: xr.Variable, bound: Bound) -> xr.DataArray | None:
    """The variable of the source that a bound in units of noise counts in; None of other bounds."""
    counted = isinstance(bound, Mapping) and "noise" in bound
    return original[str(json.loads(variable.attrs["adiabat"])["noise"])] if counted else None


def misfit_of(x: xr.DataArray, x_hat: xr.DataArray) -> str | None:
    """What keeps source and stored values from being compared one by one."""
    same = x.dims == x_hat.dims and x.shape == x_hat.shape
    return None if same else f"has {dict(x_hat.sizes)}, the source {dict(x.sizes)}"


def problem_of(errors: ErrorSummary, x: xr.DataArray) -> str | None:
    """What is wrong, if anything is."""
    if errors.violations:
        return _describe(errors, x)
    if is_target(errors.bound) and errors.used > 1:
        return f"has an RMSE of {errors.rmse:.6g}, more than the target {format_bound(errors.bound)}"
    if errors.mean is not None and errors.mean_error > errors.mean:
        return f"has a mean error of {errors.mean_error:.6g}, more than the {errors.mean:.6g} that was promised"
    if errors.outside:
        return f"has {errors.outside} values outside its valid range {errors.valid_range}, where the source has none"
    return None


def factor_bounds(target: str | Path) -> dict[str, Bound | None]:
    """Bounds of the variables that are factors; None where no residual corrects them."""
    if not is_zarr(Path(target)):
        return {}
    group = zarr.open(str(target), mode="r", use_consolidated=False)
    return bounds_of(group) if isinstance(group, zarr.Group) else {}


def _chunks_of(stored: xr.DataArray) -> tuple[int, ...]:
    """Whole chunks of the store, so that none is decoded twice, but not one by one where they are small."""
    chunks = stored.encoding.get("chunks") or choose_chunks(stored, most=PLAIN_VALUES)
    sizes = [min(chunk, max(1, size)) for chunk, size in zip(chunks, stored.shape, strict=True)]
    for axis in range(len(sizes) - 1, -1, -1):
        times = max(1, PLAIN_VALUES // math.prod(sizes))
        sizes[axis] = min(sizes[axis] * times, max(1, stored.shape[axis]))
    return tuple(sizes)


def _compare(
    errors: ErrorSummary,
    x: xr.DataArray,
    x_hat: xr.DataArray,
    offset: tuple[int, ...],
    sigma: NDArray[np.floating] | None,
) -> None:
    source, stored = x.values, x_hat.values
    if source.dtype.kind in "iu" and source.dtype.itemsize == 8 and np.any(source != stored):
        # float64 cannot tell large integers apart: compare them as they are.
        different = source != stored
        source, stored = np.where(different, 1.0, 0.0), np.zeros(source.shape)
    for part in blocks(x.shape, choose_chunks(x, most=PLAIN_VALUES), at_once=1):  # errors take memory
        place = tuple(o + p.start for o, p in zip(offset, part, strict=True))
        errors.add(source[part], stored[part], place, None if sigma is None else sigma[part])


def _describe(errors: ErrorSummary, x: xr.DataArray) -> str:
    index = errors.worst_index or ()
    place = ", ".join(f"{dim}={i}" for dim, i in zip(x.dims, index, strict=True))
    labels = _labels(x, index)
    source, stored = errors.worst_values
    return (
        f"{errors.violations} of {errors.values} values break the bound; the worst at [{place}]"
        f"{f' ({labels})' if labels else ''}: source {source!r}, stored {stored!r}"
    )


def _labels(x: xr.DataArray, index: tuple[int, ...]) -> str:
    where: Mapping[str, int] = dict(zip(map(str, x.dims), index, strict=True))
    spot = x.isel(where)
    return ", ".join(
        f"{name} {spot.coords[name].values}"
        for name in map(str, x.coords)
        if spot.coords[name].ndim == 0 and set(map(str, x.coords[name].dims)) & set(where)
    )
