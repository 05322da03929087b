"""The fallback without a model: quantise, difference of neighbours, byte planes, zlib.

Beside the neural path of `pyramid`, for small chunks and fields a predictor cannot follow. Spec: `spec/stream.md`,
"Classical payload".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, pack, shuffle, unpack, unshuffle

__all__ = ["decode_classical", "encode_classical", "sample_rows"]

NONE, LEFT, PLANE = 0, 1, 2  # differences: none, with the left neighbour, with three neighbours
SAMPLE = 1 << 15  # values an estimate looks at


def encode_classical(
    target: NDArray[np.float64], valid: NDArray[np.bool_] | None, step: int, *, thorough: bool = True
) -> tuple[bytes, NDArray[np.int64]]:
    """Code a target, as `volume.encode_frames` does, without a model.

    Parameters
    ----------
    target : NDArray[np.float64], shape (frame, y, x)
        In fine units.
    valid : NDArray[np.bool_] or None, shape (frame, y, x)
        Pixels that count; None for all.
    step : int
        Quantisation step in fine units.
    thorough : bool
        Whether small chunks may be tried with lzma.

    Returns
    -------
    payload : bytes
    decoded : NDArray[np.int64], shape (frame, y, x)
        What `decode_classical` gives, multiples of `step` within step / 2 of the target.

    Examples
    --------
    >>> target = np.array([[[0.0, 300.0], [500.0, 800.0]]])
    >>> payload, decoded = encode_classical(target, None, 256)
    >>> decoded.tolist()
    [[[0, 256], [512, 768]]]
    >>> bool((decode_classical(payload, (1, 2, 2), 256) == decoded).all())
    True
    """
    index = np.rint(target / step).astype(np.int64)
    if valid is not None:
        index = _carry(index, valid)
    mode = _choose_mode(index)
    rest = _difference(index, mode)
    folded = (rest << 1 ^ rest >> 63).astype("<u8")
    width = max(1, -(-int(folded.max(initial=0)).bit_length() // 8))
    planes = shuffle(folded)[: width * folded.size]
    return bytes([mode, width]) + pack(planes, thorough=thorough), index * step


def decode_classical(payload: bytes, shape: tuple[int, int, int], step: int) -> NDArray[np.int64]:
    """Undo `encode_classical`.

    Raises
    ------
    CorruptStreamError
        If the payload does not describe that many values.
    """
    reader = Reader(payload)
    mode, width = reader.u8(), reader.u8()
    if mode > PLANE or not 1 <= width <= 8:
        raise CorruptStreamError(f"expected a mode up to 2 and 1 to 8 planes, got {mode}, {width}")
    size = shape[0] * shape[1] * shape[2]
    planes = unpack(reader.take(reader.left), width * size) + bytes((8 - width) * size)
    folded = unshuffle(planes, np.dtype(np.uint64))
    rest = (folded >> 1).astype(np.int64) ^ -(folded & 1).astype(np.int64)
    rest = rest.reshape(shape)
    if mode in (LEFT, PLANE):
        np.cumsum(rest, axis=2, out=rest)
    if mode == PLANE:
        np.cumsum(rest, axis=1, out=rest)
    decoded: NDArray[np.int64] = rest * step
    return decoded


def _choose_mode(index: NDArray[np.int64]) -> int:
    """Choose the differences with the fewest bits, seen on a band of rows."""
    band = sample_rows(index.shape)
    part = index if band is None else index[band]
    bits = [np.log2(1.0 + np.abs(_difference(part, mode))).sum() for mode in (NONE, LEFT, PLANE)]
    return int(np.argmin(bits))


def _difference(index: NDArray[np.int64], mode: int) -> NDArray[np.int64]:
    rest = index
    if mode == PLANE:
        rest = np.diff(rest, axis=1, prepend=0)
    if mode in (LEFT, PLANE):
        rest = np.diff(rest, axis=2, prepend=0)
    return rest


def _carry(index: NDArray[np.int64], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Give a pixel that does not count the value of the last one that does, or of the first."""
    flat = valid.reshape(-1)
    if not flat.any():
        return np.zeros_like(index)
    last = np.where(flat, np.arange(flat.size), int(flat.argmax()))
    return index.reshape(-1)[np.maximum.accumulate(last)].reshape(index.shape)


def sample_rows(shape: tuple[int, ...]) -> tuple[slice, slice, slice] | None:
    """Choose a band of rows to estimate from; None where the whole is small enough to try.

    Examples
    --------
    >>> sample_rows((1, 721, 1440))
    (slice(0, 1, None), slice(349, 371, None), slice(None, None, None))
    """
    frames, rows, columns = shape
    if frames * rows * columns <= 2 * SAMPLE:
        return None
    few = max(1, min(rows, SAMPLE // max(1, columns)))
    first = max(0, (rows - few) // 2)
    taken = max(1, min(frames, SAMPLE // max(1, few * columns)))
    at = (frames - taken) // 2
    return slice(at, at + taken), slice(first, first + few), slice(None)
