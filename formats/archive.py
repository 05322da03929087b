"""Write a Zarr store from a plan: temporary name, block by block, then one rename.

Stage: plan -> archive -> verify. xarray writes the metadata of every array (so that CF attributes,
fill values and strings come out as any ``to_zarr`` writes them), Zarr writes the values, a few
chunks at a time, so that memory does not grow with the file. Until the last rename nothing stands
at the destination; what fails or is interrupted is removed.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from adiabat.formats.chunks import blocks
from adiabat.formats.errors import RequestError
from adiabat.formats.healpix_axes import CELL
from adiabat.formats.plan import HEALPIX, HEALPIX_MODELS, VariablePlan, make_plan
from adiabat.formats.policy import Bound, is_target
from adiabat.formats.sources.cf import PACKING, is_zarr
from adiabat.formats.spectral import write_chunk
from adiabat.formats.static import StaticField, keep_statics

CODEC = "adiabat.pyramid"
Progress = Callable[[str, int], None]
"""Called with a variable's name and how many more of its values are written."""

_PACKED_LIMITS = ("valid_range", "valid_min", "valid_max", "actual_range")


def compress(
    dataset: xr.Dataset,
    target: str | Path,
    *,
    bounds: Mapping[str, Bound] | None = None,
    default_bound: Bound | None = None,
    chunks: Mapping[str, int] | None = None,
    tune: str = "bytes",
    statics: Sequence[StaticField] = (),
    overwrite: bool = False,
    command: str = "adiabat.formats.compress",
    progress: Progress | None = None,
) -> list[VariablePlan]:
    """Plan and write a store in one go.

    Parameters
    ----------
    dataset : xarray.Dataset
        From `open_source`, or made in memory with decoded data and undecoded times.
    target : path
        Of the Zarr store to make.
    bounds : mapping of variable to bound, optional
    default_bound : bound, optional
        For float variables of two or more dimensions without a bound of their own.
    chunks : mapping of dimension to size, optional
        See `choose_chunks` for the others.
    tune : {"bytes", "rmse"}
        What to save within the bounds.
    statics : sequence of StaticField
        From `open_static`; each is used by every compressed variable on its grid. They are kept in the store and in
        this machine's cache.
    overwrite : bool
        Whether a Zarr store at `target` may be replaced.
    command : str
        For the ``history`` attribute.
    progress : callable, optional
        See `Progress`.

    Returns
    -------
    list of VariablePlan
        What was done.

    Raises
    ------
    RequestError
        If the request cannot be carried out; nothing is written then.
    """
    plan = make_plan(
        dataset, bounds=bounds or {}, default_bound=default_bound, chunks=chunks, tune=tune, statics=statics
    )
    write(dataset, plan, target, overwrite=overwrite, command=command, progress=progress)
    return plan


def write(
    dataset: xr.Dataset,
    plan: Sequence[VariablePlan],
    target: str | Path,
    *,
    overwrite: bool = False,
    command: str = "adiabat.formats.write",
    progress: Progress | None = None,
) -> None:
    """Write `dataset` as `plan` says; see `compress`."""
    write_groups({"/": (dataset, plan)}, target, overwrite=overwrite, command=command, progress=progress)


def write_groups(
    groups: Mapping[str, tuple[xr.Dataset, Sequence[VariablePlan]]],
    target: str | Path,
    *,
    overwrite: bool = False,
    command: str = "adiabat.formats.write",
    progress: Progress | None = None,
) -> None:
    """Write the groups of a tree, by their paths, the root among them, each as its plan says; see `write`."""
    with in_place_of(Path(target), overwrite=overwrite) as path:
        ordered = sorted(groups.items())
        for place, (dataset, plan) in ordered:
            _write_metadata(dataset, plan, path, command, place)
            keep_statics((file for variable in plan for file in variable.statics), path)
        for place, (dataset, plan) in ordered:
            group = zarr.open_group(path, mode="r+", path=place.strip("/"))
            for variable in plan:
                _write_values(dataset, variable, group, progress)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Zarr: consolidated metadata is not in the v3 spec yet
            zarr.consolidate_metadata(path)


