"""Small integer fields that go together, such as coefficients of principal spectra: linear prediction and histograms.

Stage of `spectral`. A field is predicted at each place from its own neighbours before, and from how far earlier fields
were off there: where one coefficient jumps, so do the others. Spec: `spec/spectral.md`, "Fields".
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.spectral_residual import ResidualReader, ResidualWriter

__all__ = [
    "FRACTION",
    "LARGEST",
    "NEIGHBOURS",
    "differences",
    "fit_weights",
    "neighbours_at",
    "predicted",
    "read_fields",
    "write_fields",
]

NEIGHBOURS = 6  # west, north, north-west, north-east, two west, two north
FRACTION = 12  # bits of a weight behind the point
WIDEST = 1 << 16  # magnitude of a weight
LARGEST = 1 << 40  # of a field
SYMBOL = (1 << 31) - 1
FAR_OUT = 4.0  # times what prediction is off on average
WORTH = 16.0  # places, times the share of a field's residual variance that an earlier field must explain for a weight

Integers = NDArray[np.int64]


def write_fields(fields: Integers) -> bytes | None:
    """Code fields (field, row, column); None where numbers or what prediction leaves of them are too large.

    Examples
    --------
    >>> fields = np.arange(24).reshape(2, 3, 4) ** 2
    >>> read_fields(write_fields(fields), (2, 3, 4)).tolist() == fields.tolist()
    True
    """
    count, rows, columns = fields.shape
    if not count:
        return b""
    if int(np.abs(fields).max(initial=0)) >= LARGEST:
        return None
    fields = np.ascontiguousarray(fields, np.int64)
    off = np.zeros((count, rows * columns), np.int64)  # of prediction from neighbours alone, in 2**-FRACTION
    weights, symbols = [], np.empty((count, rows * columns), np.int64)
    for i, field in enumerate(fields):
        own = fit_weights(field, off[:i])
        symbols[i] = differences(field, own, off, i)
        weights.append(own)
    if int(np.abs(symbols).max(initial=0)) > SYMBOL:
        return None
    residual = ResidualWriter()
    residual.take(symbols.astype(np.int32), None)
    folded = np.concatenate(weights)
    head = b"".join(write_varint(each) for each in ((folded << 1) ^ (folded >> 63)).tolist())
    return head + residual.payload()


def read_fields(data: bytes, shape: tuple[int, int, int]) -> Integers:
    """Undo `write_fields`; CorruptStreamError where the bytes are none of this shape."""
    count, rows, columns = shape
    reader, fields = Reader(data), np.zeros(shape, np.int64)
    if not count:
        reader.end()
        return fields
    weights = []
    for i in range(count):
        folded = np.array([reader.varint(2 * WIDEST) for _ in range(NEIGHBOURS + i)], np.int64)
        weights.append((folded >> 1) ^ -(folded & 1))
    residual = ResidualReader(reader.take(reader.left), count)
    symbols = residual.give(slice(0, count), rows * columns, None)
    residual.finish()
    off = np.zeros((count, rows * columns), np.int64)
    for i in range(count):
        if not _sums(fields[i], weights[i], off, i, symbols[i]):
            raise CorruptStreamError(f"expected fields below {LARGEST}, got larger ones")
    return fields


def fit_weights(field: Integers, off: Integers) -> Integers:
    """Weights of neighbours and of earlier fields, by least squares; a field of one row has none but western ones.

    The first place, which has no neighbours, is left out: it would outweigh all others.
    """
    if field.size < 2:
        return np.zeros(NEIGHBOURS + len(off), np.int64)
    used = [0, 4] if len(field) == 1 else list(range(NEIGHBOURS))
    target = field.ravel()[1:].astype(np.float64)
    near = _neighbours(field)[used, 1:].astype(np.float64)
    off_by = np.abs(target - _least_squares(near, target) @ near)
    kept = off_by <= FAR_OUT * off_by.mean()  # places far out say little about the others
    spatial = _least_squares(near[:, kept], target[kept])
    weights = np.zeros(NEIGHBOURS + len(off))
    weights[used] = spatial
    left = (target - spatial @ near)[kept]
    if len(off):
        earlier = off[:, 1:][:, kept].astype(np.float64) / (1 << FRACTION)
        sizes = np.mean(earlier**2, axis=1)
        normal = earlier @ earlier.T + np.diag(1e-6 * sizes + 1e-9) * left.size
        cross = np.linalg.solve(normal, earlier @ left)
        worth = cross**2 * sizes > WORTH / left.size * (np.mean((left - cross @ earlier) ** 2) + 1e-3)
        if worth.any():
            normal, right = normal[np.ix_(worth, worth)], earlier[worth] @ left
            weights[NEIGHBOURS:][worth] = np.linalg.solve(normal, right)
    return np.clip(np.rint(weights * (1 << FRACTION)), -WIDEST, WIDEST).astype(np.int64)


def _least_squares(near: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of neighbours (neighbour, place), kept small where several would do."""
    scale = float(np.sqrt(np.mean(target**2))) + 1e-9
    ridge = 1e-6 * scale * np.sqrt(target.size) * np.eye(len(near))
    given = np.concatenate([near.T, ridge])
    weights: NDArray[np.float64] = np.linalg.lstsq(given, np.concatenate([target, ridge.mean(1)]), rcond=None)[0]
    return weights


