"""SPERR, as imagecodecs has it: wavelets with outliers corrected (``pwe``), or at a given PSNR or rate."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape

__all__ = ["SPERR", "decibels"]


def decibels(field: Array, rmse: float) -> float:
    """Peak signal to noise ratio that this RMSE is, in dB.

    Examples
    --------
    >>> decibels(np.array([[0.0, 10.0]], "f4"), 0.1)
    40.0
    """
    return max(20 * math.log10((float(np.ptp(field)) or 1.0) / rmse), 1.0)


def encode(field: Array, level: float, *, mode: str) -> bytes:
    """All bytes in one of SPERR's modes: ``pwe`` (largest error), ``psnr`` (dB) or ``bpp`` (bits per value)."""
    import imagecodecs

    options: dict[str, Any] = {"mode": mode} | ({"chunks": field.shape} if field.ndim == 3 else {})
    return bytes(imagecodecs.sperr_encode(field, level, numthreads=1, **options))


def encode_bounded(field: Array, bound: float) -> bytes:
    """Asked for the bound less one unit in the last place, since it oversteps by rounding."""
    shaved = bound - float(np.spacing(np.float32(np.abs(field).max())))
    return encode(field, max(shaved, bound / 2), mode="pwe")


def decode(data: bytes, shape: Shape) -> NDArray[Any]:
    """The array back."""
    import imagecodecs

    return np.asarray(imagecodecs.sperr_decode(data)).reshape(shape)


SPERR = Peer(
    "sperr",
    ("imagecodecs",),
    "pip install 'adiabat[peers]'",
    ("imagecodecs",),
    bounded=(Mode("pwe", encode_bounded, decode),),
    rmse=(
        Mode("pwe", partial(encode, mode="pwe"), decode, start=4.0),
        Mode("psnr", lambda field, rmse: encode(field, decibels(field, rmse), mode="psnr"), decode, start=1.3),
        Mode("bpp", lambda field, ratio: encode(field, 32 / ratio, mode="bpp"), decode, start=None),
    ),
    fixed=(Mode("bpp", lambda field, ratio: encode(field, 32 / ratio, mode="bpp"), decode),),
)
