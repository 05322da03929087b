"""Pixels that are no ordinary number: NaN with its payload, infinities, fill values, and others that are asked for.

They are told apart before prediction, coded as a small plane of classes, restored bit for bit, and never seen by a
predictor. Absent from the stream when there are none. Spec: `spec/mask.md`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, little, pack, shuffle, unpack, unshuffle, write_varint, write_varints

__all__ = ["Special", "find_special", "read_plane", "write_plane"]

LISTED = 255  # class of pixels whose pattern stands in a list, one entry a pixel
PATTERNS = 254  # most patterns in the table
RUNS = 128  # flag in a plane's first byte: run lengths instead of bits
SPARSE, FEW_RUNS = 256, 1 << 15  # fewer changes: runs are sure to be best; more: sure not to


@dataclass(frozen=True)
class Special:
    """Which pixels are special and what they are.

    Parameters
    ----------
    classes : NDArray[np.uint8], shape (frame, y, x)
        0: ordinary; k: `patterns[k - 1]`; 255: the next of `listed`.
    patterns, listed : NDArray[np.floating], one axis
        Values in the chunk's dtype, native byte order.

    Examples
    --------
    >>> field = np.array([[[1.0, np.nan, np.inf, np.nan]]])
    >>> special = find_special(field)
    >>> special.classes.tolist()
    [[[0, 1, 2, 1]]]
    >>> again = Special.read(special.write(), field.shape, field.dtype)
    >>> again.restore(np.zeros_like(field)).tolist()
    [[[0.0, nan, inf, nan]]]
    """

    classes: NDArray[np.uint8]
    patterns: NDArray[np.floating]
    listed: NDArray[np.floating]

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Where the pixel is ordinary."""
        ordinary: NDArray[np.bool_] = self.classes == 0
        return ordinary

    def restore(self, field: NDArray[np.floating]) -> NDArray[np.floating]:
        """Put the special values into `field` (frame, y, x), in place, and return it."""
        for code, pattern in enumerate(self.patterns, 1):
            field[self.classes == code] = pattern
        if len(self.listed):
            field[self.classes == LISTED] = self.listed
        return field

    def write(self) -> bytes:
        """Return the mask section."""
        out = [bytes([len(self.patterns)]), little(self.patterns)]
        listed = pack(shuffle(self.listed)) if len(self.listed) else b""
        out += [write_varint(len(self.listed)), write_varint(len(listed)), listed]
        for bit in range(int(self.classes.max(initial=0)).bit_length()):
            plane = write_plane((self.classes >> bit & 1).astype(bool))
            out += [write_varint(len(plane)), plane]
        return b"".join(out)

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, int, int], dtype: np.dtype[np.floating]) -> Special:
        """Parse a mask section of a (frame, y, x) chunk of a native dtype; CorruptStreamError if it is not one."""
        reader = Reader(data)
        count = reader.u8()
        if count > PATTERNS:
            raise CorruptStreamError(f"expected at most {PATTERNS} patterns, got {count}")
        raw = reader.take(count * dtype.itemsize)
        patterns = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype)
        number = reader.varint(int(np.prod(shape)))
        packed = reader.take(reader.varint())
        listed = np.empty(0, dtype)
        if packed and not number:
            raise CorruptStreamError(f"expected no list of special values, got {len(packed)} bytes")
        if number:
            listed = unshuffle(unpack(packed, number * dtype.itemsize), dtype)
        classes = np.zeros(shape, np.uint8)
        bits = 8 if number else count.bit_length()
        for bit in range(bits):
            classes |= read_plane(reader.take(reader.varint()), shape).astype(np.uint8) << bit
        reader.end()
        highest = int(classes[classes != LISTED].max(initial=0)) if number else int(classes.max(initial=0))
        if highest > count or int(np.count_nonzero(classes == LISTED)) != number:
            raise CorruptStreamError(f"expected classes up to {count}, {number} listed, got {highest}")
        return cls(classes, patterns, listed)


def find_special(field: NDArray[np.floating], *values: float) -> Special | None:
    """Find the pixels that are NaN, infinite, or one of these values.

    Parameters
    ----------
    field : NDArray[np.floating], shape (frame, y, x)
        In native byte order.
    *values : float
        Such as one that marks absent pixels; compared as values of the field's dtype, so 0 is +0.0 and -0.0.

    Returns
    -------
    Special or None
        None where every pixel is ordinary.
    """
    special = ~np.isfinite(field)
    for value in values:
        with np.errstate(over="ignore"):
            special |= field == np.float64(value).astype(field.dtype)
    if not special.any():
        return None
    bits = field[special].view(f"u{field.dtype.itemsize}")
    classes = np.zeros(field.shape, np.uint8)
    codes, patterns, listed = _classify(bits)
    classes[special] = codes
    return Special(classes, patterns.view(field.dtype), listed.view(field.dtype))


