"""Linear quantisation under an absolute bound, and what then codes the integers: JPEG XL, pcodec, zstd.

Integers are counted from the smallest value in steps of twice the bound, less a unit in the last place; the two float64
that undo it are counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape

__all__ = ["JPEG_XL", "LINEAR_ZSTD", "PCODEC", "dequantise", "pack", "quantise", "unpack"]

Integers = NDArray[Any]
HEAD = 16  # bytes
LARGEST = 2**31 - 1


def quantise(field: Array, bound: float, *, largest: int = LARGEST) -> tuple[bytes, Integers]:
    """Head and unsigned integers, of 16 bits where they fit, else 32.

    Raises
    ------
    ValueError
        More levels than `largest`.

    Examples
    --------
    >>> head, index = quantise(np.array([[1.0, 2.0, 4.0]], "f4"), 0.5)
    >>> index.tolist(), dequantise(head, index).round(4).tolist()
    ([[0, 1, 3]], [[1.0, 2.0, 4.0]])
    """
    low = float(field.min())
    step = 2 * max(bound - float(np.spacing(np.float32(np.abs(field).max()))), bound / 2)
    index = np.rint((field.astype(np.float64) - low) / step)
    if index.max() > largest:
        raise ValueError(f"more than {largest.bit_length()} bits of levels")
    dtype = np.uint16 if index.max() <= 65535 else np.uint32
    return np.array([low, step], "<f8").tobytes(), index.astype(dtype)


def dequantise(head: bytes, index: Integers) -> Array:
    """What the integers stand for."""
    low, step = np.frombuffer(head, "<f8")
    out: Array = (low + step * index.astype(np.float64)).astype(np.float32)
    return out


def pack(values: NDArray[Any]) -> bytes:
    """Bytes of alike significance together, then zstd at level 9."""
    from numcodecs import Zstd
    from numcodecs.shuffle import Shuffle

    return bytes(Zstd(level=9).encode(Shuffle(values.itemsize).encode(np.ascontiguousarray(values).ravel())))


def unpack(data: bytes, dtype: str, shape: Shape) -> NDArray[Any]:
    """Undo `pack`."""
    from numcodecs import Zstd
    from numcodecs.shuffle import Shuffle

    size = np.dtype(dtype).itemsize
    return np.frombuffer(bytes(Shuffle(size).decode(Zstd().decode(data))), dtype).reshape(shape)


def _modes(
    name: str, write: Callable[[Integers], bytes], read: Callable[[bytes, Shape], Integers], **options: Any
) -> tuple[tuple[Mode, ...], tuple[Mode, ...]]:
    """Bounded, and to meet an RMSE, whose error is about uniform."""
    largest, layouts = options.pop("largest", LARGEST), options.pop("layouts", ("frames", "volume"))

    def encode(field: Array, bound: float) -> bytes:
        head, index = quantise(field, bound, largest=largest)
        return head + write(index)

    def decode(data: bytes, shape: Shape) -> Array:
        return dequantise(data[:HEAD], read(data[HEAD:], shape)).reshape(shape)

    return (Mode(name, encode, decode, layouts),), (Mode(name, encode, decode, layouts, start=3**0.5),)


def _write_jxl(index: NDArray[Any]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegxl_encode(index, lossless=True, effort=7))


def _read_jxl(data: bytes, shape: Shape) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpegxl_decode(data)).reshape(shape)


def _write_pcodec(index: NDArray[Any]) -> bytes:
    import imagecodecs

    return index.dtype.str[-1:].encode() + bytes(imagecodecs.pcodec_encode(index, 8))


def _read_pcodec(data: bytes, shape: Shape) -> NDArray[Any]:
    import imagecodecs

    dtype = np.dtype(f"u{data[:1].decode()}")
    return np.asarray(imagecodecs.pcodec_decode(data[1:], shape, dtype))


def _write_zstd(index: Integers) -> bytes:
    return index.dtype.str[-1:].encode() + pack(index)


def _read_zstd(data: bytes, shape: Shape) -> Integers:
    return unpack(data[1:], f"<u{data[:1].decode()}", shape)


_JXL = _modes("quantised", _write_jxl, _read_jxl, largest=65535, layouts=("frames", "tall"))
_PCODEC = _modes("quantised", _write_pcodec, _read_pcodec)
_ZSTD = _modes("quantised", _write_zstd, _read_zstd)

JPEG_XL = Peer(
    "jpegxl",
    ("imagecodecs",),
    "pip install 'adiabat[peers]'",
    ("imagecodecs",),
    bounded=_JXL[0],
    rmse=_JXL[1],
    lossless=(Mode("float", lambda field, _: _write_jxl(field), _read_jxl, ("frames", "tall")),),
)
PCODEC = Peer(
    "pcodec",
    ("imagecodecs",),
    "pip install 'adiabat[peers]'",
    ("imagecodecs",),
    bounded=_PCODEC[0],
    rmse=_PCODEC[1],
    lossless=(
        Mode(
            "float",
            lambda field, _: _write_float_pcodec(field),
            lambda data, shape: _read_float_pcodec(data, shape),
        ),
    ),
)
LINEAR_ZSTD = Peer(
    "linear+zstd",
    (),
    "",
    ("numcodecs",),
    bounded=_ZSTD[0],
    rmse=_ZSTD[1],
)


def _write_float_pcodec(field: Array) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.pcodec_encode(field, 8))


def _read_float_pcodec(data: bytes, shape: Shape) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.pcodec_decode(data, shape, np.dtype(np.float32)))
