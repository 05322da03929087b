"""How a low-rank variable lies on disk: a Zarr group of small arrays, and a marker.

Stage: quantised_factors -> **low_rank_layout** -> low_rank_store. Factors, weights, base and offset are plain Zarr
arrays that any reader understands; the mask and the residual have codecs of ours. Spec: `spec/low_rank.md`, "Layout".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from xarray.backends.zarr import encode_zarr_attr_value
from zarr.storage import MemoryStore

from adiabat.formats.quantised_factors import Quantised
from adiabat.training.anomaly import Anomaly

__all__ = ["DAYS", "MARKER", "SUFFIX", "VERSION", "VIEWS", "attributes_of", "bounds_of", "files_of", "low_rank_names"]
__all__ += ["mark", "write_group"]

MARKER = "adiabat_low_rank"  # attribute of the group of a variable
SUFFIX = ".cp.zarr"  # of a store's name
VERSION = 1
VIEWS = ("filled", "corrected", "source", "observed")
DAYS = 128  # rows of the first factor in a chunk, and of the mask
MASK_CELLS = 1 << 20  # of a chunk of the mask, unless one row has more
COMPONENT = "component"

_ZSTD = {"name": "zstd", "configuration": {"level": 19, "checksum": False}}
_NARROW = _ZSTD
_WIDE = {
    "name": "blosc",  # planes of bits: those above the highest that a column uses cost nothing
    "configuration": {"cname": "zstd", "clevel": 9, "shuffle": "bitshuffle", "typesize": 2, "blocksize": 0},
}


def write_group(
    parent: zarr.Group,
    name: str,
    *,
    dims: Sequence[str],
    dtype: np.dtype[Any],
    small: Quantised,
    anomaly: Anomaly,
    attributes: Mapping[str, Any],
    observed: NDArray[np.bool_] | None = None,
    residual: Mapping[str, Any] | None = None,
    view: str = "filled",
    about: Mapping[str, Any] | None = None,
) -> zarr.Group:
    """Write one variable, but for the values of its residual.

    Parameters
    ----------
    parent : zarr.Group
    name : str
        Of the variable.
    dims, dtype, attributes
        Of the variable, as xarray has them; attributes in JSON.
    small : Quantised
    anomaly : Anomaly
    observed : bool, optional
        None: all cells were, or the residual tells.
    residual : mapping, optional
        ``dtype``, ``chunks``, ``serializer`` and ``bound`` of an array to make for it, still empty; ``base``: a
        serializer for the base.
    view : str
        What a reader gets who asks for nothing else; one of VIEWS.
    about : mapping, optional
        How the factors were fitted; in JSON, for people.

    Returns
    -------
    zarr.Group
    """
    shape = tuple(len(factor) for factor in small.factors)
    factors = ["weights", *(f"factor_{dim}" for dim in dims)] if small.rank else []
    there = {"offset": anomaly.offset, "observed": observed, "residual": residual}
    note = {
        "version": VERSION,
        "dims": list(dims),
        "shape": list(shape),
        "dtype": np.dtype(dtype).name,
        "rank": small.rank,
        "transform": anomaly.transform,
        "scale": float(anomaly.scale),
        "view": view,
        "arrays": [*factors, "base", *(each for each, found in there.items() if found is not None)],
    }
    note |= {"floor": float(anomaly.floor)} if anomaly.transform == "log" else {}
    note |= {"bound": residual["bound"]} if residual is not None else {}
    note |= {"about": dict(about)} if about else {}
    with zarr.config.set({"json_indent": None}):  # metadata count
        group = parent.create_group(name, attributes={**attributes, MARKER: note})
        if small.rank:
            _plain(group, "weights", small.weights, (COMPONENT,))
            for axis, (dim, factor) in enumerate(zip(dims, small.factors, strict=True)):
                rows = min(DAYS, len(factor)) if axis == 0 else len(factor)
                codec = _NARROW if factor.dtype == np.int8 else _WIDE
                _plain(group, f"factor_{dim}", factor.T, (COMPONENT, dim), (small.rank, rows), codec)
        if residual is None:
            _plain(group, "base", anomaly.base, dims[1:])
        else:  # whoever reads the residual can read this
            base = _array(group, "base", shape[1:], np.float32, dims[1:], shape[1:], None, residual["base"])
            base[...] = anomaly.base
        if anomaly.offset is not None:
            _plain(group, "offset", anomaly.offset, dims[:1])
        if observed is not None:
            rows = max(1, min(DAYS, len(observed), MASK_CELLS // max(1, observed[0].size)))
            mask = _array(group, "observed", shape, bool, dims, (rows, *shape[1:]), None, {"name": "adiabat.mask"})
            mask[...] = observed
        if residual is not None:
            _array(
                group,
                "residual",
                shape,
                residual["dtype"],
                dims,
                residual["chunks"],
                None,
                residual["serializer"],
                np.nan,
            )
    return group


def _plain(
    group: zarr.Group,
    name: str,
    values: NDArray[Any],
    dims: Sequence[str],
    chunks: tuple[int, ...] | None = None,
    codec: Mapping[str, Any] = _ZSTD,
) -> None:
    array = _array(group, name, values.shape, values.dtype, dims, chunks or values.shape, codec)
    array[...] = values


def _array(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: Any,
    dims: Sequence[str],
    chunks: tuple[int, ...],
    codec: Mapping[str, Any] | None,
    serializer: Any = "auto",
    fill: Any = 0,
) -> zarr.Array[Any]:
    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=tuple(max(1, size) for size in chunks),
        compressors=None if codec is None else dict(codec),
        serializer=serializer,
        fill_value=fill,
        dimension_names=tuple(dims),
    )


def mark(group: zarr.Group, names: Sequence[str]) -> None:
    """Note on a group which of its members are variables of this format."""
    group.attrs[MARKER] = {"version": VERSION, "variables": list(names)}


def low_rank_names(group: zarr.Group) -> list[str]:
    """Variables of this format right under a group, as its attribute says."""
    note = group.attrs.get(MARKER)
    names = note.get("variables") if isinstance(note, Mapping) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def bounds_of(group: zarr.Group) -> dict[str, Any]:
    """What observed cells of each variable of this format under a group keep to; None where that is nothing."""
    bounds: dict[str, Any] = {}
    for name in low_rank_names(group):
        note = group[name].attrs.get(MARKER)
        bounds[name] = note.get("bound") if isinstance(note, Mapping) else None
    return bounds


def attributes_of(array: xr.DataArray) -> dict[str, Any]:
    """CF attributes of an array in JSON, with the names of its coordinates that are no dimensions."""
    encode: Any = encode_zarr_attr_value
    attributes = {str(name): encode(value) for name, value in array.attrs.items()}
    for key in ("coordinates", "grid_mapping"):
        if key in array.encoding:
            attributes.setdefault(key, array.encoding[key])
    attributes.pop("_FillValue", None)
    outer = [str(name) for name in array.coords if name not in array.dims]
    return attributes | ({"coordinates": " ".join(outer)} if outer and "coordinates" not in attributes else {})


def files_of(memory: MemoryStore) -> dict[str, bytes]:
    """Everything below the root."""
    held = memory._store_dict
    return {name: buffer.to_bytes() for name, buffer in held.items() if "/" in name}
