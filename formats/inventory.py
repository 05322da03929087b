"""What lies in a store, seen from its bytes: codec, bound, path, context, model, ratio, sections.

Stage: after the archive. Streams are described from their headers and plans and never decoded, so that this
works without the models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from adiabat.formats.errors import RequestError
from adiabat.formats.journal import RECORDS
from adiabat.formats.plan import HEALPIX
from adiabat.formats.policy import Bound
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.streams import MAGIC, StreamTally

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata", RECORDS)
_NAMES = "_ARRAY_DIMENSIONS"  # xarray's, in version 2


@dataclass(frozen=True)
class ArrayInventory:
    """One array of a store.

    Parameters
    ----------
    name : str
    dtype : str
    dims : tuple of str
        Empty where they have no names.
    shape, chunks : tuple of int
    codec : str
        ``adiabat.pyramid``, or the names of Zarr's own compressors.
    options : mapping
        What the codec was told; empty where it is not ours.
    labels : mapping of str to str
        What the archive calls its static fields, by SHA-256.
    streams : StreamTally
        Of the streams looked at.
    stored : int
        Files of chunks, or of shards.
    written_bytes : int
        Everything in the array's folder, its metadata included.
    values : int
    """

    name: str
    dtype: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    codec: str
    options: Mapping[str, Any]
    labels: Mapping[str, str]
    streams: StreamTally
    stored: int
    written_bytes: int
    values: int

    @property
    def bound(self) -> Bound | None:
        """What the codec was told, a bound or a target; None where it is not ours."""
        told: Bound | None = self.options.get("bound", self.options.get("target"))
        return told

    @property
    def ratio(self) -> float:
        """Bytes of the array as float32 over all bytes written for it."""
        return 4 * self.values / self.written_bytes if self.written_bytes else 0.0


def take_inventory(store: str | Path, *, most_chunks: int = 200) -> list[ArrayInventory]:
    """Describe every array of a store.

    Parameters
    ----------
    store : path
        A Zarr group, version 2 or 3, in a local folder.
    most_chunks : int
        Files described per array, evenly spaced; the sizes always count all of them.

    Returns
    -------
    list of ArrayInventory
        Largest first.

    Raises
    ------
    RequestError
        If there is no Zarr group.
    """
    path = Path(store)
    if not is_zarr(path):
        raise RequestError(f"{path} is not a Zarr store")
    group = zarr.open(path, mode="r")
    if not isinstance(group, zarr.Group):
        raise RequestError(f"{path} is a single Zarr array; inspect looks at groups")
    rows = [_describe_array(array, path / name, most_chunks) for name, array in _arrays(group)]
    return sorted(rows, key=lambda row: -row.written_bytes)


def codec_bounds(store: str | Path) -> dict[str, Bound]:
    """Look up what the codec of each array was told to keep; arrays of other codecs are left out."""
    path = Path(store)
    group = zarr.open(path, mode="r") if is_zarr(path) else None
    arrays = _arrays(group) if isinstance(group, zarr.Group) else ()
    told = {name: _codec_of(array)[1] for name, array in arrays}
    return {name: options.get("bound", options.get("target")) for name, options in told.items() if options}


def _arrays(group: zarr.Group) -> Iterator[tuple[str, zarr.Array[Any]]]:
    from adiabat.formats.xarray_backend import quiet

    with quiet():
        members = sorted(group.members(max_depth=None))
    for name, member in members:
        if isinstance(member, zarr.Array):
            yield name, member


def _describe_array(array: zarr.Array[Any], folder: Path, most_chunks: int) -> ArrayInventory:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    chunk_files = [file for file in files if file.name not in _METADATA]
    codec, options = _codec_of(array)
    tally = _tally(array, chunk_files, most_chunks) if options else StreamTally()
    return ArrayInventory(
        name=str(array.path).strip("/"),
        dtype=str(array.dtype),
        dims=_dims_of(array),
        shape=array.shape,
        chunks=array.chunks,
        codec=codec,
        options=options,
        labels=_labels_of(array),
        streams=tally,
        stored=len(chunk_files),
        written_bytes=sum(file.stat().st_size for file in files),
        values=array.size,
    )


def _tally(array: zarr.Array[Any], chunk_files: list[Path], most_chunks: int) -> StreamTally:
    """Describe streams of at most so many files, evenly spaced."""
    tally = StreamTally()
    for file in chunk_files[:: max(1, math.ceil(len(chunk_files) / max(1, most_chunks)))] if most_chunks else ():
        for stream in _streams(file.read_bytes(), array):
            tally.add(stream)
    return tally


def _dims_of(array: zarr.Array[Any]) -> tuple[str, ...]:
    names = getattr(array.metadata, "dimension_names", None) or array.attrs.get(_NAMES) or ()
    return tuple(map(str, names))  # type: ignore[arg-type]


def _labels_of(array: zarr.Array[Any]) -> dict[str, str]:
    """Read what the attribute ``adiabat`` calls the static fields; nothing depends on it."""
    try:
        return dict(json.loads(str(array.attrs["adiabat"]))["static"])
    except (KeyError, TypeError, ValueError):
        return {}


def _streams(data: bytes, array: zarr.Array[Any]) -> Iterator[bytes]:
    """Cut a file into streams: one, or those of a shard, by the index at its end."""
    if array.shards is None:
        if data[:4] == MAGIC:  # not inside another compressor
            yield data
        return
    pairs = math.prod(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    index = np.frombuffer(data[-16 * pairs - 4 : -4], dtype="<u8").reshape(-1, 2)  # offset, length; then CRC-32C
    for offset, length in index:
        if data[int(offset) : int(offset) + 4] == MAGIC:  # an empty chunk lies at 2**64 - 1
            yield data[int(offset) : int(offset) + int(length)]


def _codec_of(array: zarr.Array[Any]) -> tuple[str, Mapping[str, Any]]:
    """Name what encodes the array, and the options if it is ours."""
    if array.metadata.zarr_format == 3:
        return _search([codec.to_dict() for codec in array.metadata.codecs], "name", "configuration")
    codecs = [*(array.filters or ()), *(array.compressors or ())]
    return _search([codec.get_config() for codec in codecs], "id", None)


def _search(codecs: Iterable[Mapping[str, Any]], key: str, inner: str | None) -> tuple[str, Mapping[str, Any]]:
    names = []
    for codec in codecs:
        name = str(codec[key])
        options = codec.get(inner, {}) if inner else codec
        if name.startswith("adiabat.") and name != HEALPIX:
            return name, options
        if name == "sharding_indexed":
            name, found = _search(options["codecs"], key, inner)
            if found:
                return f"{name} in shards", found
        names.append(name)
    return "+".join(name for name in names if name != "bytes") or "none", {}
