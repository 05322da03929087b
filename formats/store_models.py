"""Models inside a store: put there by whoever writes it, used by readers who ask for that.

Stage: after the archive (`embed_models`), and before reading (`lend_models`, `LendingStore`). A store keeps packages
as ``.adiabat/models/<SHA-256>.zip``; plain ``open_zarr`` never looks at them. Spec: spec/model.md, "Stores that carry
models".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, WrapperStore

from adiabat.formats.errors import RequestError
from adiabat.formats.journal import replace_file

__all__ = ["LendingStore", "embed_models", "lend_models", "lending", "needed_models", "open_store"]

ABOUT = "Model packages that streams of this store need, each named by its SHA-256."
ADVICE = (
    'A reader who trusts them opens the store with xarray.open_dataset(store, engine="adiabat", models="store"), '
    "or keeps them with: adiabat models add STORE."
)
HEAD = 1024  # bytes, more than any header with its table of sections
MOST_FILES, MOST_BYTES = 64, 1 << 30  # that one store lends
Read = Callable[[int, int], bytes]
"""Bytes from an offset, so many or as many as there are."""


def embed_models(store: str | Path, needed: Iterable[str] | None = None) -> list[Path]:
    """Put the packages that streams of a store need into it; those that are there already stay.

    Parameters
    ----------
    store : path
        A Zarr group in a local folder, finished or being written.
    needed : iterable of str, optional
        Their hashes, or the beginnings that streams keep; None: what `needed_models` finds.

    Returns
    -------
    list of pathlib.Path
        Files of the store, one for each package.

    Raises
    ------
    ModelNotFoundError
        If one is not on this machine.
    RequestError
        If there is no store.

    Examples
    --------
    >>> from adiabat.formats import compress
    >>> from adiabat.formats.demo import simulate_field
    >>> _ = compress(simulate_field((1, 37, 72)), "a.zarr", default_bound={"abs": 0.1})
    >>> [path.suffix for path in embed_models("a.zarr")]
    ['.zip']
    """
    from adiabat.codec.models import STORE_FOLDER, STORE_MODELS, SUFFIX
    from adiabat.codec.package import check, find
    from adiabat.formats.checksums import update_checksums

    path = Path(store)
    packages = {}
    for name in sorted(needed_models(path) if needed is None else set(needed)):
        data = find(name)
        packages[check(data).sha256] = data
    if not packages:
        return []
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    root.require_group(STORE_FOLDER)
    group = root.require_group(STORE_MODELS)  # a group of its own: Zarr warns of folders that it does not know
    if "about" not in group.attrs:
        group.attrs["about"] = f"{ABOUT} {ADVICE}"
    files = [path / STORE_MODELS / f"{sha256}{SUFFIX}" for sha256 in packages]
    for file, data in zip(files, packages.values(), strict=True):
        if not (file.is_file() and file.read_bytes() == data):
            replace_file(file, data)
    update_checksums(path, [*files, *(path / STORE_FOLDER).rglob("zarr.json")])
    return files


def needed_models(store: str | Path) -> set[str]:
    """The models that streams of a store name, by their hashes or, of the latent codecs, the beginnings of these.

    Headers alone are read, those of residuals inside latent streams too.

    Parameters
    ----------
    store : path
        A Zarr group in a local folder.

    Returns
    -------
    set of str

    Raises
    ------
    RequestError
        If there is none.
    CorruptStreamError
        If a header is none.
    """
    from adiabat.formats.sources.cf import is_zarr
    from adiabat.formats.xarray_backend import quiet

    path = Path(store)
    if not is_zarr(path):
        raise RequestError(f"{path} is not a Zarr store")
    group = zarr.open(path, mode="r", use_consolidated=False)
    if not isinstance(group, zarr.Group):
        raise RequestError(f"{path} is a single Zarr array; models are kept in groups")
    with quiet():
        members = [(name, each) for name, each in group.members(max_depth=None) if isinstance(each, zarr.Array)]
    return {model for name, array in members for model in models_of_array(array, path / name)}


def models_of_array(array: zarr.Array[Any], folder: Path) -> set[str]:
    """The models that streams of an array name; see `needed_models`."""
    chunks = folder / "c" if array.metadata.zarr_format == 3 else folder  # beside them lie other files
    found: set[str] = set()
    for file in chunks.rglob("*") if chunks.is_dir() else [chunks]:
        if file.is_file():
            with file.open("rb") as opened:
                found.update(_models_of_file(opened, file.stat().st_size, array))
    return found


def _models_of_file(opened: Any, size: int, array: zarr.Array[Any]) -> Iterator[str]:
    """What streams of a chunk's or a shard's file name; nothing of a file that holds none."""

    def read(offset: int, count: int) -> bytes:
        opened.seek(offset)
        return bytes(opened.read(count))

    if array.shards is None:
        yield from _models_of_stream(read, 0)
        return
    pairs = math.prod(shard // chunk for shard, chunk in zip(array.shards, array.chunks, strict=True))
    start = size - 16 * pairs - 4
    if start < 0:
        return
    index = np.frombuffer(read(start, 16 * pairs), dtype="<u8").reshape(-1, 2)  # offset, length; then CRC-32C
    for offset in index[:, 0]:
        if offset < start:  # an empty chunk lies at 2**64 - 1
            yield from _models_of_stream(read, int(offset))


def _models_of_stream(read: Read, offset: int) -> Iterator[str]:
    """What the header at this offset names, and that of a residual within the stream."""
    from adiabat.codec.header import read_header
    from adiabat.codec.octets import Reader
    from adiabat.codec.stream import MAGIC, SECTIONS

    head = read(offset, HEAD)
    if head[:4] != MAGIC:
        return
    reader = Reader(head[6:])  # after magic, version and codec
    reader.varint()
    model = read_header(reader, head[4])["model"]
    if model is not None:
        yield model.hex()
    table = [(SECTIONS.get(reader.u8()), reader.varint()) for _ in range(reader.u8())]
    at = offset + len(head) - reader.left
    for name, length in table:
        if name == "residual":
            yield from _models_of_stream(read, at)
        at += length


def lend_models(store: str | Path | Store) -> list[str]:
    """Let this process decode with the models and static fields that a store carries; nothing is kept on disk.

    They decide what values you see, so ask for it only where you trust whoever wrote the store. Workers in other
    processes that get a dataset opened with ``models="store"`` do this by themselves.

    Parameters
    ----------
    store : path, URL or Zarr store

    Returns
    -------
    list of str
        SHA-256 of what was found there.

    Raises
    ------
    ModelMismatchError
        If a file there is too large, is not what its name says, or is no model package or static field.
    RequestError
        If the store's files cannot be listed.
    """
    from adiabat.codec import models, package, statics
    from adiabat.codec.errors import ModelMismatchError
    from adiabat.codec.lending import is_lent, lend

    opened = open_store(store)
    kinds = {
        models.STORE_MODELS: (package.SUFFIX, package.SIZE_LIMIT),
        models.STORE_FOLDER: (statics.SUFFIX, statics.SIZE_LIMIT),
    }
    found = {
        f"{folder}/{name}": limit
        for folder, (suffix, limit) in kinds.items()
        for name in sorted(_names(opened, folder))
        if re.fullmatch(rf"[0-9a-f]{{64}}{re.escape(suffix)}", name)
    }
    new = {key: limit for key, limit in found.items() if not is_lent(_sha256_of(key))}
    _check_sizes(opened, new)
    for key in new:
        buffer = sync(opened.get(key, default_buffer_prototype()))
        try:
            lend(b"" if buffer is None else buffer.to_bytes(), _sha256_of(key))
        except ModelMismatchError as error:
            raise ModelMismatchError(f"{key}: {error}") from error
    return [_sha256_of(key) for key in found]


def _sha256_of(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


def _check_sizes(store: Store, found: Mapping[str, int]) -> None:
    """Before anything is read: each by itself, and all together."""
    from adiabat.codec.errors import ModelMismatchError

    sizes = {}
    for key, limit in found.items() if len(found) <= MOST_FILES else ():
        if not sync(store.exists(key)):  # no file: a folder, or a pipe that would never end
            raise ModelMismatchError(f"expected {key} to be a file")
        sizes[key] = sync(store.getsize(key))
        if sizes[key] > limit:
            raise ModelMismatchError(f"expected {key} to hold at most {limit} bytes, got {sizes[key]}")
    if len(found) > MOST_FILES or sum(sizes.values()) > MOST_BYTES:
        raise ModelMismatchError(
            f"expected a store to carry at most {MOST_FILES} models and static fields of {MOST_BYTES} bytes, got "
            f"{len(found)} of {sum(sizes.values())}"
        )


def _names(store: Store, folder: str) -> list[str]:
    async def collect() -> list[str]:
        return [name async for name in store.list_dir(folder)]

    try:
        return sync(collect())
    except FileNotFoundError:
        return []
    except NotImplementedError:
        raise RequestError(f"expected a store whose files can be listed for its models, got {store}") from None


def open_store(place: str | Path | Store) -> Store:
    """A Zarr store to be read, from its path, its URL, or itself."""
    if isinstance(place, Store):
        return place
    if "://" in str(place):
        from zarr.storage import FsspecStore

        return FsspecStore.from_url(str(place), read_only=True)
    return LocalStore(place, read_only=True)


class LendingStore(WrapperStore[Store]):
    """A store whose models serve every process that gets it: where it is unpickled, they are lent again.

    Parameters
    ----------
    store : Zarr store
        Whose models `lend_models` has lent to this process.

    Examples
    --------
    >>> from zarr.storage import MemoryStore
    >>> LendingStore(MemoryStore()).read_only
    False
    """

    def __reduce__(self) -> tuple[Callable[[Store], LendingStore], tuple[Store]]:
        return lending, (self._store,)


def lending(store: Store) -> LendingStore:
    """A store that has lent its models to this process, and will to others."""
    lend_models(store)
    return LendingStore(store)
