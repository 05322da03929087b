"""Decide, before a byte is written, how each variable will lie in the store.

Stage: planning. The plan is plain data: which variables go through which codec, with which bound or
target, dtype, chunks and static fields, and which go through Zarr's own lossless compression.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from adiabat.formats.chunks import CHUNK_VALUES, PLAIN_VALUES, check_sizes, choose_chunks, choose_shards
from adiabat.formats.errors import RequestError
from adiabat.formats.generated import refuse_generated
from adiabat.formats.healpix_axes import CELL, check_cells
from adiabat.formats.policies.rule import Rule
from adiabat.formats.policy import Bound, bound_of, check_bounds, check_tune, is_target, place_bound
from adiabat.formats.sources.cf import PACKING
from adiabat.formats.spectral import channels_of, noise_of
from adiabat.formats.static import StaticField, StaticFile, check_used, check_whole, fit_statics

PYRAMID = "adiabat.pyramid"
LATENT = {name: f"adiabat.{name}" for name in ("hyperprior", "vq", "hvae")}  # codecs that take targets
HEALPIX = "adiabat.healpix"  # the filter that lays cells out as images
HEALPIX_MODELS = {"adiabat.hyperprior": "hyperprior_healpix"}  # trained on these, by codec


@dataclass(frozen=True)
class VariablePlan:
    """How one data variable is stored.

    Parameters
    ----------
    name : str
    dims : tuple of str
    shape, chunks : tuple of int
    dtype : numpy dtype
        As stored; a packed source becomes float32.
    bound : dict or str or None
        What was asked for; None: Zarr's default compression, exactly.
    codec_bound : dict or str or None
        What the codec is told: narrower than `bound` by the rounding of an unpacked source to
        float32, so that `bound` holds against the source in float64.
    asked : bool
        Whether somebody gave the bound, or it is lossless for want of one.
    tune : {"bytes", "rmse"}
        What to save within the bound.
    statics : tuple of StaticFile
        What the codec may predict from, beside the variable itself.
    codec : str
        Its id.
    healpix : bool
        Whether the last axis is all cells of a HEALPix sphere, which the codec then sees as strips of faces.
    noise : str or None
        The variable that holds its noise, which a bound ``{"noise": k}`` counts in.
    channels : int or None
        The axis of spectra, negative from the end.
    shards : tuple of int or None
        Chunks that make one file; None: each by itself.
    child : str
        The group, below that of the coordinates, in which it is stored; "" for the same.
    valid_range : tuple of two (float or None), or None
        Physical limits, which decoded values keep to.
    mean : float or None
        What the mean absolute error is to stay below, beside the bound.
    rule : str
        The policy's rule that the bound comes from.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    bound: Bound | None
    codec_bound: Bound | None
    asked: bool
    tune: str = "bytes"
    statics: tuple[StaticFile, ...] = ()
    codec: str = PYRAMID
    healpix: bool = False
    noise: str | None = None
    channels: int | None = None
    shards: tuple[int, ...] | None = None
    child: str = ""
    valid_range: tuple[float | None, float | None] | None = None
    mean: float | None = None
    rule: str = ""

    @property
    def values(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


def make_plan(
    dataset: xr.Dataset,
    *,
    bounds: Mapping[str, Bound],
    default_bound: Bound | None = None,
    chunks: Mapping[str, int] | None = None,
    shards: Mapping[str, int] | None = None,
    tune: str = "bytes",
    statics: Sequence[StaticField] = (),
    latent: str = "hyperprior",
    rules: Mapping[str, Rule] | None = None,
    child: str = "",
    allow_generated: bool = False,
) -> list[VariablePlan]:
    """Plan every numeric data variable of `dataset`; the rest is small and passes as it is.

    Parameters
    ----------
    dataset : xarray.Dataset
    bounds : mapping of variable to bound
    default_bound : bound, optional
        For float variables of two or more dimensions that neither `bounds` nor `rules` know.
    chunks, shards : mapping of dimension to size, optional
        What is not left to `choose_chunks` and `choose_shards`.
    tune : {"bytes", "rmse"}
    statics : sequence of StaticField
    latent : str
        The codec, of LATENT, of variables that have a target in place of a bound.
    rules : mapping of variable to Rule, optional
        Of a policy: bounds for variables without one of their own, means, and valid ranges.
    child : str
        The group in which compressed variables are stored; "" for that of the others.
    allow_generated : bool
        Whether what a model generated may be stored; it keeps its marks.

    Raises
    ------
    RequestError
        If a bound, a chunk or a static field is asked for that cannot be, or a variable was generated.
    """
    chunks, shards, rules = chunks or {}, shards or {}, rules or {}
    check_bounds(dataset, bounds)
    check_tune(tune)
    check_sizes(dataset, chunks, shards)
    refuse_generated(dataset.data_vars.values(), allowed=allow_generated)
    asked = {name: rule.bound for name, rule in rules.items() if rule.bound is not None} | dict(bounds)
    plan = [
        _plan_variable(array, bounds=asked, default_bound=default_bound, chunks=chunks, tune=tune, latent=latent)
        for array in dataset.data_vars.values()
        if array.dtype.kind in "fiu"
    ]
    plan = [_with_spectra(dataset, variable, chunks) for variable in plan]
    plan = [_with_rule(variable, rules.get(variable.name), own=variable.name in bounds) for variable in plan]
    plan = _with_statics(dataset, plan, statics) if statics else plan
    return [_laid_out(variable, shards, child) for variable in plan]


def _with_rule(variable: VariablePlan, rule: Rule | None, *, own: bool) -> VariablePlan:
    """Add what a policy asks beside the bound; its mean belongs to its own bound."""
    if rule is None or variable.bound is None:
        return variable
    limits = rule.valid_range
    if own:
        return replace(variable, valid_range=limits)
    return replace(variable, valid_range=limits, mean=rule.mean, rule=rule.name)


def _laid_out(variable: VariablePlan, shards: Mapping[str, int], child: str) -> VariablePlan:
    """Say which chunks make a file, and in which group it lies."""
    if variable.noise is None and not variable.healpix:  # those are written chunk by chunk, and through a filter
        files = choose_shards(variable.dims, variable.shape, variable.chunks, shards)
        variable = replace(variable, shards=files)
    return replace(variable, child=child if variable.bound is not None else "")


def _with_spectra(dataset: xr.Dataset, variable: VariablePlan, chunks: Mapping[str, int]) -> VariablePlan:
    """Say where channels and noise are, and keep channels in one chunk."""
    bound, array = variable.bound, dataset[variable.name]
    noise = noise_of(dataset, variable.name) if isinstance(bound, dict) and "noise" in bound else None
    channels = channels_of(array) if variable.codec == PYRAMID and bound not in (None, "lossless") else None
    if noise is None and channels is None:
        return variable
    axis = -1 if channels is None else channels
    dim = str(array.dims[axis])
    whole = {**chunks, dim: array.sizes[dim]}
    if chunks.get(dim, array.sizes[dim]) < array.sizes[dim]:
        raise RequestError(f"{variable.name} is predicted along {dim}, so {dim} cannot be cut into chunks")
    return replace(variable, noise=noise, channels=axis, chunks=choose_chunks(array, whole, most=CHUNK_VALUES))


def _with_statics(
    dataset: xr.Dataset, plan: Sequence[VariablePlan], statics: Sequence[StaticField]
) -> list[VariablePlan]:
    """Give every compressed variable the static fields that are on its grid."""
    from adiabat.codec.statics import MAX_STATICS

    if len(statics) > MAX_STATICS:
        raise RequestError(f"expected at most {MAX_STATICS} static fields, got {len(statics)}")
    files: dict[tuple[str, ...], tuple[StaticFile, ...]] = {}
    out = []
    for variable in plan:
        array, dims = dataset[variable.name], variable.dims[-2:]
        if variable.bound is not None and not variable.healpix:
            if dims not in files:
                files[dims] = fit_statics(array, statics)
            if files[dims]:
                check_whole(array, variable.chunks)
            variable = replace(variable, statics=files[dims])
        out.append(variable)
    compressed = [dataset[variable.name] for variable in plan if variable.bound is not None]
    check_used(compressed, statics, [file for some in files.values() for file in some])
    return out


def _plan_variable(
    array: xr.DataArray,
    *,
    bounds: Mapping[str, Bound],
    default_bound: Bound | None,
    chunks: Mapping[str, int],
    tune: str,
    latent: str,
) -> VariablePlan:
    name, dtype = str(array.name), array.dtype.newbyteorder("=")
    bound: Bound | None = None
    codec_bound: Bound | None = None
    if dtype.kind == "f" and dtype.itemsize <= 8 and array.size:
        bound = place_bound(bound_of(array, bounds, default_bound), array.shape)
        if bound == "lossless" and array.ndim < 2 and name not in bounds:
            bound = None  # a scalar or a profile: readable without adiabat
        else:
            dtype, codec_bound = _stored_as(array, bound)
    healpix = _is_sphere(array, bound, chunks)
    return VariablePlan(
        name=name,
        dims=tuple(str(dim) for dim in array.dims),
        shape=array.shape,
        chunks=_sphere_chunks(array, bound, chunks) if healpix else _chunks_of(array, bound, chunks),
        dtype=dtype,
        bound=bound,
        codec_bound=codec_bound,
        asked=name in bounds or bound != "lossless",
        tune=tune,
        codec=LATENT[latent] if is_target(bound) else PYRAMID,
        healpix=healpix,
    )


def _is_sphere(array: xr.DataArray, bound: Bound | None, chunks: Mapping[str, int]) -> bool:
    """Whether the last axis is all cells of a sphere in nested order, to be kept as one chunk and under one bound."""
    if bound is None or array.dims[-1:] != (CELL,) or chunks.get(CELL, array.sizes[CELL]) < array.sizes[CELL]:
        return False
    if isinstance(bound, dict) and bound.get("axis") == array.ndim - 1:
        return False
    try:
        check_cells(array)
    except ValueError:  # a selection, or ring order
        return False
    return True


def _sphere_chunks(array: xr.DataArray, bound: Bound | None, wanted: Mapping[str, int]) -> tuple[int, ...]:
    """As of an array with one more axis: a whole sphere is a frame, and the axis before it is no part of that."""
    shape = (*array.shape, 1)
    frames = xr.DataArray(np.broadcast_to(np.int8(0), shape), dims=(*array.dims, "row"), name=array.name)
    return _chunks_of(frames, bound, {**wanted, CELL: array.sizes[CELL]})[:-1]


def _chunks_of(array: xr.DataArray, bound: Bound | None, wanted: Mapping[str, int]) -> tuple[int, ...]:
    """Volumes for what is predicted, of which an axis with bounds of its own stays whole; less for the rest."""
    if isinstance(bound, dict) and "axis" in bound:
        dim = str(array.dims[bound["axis"]])
        if wanted.get(dim, array.sizes[dim]) < array.sizes[dim]:
            raise RequestError(f"{array.name} has a bound for each {dim}, so {dim} cannot be cut into chunks")
        wanted = {**wanted, dim: array.sizes[dim]}
    return choose_chunks(array, wanted, most=PLAIN_VALUES if bound is None else CHUNK_VALUES)


def _stored_as(array: xr.DataArray, bound: Bound) -> tuple[np.dtype[Any], Bound]:
    """Store what was unpacked from integers as float32, where the bound has room for that."""
    dtype = array.dtype.newbyteorder("=")
    packing = array.encoding
    source = np.dtype(packing.get("dtype", dtype))
    packed = source.kind in "iu" and any(key in packing for key in PACKING)
    if not packed or dtype.itemsize < 8 or isinstance(bound, str):
        return dtype, bound
    if is_target(bound) or "noise" in bound:
        return np.dtype(np.float32), bound
    rounding = float(np.finfo(np.float32).eps) / 2
    if "abs" in bound:
        ends = np.array([np.iinfo(source).min, np.iinfo(source).max], dtype=np.float64)
        values = ends * float(packing.get("scale_factor", 1)) + float(packing.get("add_offset", 0))
        loss = float(np.abs(values).max()) * rounding
        sizes = np.asarray(bound["abs"], np.float64)
        narrowed = {**bound, "abs": (sizes - loss).tolist()}
        room = bool((sizes > 16 * loss).all())
    else:
        narrowed = {"rel": (bound["rel"] - rounding) / (1 + rounding)}
        room = bound["rel"] > 16 * rounding
    return (np.dtype(np.float32), narrowed) if room else (dtype, bound)