Bits = NDArray[np.unsignedinteger]


def _classify(bits: Bits) -> tuple[NDArray[np.uint8], Bits, Bits]:
    """Class of each pattern, the table, and the patterns listed one by one; the commonest come first."""
    codes = np.full(len(bits), LISTED, np.uint8)
    first: list[np.unsignedinteger] = []
    left = np.ones(len(bits), bool)
    while len(first) < 8 and left.any():  # few patterns: no sorting
        first.append(bits[left.argmax()])
        same = bits == first[-1]
        codes[same] = len(first)
        left &= ~same
    if not left.any():
        return codes, np.array(first, bits.dtype), bits[:0]
    table, inverse, counts = np.unique(bits, return_inverse=True, return_counts=True)
    rank = np.argsort(-counts, kind="stable")
    place = np.empty(len(table), np.int64)
    place[rank] = np.arange(1, len(table) + 1)
    codes = np.minimum(place[inverse], LISTED).astype(np.uint8)
    return codes, table[rank[:PATTERNS]], bits[codes == LISTED]


def write_plane(plane: NDArray[np.bool_]) -> bytes:
    """Write a (frame, y, x) plane of bits, in whichever of its forms is smallest.

    Examples
    --------
    >>> plane = np.tile(np.arange(20) < 9, (3, 10, 1))
    >>> bool((read_plane(write_plane(plane), plane.shape) == plane).all())
    True
    """
    transform, flat = 0, plane.reshape(-1)
    edges = _edges(flat)
    if len(edges) > SPARSE:
        tries = [(how, _transform(plane, how).reshape(-1)) for how in range(4)]
        transform, flat = min(tries, key=lambda item: len(_edges(item[1])))
        edges = _edges(flat)
    forms = []
    if len(edges) > SPARSE or flat.size <= SPARSE:
        forms.append(bytes([transform]) + pack(np.packbits(flat, bitorder="little").tobytes()))
    if len(edges) < FEW_RUNS:
        runs = write_varints(np.diff(edges, prepend=0))
        forms.append(bytes([transform | RUNS]) + write_varint(len(runs)) + pack(runs))
    return min(forms, key=len)


def _edges(flat: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where the bits change, the bit before the first taken as 0."""
    return np.flatnonzero(np.diff(flat, prepend=False))


def _transform(plane: NDArray[np.bool_], transform: int) -> NDArray[np.bool_]:
    """Bit 0: each frame against the one before; then bit 1: each row against the one above."""
    out = plane.copy()
    if transform & 1:
        out[1:] ^= plane[:-1]
    if transform & 2:
        out[:, 1:] ^= out[:, :-1].copy()
    return out


def read_plane(data: bytes, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Undo `write_plane`; CorruptStreamError where the bytes are no plane of this shape."""
    reader = Reader(data)
    head, size = reader.u8(), int(np.prod(shape))
    if head & ~(RUNS | 3):
        raise CorruptStreamError(f"expected a plane's first byte without reserved bits, got {head}")
    if head & RUNS:
        length = reader.varint(10 * size + 10)
        flat = _read_runs(unpack(reader.take(reader.left), length), size)
    else:
        raw = unpack(reader.take(reader.left), -(-size // 8))
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")
        if bits[size:].any():
            raise CorruptStreamError("expected the padding of a plane to be zero")
        flat = bits[:size].astype(bool)
    plane = flat.reshape(shape)
    if head & 2:
        plane = np.logical_xor.accumulate(plane, axis=1)
    if head & 1:
        plane = np.logical_xor.accumulate(plane, axis=0)
    return plane


def _read_runs(data: bytes, size: int) -> NDArray[np.bool_]:
    """Read runs of zeros and ones in turn, zeros first; the last run goes on to the end of the plane."""
    reader, at = Reader(data), 0
    edges: list[int] = []
    while reader.left:
        run = reader.varint(size - at)
        at += run
        if at >= size or (edges and not run):
            raise CorruptStreamError(f"expected a run that ends inside {size} pixels, got {run}")
        edges.append(at)
    flips = np.zeros(size, bool)
    flips[np.array(edges, np.int64)] = True
    return np.logical_xor.accumulate(flips)
