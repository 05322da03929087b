"""What lies in a store, seen from its bytes: codec, bound, path, model, ratio, sections.

Stage: after the archive. Streams are described from their headers and never decoded, so that this
works without the models.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from adiabat.codec.stream import describe
from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import is_zarr

_MAGIC = b"ADBT"
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")


@dataclass(frozen=True)
class ArrayInventory:
    """One array of a store.

    Parameters
    ----------
    name : str
    dtype : str
    shape, chunks : tuple of int
    codec : str
        ``adiabat.pyramid``, or the names of Zarr's own compressors.
    bound : dict or str or None
        What the codec was told; None where it is not ours.
    paths : mapping of str to int
        Chunks by path (neural, classical, constant, raw).
    models : tuple of str
        SHA-256 of every model that decoding needs.
    sections : mapping of str to int
        Bytes by section of the chunks described, headers under ``header``.
    described : int
        Streams looked at.
    stored : int
        Files of chunks, or of shards.
    written_bytes : int
        Everything in the array's folder, its metadata included.
    values : int
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    codec: str
    bound: object
    paths: dict[str, int]
    models: tuple[str, ...]
    sections: dict[str, int]
    described: int
    stored: int
    written_bytes: int
    values: int

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


def _arrays(group: zarr.Group) -> Iterator[tuple[str, zarr.Array[Any]]]:
    for name, member in sorted(group.members(max_depth=None)):
        if isinstance(member, zarr.Array):
            yield name, member


def _describe_array(array: zarr.Array[Any], folder: Path, most_chunks: int) -> ArrayInventory:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    chunk_files = [file for file in files if file.name not in _METADATA]
    codec, bound = _codec_of(array)
    paths: Counter[str] = Counter()
    sections: Counter[str] = Counter()
    models: set[str] = set()
    described = 0
    looked_at = chunk_files[:: max(1, math.ceil(len(chunk_files) / max(1, most_chunks)))]
    for file in looked_at if bound is not None and most_chunks else ():
        for stream in _streams(file.read_bytes(), array):
            header = describe(stream)
            described += 1
            paths[str(header["path"])] += 1
            models.update([str(header["model"])] if header["model"] else [])
            sections["header"] += len(stream)
            for name, size in header["sections"].items():  # type: ignore[attr-defined]
                sections[name] += size
                sections["header"] -= size
    return ArrayInventory(
        name=str(array.path).strip("/"),
        dtype=str(array.dtype),
        shape=array.shape,
        chunks=array.chunks,
        codec=codec,
        bound=bound,
        paths=dict(paths),
        models=tuple(sorted(models)),
        sections=dict(sections),
        described=described,
        stored=len(chunk_files),
        written_bytes=sum(file.stat().st_size for file in files),
        values=array.size,
    )


def _streams(data: bytes, array: zarr.Array[Any]) -> Iterator[bytes]:
    """Cut a file into streams: one, or those of a shard, by the index at its end."""
    if array.shards is None:
        if data[:4] == _MAGIC:  # not inside another compressor
            yield data
        return
    pairs = math.prod(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    index = np.frombuffer(data[-16 * pairs - 4 : -4], dtype="<u8").reshape(-1, 2)  # offset, length; then CRC-32C
    for offset, length in index:
        if data[int(offset) : int(offset) + 4] == _MAGIC:  # an empty chunk lies at 2**64 - 1
            yield data[int(offset) : int(offset) + int(length)]


def _codec_of(array: zarr.Array[Any]) -> tuple[str, object]:
    """Name what encodes the array, and the bound if it is ours."""
    if array.metadata.zarr_format == 3:
        return _search([codec.to_dict() for codec in array.metadata.codecs], "name", "configuration")
    codecs = [*(array.filters or ()), *(array.compressors or ())]
    return _search([codec.get_config() for codec in codecs], "id", None)


def _search(codecs: Iterable[Mapping[str, Any]], key: str, inner: str | None) -> tuple[str, object]:
    names = []
    for codec in codecs:
        name = str(codec[key])
        options = codec.get(inner, {}) if inner else codec
        if name.startswith("adiabat."):
            return name, options["bound"]
        if name == "sharding_indexed":
            name, bound = _search(options["codecs"], key, inner)
            if bound is not None:
                return f"{name} in shards", bound
        names.append(name)
    return "+".join(name for name in names if name != "bytes") or "none", None
