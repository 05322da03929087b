"""What a store says of its arrays, and everything that is small: written whole, before any block.

Stage: plan -> metadata -> blocks. xarray writes it, so that CF attributes, fill values and strings come out as any
``to_zarr`` writes them. Spec: `spec/archive.md`.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from adiabat.formats.checksums import write_checksums
from adiabat.formats.journal import replace_file
from adiabat.formats.plan import HEALPIX, HEALPIX_MODELS, VariablePlan
from adiabat.formats.policy import is_target
from adiabat.formats.sources.cf import PACKING
from adiabat.formats.static import keep_statics
from adiabat.formats.store_paths import join_path

__all__ = ["CHILD", "README", "REQUEST", "Groups", "add_history", "configuration_of", "consolidate", "write_metadata"]

Groups = Mapping[str, tuple[xr.Dataset, Sequence[VariablePlan]]]
"""Datasets and their plans by the paths of groups, the root ``/`` among them."""

README = "README.txt"
REQUEST = "adiabat_request"  # attribute of the root
CHILD = "compressed"  # the group of compressed arrays, where they do not lie beside the others
_PACKED_LIMITS = ("valid_range", "valid_min", "valid_max", "actual_range")


def write_metadata(groups: Groups, store: Path, *, command: str, request: str) -> None:
    """Make a store that lacks nothing but the values of what is planned.

    Parameters
    ----------
    groups : mapping of str to (Dataset, plan)
    store : path
        Where nothing stands yet.
    command : str
        For the ``history`` attribute.
    request : str
        What tells this request from others.
    """
    for place, (dataset, plan) in sorted(groups.items()):
        _write_group(dataset, plan, store, command, place)
        keep_statics((file for variable in plan for file in variable.statics), store)
    zarr.open_group(store, mode="r+").attrs[REQUEST] = request


def consolidate(store: Path) -> None:
    """Gather all metadata in one file, say beside it what is needed to read the store, and sum what has no records.

    Where compressed arrays lie in child groups, each of these has such a file instead: with the root's own, readers
    without the codecs could not open the root either. They read the root's attributes; of a file beside, Zarr would
    warn them.
    """
    root = zarr.open_group(store, mode="r+", use_consolidated=False)
    about = root.attrs.get("adiabat")
    with warnings.catch_warnings():
        # Zarr: consolidated metadata is not in the v3 spec yet; and it does not know the file beside it.
        warnings.simplefilter("ignore")
        children = sorted(name for name, _ in root.members(max_depth=None) if name.rpartition("/")[2] == CHILD)
        for place in children or [""]:
            zarr.consolidate_metadata(store, path=place or None)
            _sort(store / place / "zarr.json")
        if about is not None and not children:
            (store / README).write_text(f"{about}\n")
    write_checksums(store)


def _sort(file: Path) -> None:
    """Put arrays in the order of their names: Zarr takes them as the file system lists them, which differs."""
    document = json.loads(file.read_text())
    gathered = document["consolidated_metadata"]
    gathered["metadata"] = dict(sorted(gathered["metadata"].items()))
    replace_file(file, json.dumps(document, indent=2))


def _write_group(dataset: xr.Dataset, plan: Sequence[VariablePlan], store: Path, command: str, place: str) -> None:
    """Write small variables whole, and of the planned ones everything but the values."""
    flat = dataset.reset_coords()
    small = flat.drop_vars([variable.name for variable in plan])
    small.attrs = _root_attributes(dataset.attrs, command, plan) if place == "/" else dict(dataset.attrs)
    for name in small.variables:
        # Old compression and chunking are the source format's; the values stand as they were.
        small[name].encoding = _exactly(small[name]) if small[name].ndim else {}
        if small[name].dtype.kind not in "fiub":
            small[name].attrs.pop("_FillValue", None)  # xarray writes one for strings and cannot read it
    _to_zarr(small, store, join_path(place), mode="w-" if place == "/" else "a")
    for child in sorted({variable.child for variable in plan}):
        within = join_path(place, child)
        _write_planned(dataset, [each for each in plan if each.child == child], store, within)
        if child:
            coordinates = small[[name for name in dataset.coords if name in small]]
            coordinates.attrs = {}
            _to_zarr(coordinates, store, within, mode="a")


def _write_planned(dataset: xr.Dataset, plan: Sequence[VariablePlan], store: Path, within: str) -> None:
    empty = xr.Dataset({variable.name: _empty_like(dataset[variable.name], variable) for variable in plan})
    if not within:
        empty.attrs = dict(zarr.open_group(store, mode="r").attrs)  # which writing would replace
    # An array without values still has its metadata: dims get their lengths afterwards.
    _to_zarr(empty, store, within, mode="a", encoding={variable.name: _encoding(variable) for variable in plan})
    group = zarr.open_group(store, mode="r+", path=within)
    for variable in plan:
        group[variable.name].resize(variable.shape)  # type: ignore[union-attr]


def _to_zarr(dataset: xr.Dataset, store: Path, within: str, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: fixed-length strings are not in the v3 spec yet
        dataset.to_zarr(store, group=within or None, zarr_format=3, consolidated=False, **options)


def _exactly(array: xr.DataArray | VariablePlan) -> dict[str, Any]:
    """Numbers as they are, their bytes shuffled: left in a row, coordinates of a swath outweigh its fields."""
    return {"compressors": [BloscCodec(cname="zstd", shuffle="shuffle")]} if array.dtype.kind in "fiu" else {}


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
    note: dict[str, Any] = {
        "codec": variable.codec,
        "version": version("adiabat"),
        "bound": variable.bound,
        "source_dtype": str(np.dtype(array.encoding.get("dtype", array.dtype))),
    }
    note |= {"noise": variable.noise} if variable.noise else {}
    note |= {"mean": variable.mean} if variable.mean is not None else {}
    note |= {"valid_range": list(variable.valid_range)} if variable.valid_range is not None else {}
    note |= {"rule": variable.rule} if variable.rule else {}
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
    encoding: dict[str, Any] = {"chunks": variable.chunks, **_exactly(variable)}
    if variable.shards is not None:
        encoding["shards"] = variable.shards
    if variable.dtype.kind == "f":
        encoding["_FillValue"] = np.nan
        encoding["fill_value"] = np.nan
    if variable.bound is not None:
        encoding["serializer"] = {"name": variable.codec, "configuration": configuration_of(variable)}
        encoding["compressors"] = None
        if variable.healpix:
            encoding["filters"] = [{"name": HEALPIX}]
    return encoding


def configuration_of(variable: VariablePlan) -> dict[str, Any]:
    """What the codec is told."""
    statics = [file.sha256 for file in variable.statics]
    told: dict[str, Any] = {"static": statics}
    if variable.valid_range is not None:
        told["valid_range"] = list(variable.valid_range)
    if is_target(variable.codec_bound):
        model = HEALPIX_MODELS.get(variable.codec) if variable.healpix else None
        return told | {"target": variable.codec_bound} | ({"model": model} if model else {})
    told |= {"bound": variable.codec_bound, "tune": variable.tune}
    return told | ({} if variable.channels is None else {"channels": variable.channels})


def _root_attributes(attributes: Mapping[Any, Any], command: str, plan: Sequence[VariablePlan]) -> dict[Any, Any]:
    written = dict(attributes)
    written["history"] = add_history(written.get("history"), command)
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


def add_history(before: object, command: str) -> str:
    """A line more; CF: the newest comes first or last, and most tools put it first."""
    line = f"{_now():%Y-%m-%dT%H:%M:%SZ} {command} (adiabat {version('adiabat')})"
    return line if before is None else f"{line}\n{before}"


def _now() -> datetime:
    """The time, or what builds that must come out the same say it is (reproducible-builds.org)."""
    said = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(said), UTC) if said else datetime.now(UTC)
