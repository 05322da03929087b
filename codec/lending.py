"""Packages and static fields that this process was lent by whoever opened a store, and that no other process sees.

Beside `package`, which looks here last. Nothing is written to disk. Spec: spec/model.md, "Stores that carry models".
"""

from __future__ import annotations

import hashlib

from adiabat.codec.errors import ModelMismatchError

__all__ = ["LENT", "is_lent", "lend"]

NPY_MAGIC = b"\x93NUMPY"
LENT: dict[str, bytes] = {}  # packages by SHA-256


def lend(data: bytes, sha256: str) -> None:
    """Let this process, and no other, find a package or a static field by its hash; nothing is written anywhere.

    Parameters
    ----------
    data : bytes
        Of the file: a package, or a static field.
    sha256 : str
        What it is said to be, in hexadecimal.

    Raises
    ------
    ModelMismatchError
        If it is not that, or neither.
    """
    from adiabat.codec import package, statics

    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise ModelMismatchError(f"expected what was lent to have the SHA-256 of its name {sha256}, got {digest}")
    if data.startswith(NPY_MAGIC):
        statics.take_static(data, sha256)
        return
    package.check(data)
    LENT[sha256] = data


def is_lent(sha256: str) -> bool:
    """Whether this process was lent it already, so that it need not be fetched again."""
    from adiabat.codec import statics

    return sha256 in LENT or statics.is_loaded(sha256)