def _neighbours(field: Integers) -> Integers:
    """The six neighbours of every place, as `neighbours_at` finds them: (neighbour, place)."""
    out = np.empty((NEIGHBOURS, field.size), np.int64)
    _gather(field, out)
    return out


@numba.njit(nogil=True, cache=True)
def neighbours_at(field, r, c, near):  # type: ignore[no-untyped-def]
    """Neighbours of a place; one outside stands for by the nearest that is known, none at all by 0."""
    columns = field.shape[1]
    if r == 0 and c == 0:
        near[:] = 0
        return
    west = field[r, c - 1] if c else field[r - 1, c]
    north = field[r - 1, c] if r else west
    near[0], near[1] = west, north
    near[2] = field[r - 1, c - 1] if r and c else north
    near[3] = field[r - 1, c + 1] if r and c + 1 < columns else north
    near[4] = field[r, c - 2] if c > 1 else west
    near[5] = field[r - 2, c] if r > 1 else north


@numba.njit(nogil=True, cache=True)
def _gather(field, out):  # type: ignore[no-untyped-def]
    near = np.zeros(NEIGHBOURS, np.int64)
    for r in range(field.shape[0]):
        for c in range(field.shape[1]):
            neighbours_at(field, r, c, near)
            out[:, r * field.shape[1] + c] = near


@numba.njit(nogil=True, cache=True)
def predicted(near, weights, off, i, place):  # type: ignore[no-untyped-def]
    """What neighbours say, in 2**-FRACTION, and with what earlier fields add, rounded."""
    spatial = np.int64(0)
    for k in range(NEIGHBOURS):
        spatial += weights[k] * near[k]
    more = np.int64(0)
    for m in range(i):
        if weights[NEIGHBOURS + m]:
            more += (weights[NEIGHBOURS + m] * off[m, place]) >> FRACTION
    return spatial, (spatial + more + (1 << (FRACTION - 1))) >> FRACTION


@numba.njit(nogil=True, cache=True)
def differences(field, weights, off, i):  # type: ignore[no-untyped-def]
    """Symbols of field i, and in `off` how far neighbours alone were off."""
    near = np.zeros(NEIGHBOURS, np.int64)
    symbols = np.empty(field.size, np.int64)
    for r in range(field.shape[0]):
        for c in range(field.shape[1]):
            place = r * field.shape[1] + c
            neighbours_at(field, r, c, near)
            spatial, guess = predicted(near, weights, off, i, place)
            symbols[place] = field[r, c] - guess
            off[i, place] = (field[r, c] << FRACTION) - spatial
    return symbols


@numba.njit(nogil=True, cache=True)
def _sums(field, weights, off, i, symbols):  # type: ignore[no-untyped-def]
    """Undo `differences`; False where a value leaves the range."""
    near = np.zeros(NEIGHBOURS, np.int64)
    for r in range(field.shape[0]):
        for c in range(field.shape[1]):
            place = r * field.shape[1] + c
            neighbours_at(field, r, c, near)
            spatial, guess = predicted(near, weights, off, i, place)
            value = guess + symbols[place]
            if abs(value) >= LARGEST:
                return False
            field[r, c] = value
            off[i, place] = (value << FRACTION) - spatial
    return True
