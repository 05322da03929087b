"""JPEG 2000, OpenJPEG as imagecodecs has it: 16-bit samples, irreversible at a PSNR, or reversible on quantised values.

Irreversible, it bounds no error: a largest error is held by searching the PSNR. The two float32 that undo the scaling
are counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape
from adiabat.formats.peers.quantised import HEAD, dequantise, quantise
from adiabat.formats.peers.sperr import decibels

__all__ = ["JPEG2000"]

LEVELS = 65535
SCALE = 8  # bytes: smallest value and range


def _scaled(field: Array) -> tuple[NDArray[np.uint16], bytes]:
    low, span = float(field.min()), float(np.ptp(field)) or 1.0
    image = np.rint((field - np.float64(low)) / span * LEVELS).astype(np.uint16)
    return image, np.array([low, span], "<f4").tobytes()


def _irreversible(image: NDArray[np.uint16], level: float) -> bytes:
    import imagecodecs

    options: dict[str, Any] = {"level": level}  # in dB, and fractions count
    return bytes(imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=False, **options))


def encode(field: Array, rmse: float) -> bytes:
    """All bytes at the PSNR that this RMSE is."""
    image, scale = _scaled(field)
    return scale + _irreversible(image, decibels(field, rmse))


def encode_fixed(field: Array, ratio: float) -> bytes:
    """All bytes at about this ratio, the scale apart."""
    image, scale = _scaled(field)
    worse, finer, data = 1.0, 140.0, b""
    for _ in range(20):
        level = (worse + finer) / 2
        data = _irreversible(image, level)
        worse, finer = (level, finer) if field.nbytes / len(data) > ratio else (worse, level)
    return scale + data


def decode(data: bytes, shape: Shape) -> NDArray[np.float64]:
    """The array back."""
    import imagecodecs

    low, span = map(float, np.frombuffer(data[:SCALE], "<f4"))
    image = np.asarray(imagecodecs.jpeg2k_decode(data[SCALE:]))
    return (image.astype(np.float64) / LEVELS * span + low).reshape(shape)


def encode_quantised(field: Array, bound: float) -> bytes:
    """All bytes of quantised values, reversibly coded."""
    import imagecodecs

    head, index = quantise(field, bound, largest=LEVELS)
    return head + bytes(imagecodecs.jpeg2k_encode(index, level=0, codecformat="j2k", reversible=True))


def decode_quantised(data: bytes, shape: Shape) -> NDArray[Any]:
    """The array back."""
    import imagecodecs

    return dequantise(data[:HEAD], np.asarray(imagecodecs.jpeg2k_decode(data[HEAD:]))).reshape(shape)


IMAGES = ("frames", "tall")
JPEG2000 = Peer(
    "jpeg2000",
    ("imagecodecs",),
    "pip install 'adiabat[peers]'",
    ("imagecodecs",),
    bounded=(
        Mode("quantised", encode_quantised, decode_quantised, IMAGES),
        Mode("psnr searched", encode, decode, IMAGES, start=0.2, searched=True),
    ),
    rmse=(Mode("psnr", encode, decode, IMAGES, start=1.0),),
    fixed=(Mode("psnr searched", encode_fixed, decode, ("frames",)),),
)
