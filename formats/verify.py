"""Hold a store against its source: every value, in float64.

Stage: after the archive, and again whenever somebody doubts it. The bound is the one the store
itself states, in the attribute ``adiabat`` of each variable, or else to its codec.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from adiabat.formats.chunks import PLAIN_VALUES, blocks, choose_chunks
from adiabat.formats.errors import RequestError
from adiabat.formats.granules import groups_of
from adiabat.formats.inventory import codec_bounds
from adiabat.formats.low_rank_layout import bounds_of
from adiabat.formats.metrics import ErrorSummary
from adiabat.formats.policy import Bound, format_bound, is_target, place_bound
from adiabat.formats.sources.cf import is_zarr, open_source
from adiabat.formats.sources.tempo import is_tempo, open_tempo
from adiabat.formats.sources.tropomi import is_swath

Progress = Callable[[str, int], None]


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
    source: str | Path,
    target: str | Path,
    *,
    group: str | None = None,
    progress: Progress | None = None,
) -> list[VariableCheck]:
    """Compare every variable of `source` with `target`.

    Parameters
    ----------
    source : path
        NetCDF, GRIB or Zarr.
    target : path
        The store `adiabat compress` made from it.
    group : str, optional
        The group of `source` that was compressed.
    progress : callable, optional
        Called with a variable's name and how many more of its values are compared.

    Returns
    -------
    list of VariableCheck
        Data variables first, then coordinates.

    Raises
    ------
    RequestError
        If either cannot be opened.
    """
    if group is None and is_tempo(source):
        return _verify_groups(source, target, progress)
    factors = _low_rank(target)
    if factors and not is_zarr(Path(source)) and is_swath(source):
        raise RequestError(f"{source} holds swaths, and {target} a grid: no value of one stands for one of the other")
    with open_source(source, group=group) as original, open_source(target) as store:
        names = [str(name) for name in (*original.data_vars, *original.coords)]
        told = codec_bounds(target)
        free = {name for name, bound in factors.items() if bound is None}
        return [
            VariableCheck(name, "none", None, "was filled without a bound, so there is none to keep")
            if name in free
            else _check(name, original, store, told.get(name, "lossless"), progress)
            for name in names
        ]


def count_values(source: str | Path, *, group: str | None = None) -> int:
    """How many numbers `verify` compares."""
    if group is None and is_tempo(source):
        with open_tempo(source, bands=(), channels=None, flags=()) as tree:
            datasets = list(groups_of(tree).values())
    else:
        with open_source(source, group=group) as dataset:
            datasets = [dataset]
    return sum(each.size for dataset in datasets for each in dataset.variables.values() if each.dtype.kind in "fiub")


def _verify_groups(source: str | Path, target: str | Path, progress: Progress | None) -> list[VariableCheck]:
    """Compare a granule's groups one by one; names are those of variables, behind their group's path."""
    told, out = codec_bounds(target), []
    with open_tempo(source, bands=(), channels=None, flags=()) as tree:
        for path, node in groups_of(tree).items():
            if not node.variables:
                continue
            within = "" if path == "/" else path.strip("/") + "/"
            with _open_stored(target, path.strip("/") or None, fields=bool(node.data_vars)) as store:
                for name in map(str, (*node.data_vars, *node.coords)):
                    check = _check(name, node, store, told.get(within + name, "lossless"), progress)
                    out.append(replace(check, name=within + name))
    return out


def _open_stored(target: str | Path, group: str | None, *, fields: bool) -> xr.Dataset:
    """A group of the store; `open_source` refuses one that holds coordinates alone."""
    if fields:
        return open_source(target, group=group)
    stored: xr.Dataset = xr.open_zarr(target, group=group, chunks=None, decode_times=False, consolidated=False)
    return stored


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
    bound, dims = stated_bound(x_hat.variable, told), tuple(map(str, x.dims))
    if x.dims != x_hat.dims or x.shape != x_hat.shape:
        there = f"has {dict(x_hat.sizes)}, the source {dict(x.sizes)}"
        return VariableCheck(name, bound, None, there, dims)
    if x.dtype.kind not in "fiub":
        same = bool(np.array_equal(x.values, x_hat.values))
        return VariableCheck(name, bound, None, None if same else "differs from the source", dims)
    errors = ErrorSummary(bound)
    sigma = original[_noise_name(x_hat.variable)] if isinstance(bound, Mapping) and "noise" in bound else None
    for region in blocks(x.shape, _chunks_of(x_hat), at_once=1):
        start = tuple(part.start for part in region)
        _compare(errors, x[region], x_hat[region], start, None if sigma is None else sigma[region].values)
        if progress is not None:
            progress(name, x[region].size)
    return VariableCheck(name, bound, errors, _problem(errors, x), dims)


def _noise_name(variable: xr.Variable) -> str:
    """The variable of the source that a bound in units of noise counts in."""
    return str(json.loads(variable.attrs["adiabat"])["noise"])


def _problem(errors: ErrorSummary, x: xr.DataArray) -> str | None:
    """What is wrong, if anything is."""
    if errors.violations:
        return _describe(errors, x)
    if is_target(errors.bound) and errors.used > 1:
        return f"has an RMSE of {errors.rmse:.6g}, more than the target {format_bound(errors.bound)}"
    return None


def _low_rank(target: str | Path) -> dict[str, Bound | None]:
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
