"""Values a path could not bring inside the bound, kept exactly: where they are, and how far off the decoder is.

Last stage of decoding before the mask. Spec: `spec/bounds.md`, "Exceptions".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.domain import disorder, order
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.mask import read_plane, write_plane
from adiabat.codec.octets import Reader, pack, shuffle, unpack, unshuffle, write_varint

__all__ = ["correct", "write_exceptions"]


def write_exceptions(outside: NDArray[np.bool_], field: NDArray[np.floating], values: NDArray[np.floating]) -> bytes:
    """Write where decoded values are wrong and by how much, in ordered integers.

    Parameters
    ----------
    outside : NDArray[np.bool_], shape (frame, y, x)
        Where `values` must not stand.
    field, values : NDArray[np.floating], shape (frame, y, x)
        What should stand there, and what the decoder gives.

    Returns
    -------
    bytes
        A plane, then differences modulo 2**bits of the dtype, folded, as byte planes.

    Examples
    --------
    >>> field = np.array([[[1.0, 2.0]]])
    >>> data = write_exceptions(field > 1, field, field * 1.5)
    >>> correct(field * 1.5, data).tolist()
    [[[1.5, 2.0]]]
    """
    off = order(field[outside]) - order(values[outside])  # wraps around, and back again
    folded = (off << 1 ^ off >> (8 * off.itemsize - 1)).view(f"u{off.itemsize}")
    width = max(1, -(-int(folded.max()).bit_length() // 8))
    plane = write_plane(outside)
    amounts = pack(shuffle(folded)[: width * folded.size])
    return write_varint(len(plane)) + plane + bytes([width]) + amounts


def correct(values: NDArray[np.floating], data: bytes) -> NDArray[np.floating]:
    """Put the exact values in, in place, and return `values`; CorruptStreamError if the bytes do not fit."""
    reader = Reader(data)
    outside = read_plane(reader.take(reader.varint()), values.shape)
    count, size = int(np.count_nonzero(outside)), values.dtype.itemsize
    width = reader.u8()
    if not 1 <= width <= size:
        raise CorruptStreamError(f"expected 1 to {size} bytes an exception, got {width}")
    planes = unpack(reader.take(reader.left), width * count) + bytes((size - width) * count)
    folded = unshuffle(planes, np.dtype(f"u{size}")).view(f"i{size}")
    off = (folded >> 1 & np.iinfo(folded.dtype).max) ^ -(folded & 1)
    values[outside] = disorder(order(values[outside]) + off, values.dtype)
    return values
