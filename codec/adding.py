"""Add model packages and static fields to the user's cache folder, each after checking all of it.

Stage: before reading (`adiabat models add`). Here, and nowhere else, the float graphs of a package are tried: a list of
packages runs none, and a reader runs those that a stream needs. Spec: spec/model.md.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from adiabat.codec import statics
from adiabat.codec.errors import ModelMismatchError, ModelNotFoundError
from adiabat.codec.package import (
    SIZE_LIMIT,
    STORE_FOLDER,
    STORE_MODELS,
    SUFFIX,
    cache_folder,
    check,
    keep,
)

__all__ = ["add", "add_store"]


def add(source: str | os.PathLike[str]) -> Path:
    """Copy a package, or a static field, into the cache folder, after checking it; its file name there is its hash.

    Raises
    ------
    ModelMismatchError
        If the file is neither, or the package's graphs do not run.
    ImportError
        If the package has float graphs and onnxruntime is not installed.
    """
    path = Path(source)
    return _add(path, _read(path))


def add_store(store: str | os.PathLike[str]) -> list[Path]:
    """Add everything that a store keeps for its readers, in its folders `.adiabat` and `.adiabat/models`.

    Raises
    ------
    ModelNotFoundError
        If it keeps nothing.
    ModelMismatchError
        If a file there is not what its name says, or would be refused by `add`.
    """
    folder, added = Path(store) / STORE_FOLDER, []
    for path in sorted([*folder.glob("*.*"), *(Path(store) / STORE_MODELS).glob("*.*")]):
        if path.suffix in (SUFFIX, statics.SUFFIX) and path.is_file():  # a pipe would never end
            data = _read(path)
            digest = hashlib.sha256(data).hexdigest()
            if path.stem != digest:
                raise ModelMismatchError(f"expected {path} to hold what its name says, got SHA-256 {digest}")
            added.append(_add(path, data))
    if not added:
        raise ModelNotFoundError(f"expected models or static fields in {folder}, got none: nothing to add")
    return added


def _read(path: Path) -> bytes:
    """The bytes of a file that is not too large."""
    limit, size = statics.SIZE_LIMIT if path.suffix == statics.SUFFIX else SIZE_LIMIT, path.stat().st_size
    if size > limit:
        raise ModelMismatchError(f"expected {path} to hold at most {limit} bytes, got {size}")
    return path.read_bytes()


def _add(path: Path, data: bytes) -> Path:
    if path.suffix == statics.SUFFIX:
        return cache_folder() / f"{statics.add_static(data)}{statics.SUFFIX}"
    try:
        return keep(f"{check(data, run=True).sha256}{SUFFIX}", data)
    except ModelMismatchError as error:
        raise ModelMismatchError(f"{path}: {error}") from error
