"""SZ3, by its authors' package pysz: prediction by interpolation, under an absolute bound."""

from __future__ import annotations

import numpy as np

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape

__all__ = ["SZ3"]


def encode(field: Array, bound: float) -> bytes:
    """All bytes at this absolute bound."""
    from pysz import sz, szConfig, szErrorBoundMode

    config = szConfig()
    config.errorBoundMode, config.absErrorBound, config.openmp = szErrorBoundMode.ABS, bound, False
    return bytes(sz.compress(np.ascontiguousarray(field), config)[0].tobytes())


def decode(data: bytes, shape: Shape) -> Array:
    """The array back."""
    from pysz import sz

    back: Array = sz.decompress(np.frombuffer(data, np.uint8).copy(), np.float32, shape)[0]
    return back


SZ3 = Peer(
    "sz3",
    ("pysz",),
    "pip install 'adiabat[peers]'",
    ("pysz",),
    bounded=(Mode("bound", encode, decode),),
    rmse=(Mode("bound", encode, decode, start=2.0),),
)
