"""ZFP, by zfpy or else imagecodecs: blocks of 4 x 4 (x 4), under an absolute tolerance, or reversible."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape

__all__ = ["ZFP"]


def encode(field: Array, bound: float) -> bytes:
    """All bytes at this tolerance; 0: reversible."""
    if find_spec("zfpy") is not None:
        import zfpy

        return bytes(zfpy.compress_numpy(field, **({"tolerance": bound} if bound else {})))
    import imagecodecs

    options: dict[str, Any] = {"level": bound, "mode": "a"} if bound else {"mode": "R"}
    return bytes(imagecodecs.zfp_encode(field, **options))


def decode(data: bytes, shape: Shape) -> NDArray[Any]:
    """The array back."""
    if find_spec("zfpy") is not None:
        import zfpy

        return np.asarray(zfpy.decompress_numpy(data)).reshape(shape)
    import imagecodecs

    return np.asarray(imagecodecs.zfp_decode(data)).reshape(shape)


ZFP = Peer(
    "zfp",
    ("imagecodecs",),
    "pip install 'adiabat[peers]'",
    ("zfpy", "imagecodecs"),
    bounded=(Mode("tolerance", encode, decode),),
    rmse=(Mode("tolerance", encode, decode, start=16.0),),
    lossless=(Mode("reversible", lambda field, _: encode(field, 0.0), decode),),
)
