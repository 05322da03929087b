"""Integers and packed bytes inside a stream's sections: LEB128, a refusing cursor, the standard packers.

Used by every stage that writes bytes itself. Only zlib and lzma of the standard library, so that a decoder needs
nothing else. Spec: `spec/stream.md`, "Primitives".
"""

from __future__ import annotations

import lzma
import math
import struct
import zlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError

__all__ = ["Reader", "little", "pack", "shuffle", "unpack", "unshuffle", "write_varint", "write_varints"]

Scalar = TypeVar("Scalar", bound=np.generic)
STORED, ZLIB, LZMA = 0, 1, 2
LZMA_FILTER = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]
LZMA_AT_MOST = 1 << 16  # bytes; above it lzma costs more time than it is worth here
ZLIB_EXPANSION = 1040  # deflate cannot grow its input more than about 1032 times


def write_varint(number: int) -> bytes:
    """Write a non-negative integer as LEB128, seven bits a byte, lowest first.

    Parameters
    ----------
    number : int
        0 to 2**63 - 1.

    Returns
    -------
    bytes
        1 to 9 bytes.

    Raises
    ------
    ValueError
        If the number is negative or too large.

    Examples
    --------
    >>> write_varint(300).hex()
    'ac02'
    """
    if not 0 <= number < 2**63:
        raise ValueError(f"expected an integer from 0 to 2**63 - 1, got {number}")
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class Reader:
    """A cursor over bytes that refuses to run past their end.

    Parameters
    ----------
    data : bytes or memoryview
        What to read.

    Examples
    --------
    >>> reader = Reader(bytes.fromhex("ac0207"))
    >>> reader.varint(), reader.u8(), reader.left
    (300, 7, 0)
    """

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Read `count` bytes; CorruptStreamError where fewer are left."""
        if count > self.left:
            raise CorruptStreamError(f"expected {count} more bytes, got {self.left}")
        self._at += count
        return bytes(self._data[self._at - count : self._at])

    def u8(self) -> int:
        """Read one byte."""
        return self.take(1)[0]

    def f64(self) -> float:
        """Read one finite little-endian float64."""
        number = float(struct.unpack("<d", self.take(8))[0])
        if not math.isfinite(number):
            raise CorruptStreamError(f"expected a finite number, got {number}")
        return number

    def f32(self) -> float:
        """Read one finite little-endian float32."""
        number = float(struct.unpack("<f", self.take(4))[0])
        if not math.isfinite(number):
            raise CorruptStreamError(f"expected a finite number, got {number}")
        return number

    def varint(self, limit: int = 2**63 - 1) -> int:
        """Read one LEB128 integer of at most `limit`, in its shortest form."""
        number = 0
        for shift in range(0, 63, 7):
            byte = self.u8()
            number |= (byte & 127) << shift
            if byte < 128:
                if (shift and not byte) or number > limit:
                    raise CorruptStreamError(f"expected a shortest varint of at most {limit}, got {number}")
                return number
        raise CorruptStreamError("expected a varint of at most 9 bytes")

    def end(self) -> None:
        """Refuse bytes left over."""
        if self.left:
            raise CorruptStreamError(f"expected the end, got {self.left} more bytes")


def write_varints(numbers: NDArray[np.int64]) -> bytes:
    """Write many non-negative integers as LEB128, one after the other."""
    return b"".join(map(write_varint, numbers.tolist()))


def pack(data: bytes, *, thorough: bool = True) -> bytes:
    """Pack bytes by whichever of nothing, zlib and lzma gives fewest, behind one byte naming it.

    Parameters
    ----------
    data : bytes
        What to pack. Its length is not noted: whoever unpacks knows it.
    thorough : bool
        Whether small data may be tried with lzma too.

    Returns
    -------
    bytes
        At most one byte longer than `data`.

    Examples
    --------
    >>> unpack(pack(bytes(1000)), 1000) == bytes(1000)
    True
    """
    tries = {STORED: data, ZLIB: zlib.compress(data, 6)}
    if thorough and 64 < len(data) <= LZMA_AT_MOST:
        tries[LZMA] = lzma.compress(data, lzma.FORMAT_RAW, filters=LZMA_FILTER)
    method = min(tries, key=lambda key: (len(tries[key]), key))
    return bytes([method]) + tries[method]


def unpack(packed: bytes, size: int) -> bytes:
    """Undo `pack`; the result has exactly `size` bytes or CorruptStreamError is raised.

    Nothing larger than `size` is ever allocated, and nothing at all that zlib could not have made of so few bytes.
    """
    method, body = Reader(packed).u8(), packed[1:]
    if method == STORED:
        out, ended = body, True
    elif method == ZLIB and size <= ZLIB_EXPANSION * len(body):
        inflate = zlib.decompressobj()
        try:
            out = inflate.decompress(body, size + 1)
        except zlib.error as problem:
            raise CorruptStreamError(f"expected zlib data: {problem}") from None
        ended = inflate.eof and not inflate.unused_data
    elif method == LZMA and size <= LZMA_AT_MOST:
        expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=LZMA_FILTER)
        try:
            out = expand.decompress(body, size + 1)
        except lzma.LZMAError as problem:
            raise CorruptStreamError(f"expected lzma data: {problem}") from None
        ended = expand.eof and not expand.unused_data
    else:
        raise CorruptStreamError(f"expected a packing that gives {size} bytes, got method {method}")
    if len(out) != size or not ended:
        end = "" if ended else " without an end at the last byte"
        raise CorruptStreamError(f"expected {size} unpacked bytes, got {len(out)}{end}")
    return out


def little(values: NDArray[np.floating]) -> bytes:
    """Return the values' little-endian bytes."""
    return values.astype(values.dtype.newbyteorder("<")).tobytes()


def shuffle(values: NDArray[np.generic]) -> bytes:
    """Lay out values byte by byte: all lowest bytes, then all second ones, to the highest."""
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).reshape(-1)
    return little.view(np.uint8).reshape(-1, values.dtype.itemsize).T.tobytes()


def unshuffle(data: bytes, dtype: np.dtype[Scalar]) -> NDArray[Scalar]:
    """Undo `shuffle`; gives a flat array in native byte order."""
    planes = np.frombuffer(data, np.uint8).reshape(dtype.itemsize, -1)
    flat = np.ascontiguousarray(planes.T).reshape(-1).view(dtype.newbyteorder("<"))
    return flat.astype(dtype.newbyteorder("="), copy=False)