def check_target(target: Path, *, overwrite: bool) -> None:
    """Refuse a destination that is taken, or that has no folder to stand in.

    Raises
    ------
    RequestError
    """
    if "://" in str(target):
        raise RequestError(f"{target}: stores are written to local folders only")
    if not target.absolute().parent.is_dir():
        raise RequestError(f"there is no folder {target.absolute().parent} to write into")
    if not (target.exists() or target.is_symlink()):
        return
    if not overwrite:
        raise RequestError(f"{target} exists already; --overwrite replaces it")
    if target.is_symlink() or not is_zarr(target):
        raise RequestError(f"{target} is not a Zarr store, so it is not overwritten")


@contextmanager
def in_place_of(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary sibling of `target` that takes its place if the block succeeds."""
    check_target(target, overwrite=overwrite)
    tag = uuid.uuid4().hex[:8]
    temporary = target.absolute().parent / f".{target.name}.{tag}.writing"
    try:
        yield temporary
        check_target(target, overwrite=overwrite)
        if target.exists():
            old = temporary.with_suffix(".old")
            os.rename(target, old)
            os.rename(temporary, target)
            shutil.rmtree(old)
        else:
            os.rename(temporary, target)
    finally:
        _remove(temporary)


def _remove(folder: Path) -> None:
    """Remove a folder into which an interrupted thread may still be writing."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _write_metadata(
    dataset: xr.Dataset, plan: Sequence[VariablePlan], path: Path, command: str, place: str = "/"
) -> None:
    """Write small variables whole, and of the planned ones everything but the values."""
    planned = {variable.name: variable for variable in plan}
    flat = dataset.reset_coords()
    small = flat.drop_vars(planned)
    for name in small.variables:
        # Old compression and chunking are the source format's; the values stand as they were.
        small[name].encoding = _of_indices(small[name].shape) if name == CELL and small[name].ndim else {}
        if small[name].dtype.kind not in "fiub":
            small[name].attrs.pop("_FillValue", None)  # xarray writes one for strings and cannot read it
    empty = xr.Dataset({name: _empty_like(dataset[name], variable) for name, variable in planned.items()})
    # An array without values still has its metadata: dims get their lengths afterwards.
    encoding = {name: _encoding(variable) for name, variable in planned.items()}
    root, within = place == "/", place.strip("/") or None
    small.attrs = empty.attrs = _root_attributes(dataset.attrs, command, plan) if root else dict(dataset.attrs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: fixed-length strings are not in the v3 spec yet
        small.to_zarr(path, mode="w-" if root else "a", group=within, zarr_format=3, consolidated=False)
        if planned:
            empty.to_zarr(path, mode="a", group=within, zarr_format=3, consolidated=False, encoding=encoding)
    group = zarr.open_group(path, mode="r+", path=place.strip("/"))
    for variable in plan:
        group[variable.name].resize(variable.shape)  # type: ignore[union-attr]


def _of_indices(shape: tuple[int, ...]) -> dict[str, Any]:
    """Numbers of cells in a row: shuffled they are next to nothing, left as they are they outweigh the fields."""
    return {"chunks": shape, "compressors": [BloscCodec(cname="zstd", shuffle="shuffle")]}


def _empty_like(array: xr.DataArray, variable: VariablePlan) -> xr.Variable:
    attributes = dict(array.attrs)
    for key in ("coordinates", "grid_mapping"):
        if key in array.encoding:
            attributes.setdefault(key, array.encoding[key])
    if variable.bound is not None:
        attributes = _float_limits(attributes, array.encoding)
        attributes["adiabat"] = json.dumps(_provenance(array, variable))
    return xr.Variable(variable.dims, np.empty((0,) * array.ndim, variable.dtype), attributes)


def _provenance(array: xr.DataArray, variable: VariablePlan) -> dict[str, Any]:
    note = {
        "codec": variable.codec,
        "version": version("adiabat"),
        "bound": variable.bound,
        "source_dtype": str(np.dtype(array.encoding.get("dtype", array.dtype))),
    }
    note |= {"noise": variable.noise} if variable.noise else {}
    return note | ({"static": {file.sha256: file.label for file in variable.statics}} if variable.statics else {})


def _float_limits(attributes: dict[str, Any], packing: Mapping[str, Any]) -> dict[str, Any]:
    """Unpack limits that CF keeps in packed units."""
    if not any(key in packing for key in PACKING):
        return attributes
    scale, offset = (float(packing.get(k, d)) for k, d in zip(PACKING, (1, 0), strict=True))
    for key in _PACKED_LIMITS:
        limits = np.asarray(attributes.get(key))
        if limits.dtype.kind in "iu":
            attributes[key] = (limits * scale + offset).tolist()
    return attributes


def _encoding(variable: VariablePlan) -> dict[str, Any]:
    encoding: dict[str, Any] = {"chunks": variable.chunks}
    if variable.dtype.kind == "f":
        encoding["_FillValue"] = np.nan
        encoding["fill_value"] = np.nan
    if variable.bound is not None:
        encoding["serializer"] = {"name": variable.codec, "configuration": _configuration(variable)}
        encoding["compressors"] = None
        if variable.healpix:
            encoding["filters"] = [{"name": HEALPIX}]
    return encoding


def _configuration(variable: VariablePlan) -> dict[str, Any]:
    """What the codec is told."""
    statics = [file.sha256 for file in variable.statics]
    if is_target(variable.codec_bound):
        model = HEALPIX_MODELS.get(variable.codec) if variable.healpix else None
        return {"target": variable.codec_bound, "static": statics} | ({"model": model} if model else {})
    spectra = {} if variable.channels is None else {"channels": variable.channels}
    return {"bound": variable.codec_bound, "tune": variable.tune, "static": statics} | spectra


def _root_attributes(attributes: Mapping[Any, Any], command: str, plan: Sequence[VariablePlan]) -> dict[Any, Any]:
    written = dict(attributes)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    line = f"{now} {command} (adiabat {version('adiabat')})"
    # CF: the newest line of a history comes first or last; most tools put it first.
    written["history"] = "\n".join([line, str(written["history"])] if "history" in written else [line])
    codecs = sorted({variable.codec for variable in plan if variable.bound})
    if codecs:
        named = f"codec {codecs[0]}" if len(codecs) == 1 else f"codecs {' and '.join(codecs)}"
        written["adiabat"] = (
            f"Some arrays are compressed with the Zarr {named}. To read them install "
            "the Python package adiabat (pip install adiabat); xarray.open_zarr then finds it."
        )
    if any(variable.statics for variable in plan):
        written["adiabat"] += " Then run once: adiabat models add STORE."
    return written


def _write_values(dataset: xr.Dataset, variable: VariablePlan, group: zarr.Group, progress: Progress | None) -> None:
    array, stored = dataset[variable.name], group[variable.name]
    alone = variable.noise is not None  # what Zarr cannot tell the codec is told chunk by chunk
    for region in blocks(variable.shape, variable.chunks, at_once=1 if alone else None):
        values = array[region].values if region else array.values
        values = values.astype(variable.dtype, copy=False)
        if alone:
            index = [part.start // chunk for part, chunk in zip(region, variable.chunks, strict=True)]
            noise = dataset[variable.noise][region].values
            write_chunk(stored, index, values, noise, _configuration(variable))  # type: ignore[arg-type]
        else:
            stored[region or ...] = values  # type: ignore[index]
        if progress is not None:
            progress(variable.name, values.size)
