"""A finished archive in an icechunk repository: the same metadata and encoded chunks, byte for byte, and one commit.

Stage: after the archive, where its readers want versions and transactions. icechunk is imported here alone, and lazily.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.cf import is_zarr
from adiabat.formats.store_paths import join_path
from adiabat.formats.workspace import in_place_of
from adiabat.formats.xarray_backend import quiet

__all__ = ["Committed", "to_icechunk"]

AT_ONCE = 8  # values on their way, each in memory


@dataclass(frozen=True)
class Committed:
    """What came of it.

    Parameters
    ----------
    snapshot : str
        Of the commit.
    keys : int
        Metadata documents and chunks (or shards) copied.
    left_out : tuple of str
        Files of the store that are no part of Zarr's hierarchy, such as models and static fields: icechunk takes none,
        so that readers need them from elsewhere.
    """

    snapshot: str
    keys: int
    left_out: tuple[str, ...] = ()


def to_icechunk(store: str | Path, repository: str | Path, message: str) -> Committed:
    """Copy a finished store into a new icechunk repository in a local folder, without encoding anything again.

    Read it by ``xarray.open_zarr(session.store)``, with adiabat installed.

    Parameters
    ----------
    store : path
        A Zarr v3 group in a local folder.
    repository : path
        A folder to make; it stands only when everything is committed.
    message : str
        Of the commit, on branch ``main``.

    Returns
    -------
    Committed

    Raises
    ------
    RequestError
        If there is no such store, or the repository cannot be made there.
    RuntimeError
        If icechunk is not installed.

    Examples
    --------
    >>> to_icechunk("nothing.zarr", "repository", "first")
    Traceback (most recent call last):
    adiabat.formats.errors.RequestError: nothing.zarr is not a Zarr store
    """
    try:
        import icechunk
    except ImportError as error:
        raise RuntimeError("icechunk repositories need icechunk: pip install 'adiabat[icechunk]'") from error
    path, target = Path(store), Path(repository)
    keys, left_out = _keys_of(path)
    if target.exists():
        raise RequestError(f"{target} exists already")
    with in_place_of(target, overwrite=False) as temporary:
        made = icechunk.Repository.create(icechunk.local_filesystem_storage(str(temporary)))
        session = made.writable_session("main")
        sync(_copy(LocalStore(path, read_only=True), session.store, keys))
        snapshot = session.commit(message)
    return Committed(str(snapshot), len(keys), tuple(left_out))


def _keys_of(path: Path) -> tuple[list[str], list[str]]:
    """Keys of Zarr's hierarchy, those of groups before what is in them; and all other files."""
    if not is_zarr(path):
        raise RequestError(f"{path} is not a Zarr store")
    group = zarr.open(path, mode="r", use_consolidated=False)
    if not isinstance(group, zarr.Group) or group.metadata.zarr_format != 3:
        raise RequestError(f"expected a Zarr v3 group at {path}, got {group}: icechunk holds nothing else")
    from adiabat.codec.models import STORE_FOLDER

    with quiet():
        members: dict[str, Any] = {"": group, **dict(group.members(max_depth=None))}
    own = {name: each for name, each in members.items() if name.partition("/")[0] != STORE_FOLDER}
    keys = [join_path(name, "zarr.json") for name in sorted(own)]
    for name, each in sorted(own.items()):
        if isinstance(each, zarr.Array):
            if each.metadata.encode_chunk_key((0,) * each.ndim) != "/".join(["c", *["0"] * each.ndim]):
                raise RequestError(f"expected chunks of {name} to be named as c/0/0, got others")
            files = sorted(file for file in (path / name).rglob("*") if file.is_file())
            names = [file.relative_to(path).as_posix() for file in files]
            keys += [key for key in names if _is_chunk(key.removeprefix(f"{name}/"))]
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    return keys, sorted(there.difference(keys))


def _is_chunk(key: str) -> bool:
    """Whether a key within an array is one of its chunks: ``c``, or numbers under it."""
    head, *numbers = key.split("/")
    return head == "c" and all(number.isdecimal() for number in numbers)


async def _copy(source: Store, target: Store, keys: Sequence[str]) -> None:
    """Copy values, several at once; groups before what is in them."""
    room, prototype = asyncio.Semaphore(AT_ONCE), default_buffer_prototype()

    async def copy(key: str) -> None:
        async with room:
            value = await source.get(key, prototype)
            if value is None:
                raise FileNotFoundError(f"{key} vanished from the store while it was copied")
            await target.set(key, value)

    metadata = [key for key in keys if key.rpartition("/")[2] == "zarr.json"]
    for key in metadata:
        await copy(key)
    await asyncio.gather(*(copy(key) for key in keys[len(metadata) :]))
