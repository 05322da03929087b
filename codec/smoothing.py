"""After the last lattice: each pixel is moved towards its neighbours, as far as the encoder measured that this helps.

Stage of `pyramid`: coarse_to_fine -> **smoothing** -> domain, for `tune="rmse"` only. Spec: spec/pyramid.md, section 7.

Pixels were decoded coarse to fine, so that most never saw their nearest neighbours. The encoder fits, for each kind of
pixel, how much of eight second differences to add, and stores these weights. Where `tune="rmse"` quantises more finely
than the bound asks, there is room for such a shift; it never takes more.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.octets import Reader, pack, unpack, write_varint

Integers = NDArray[np.int64]

FEATURES = 9  # sums over neighbours, less as many times the pixel; and the symbol
PLACES, ACTIVITIES = 7, 3
KINDS = PLACES * 2 * ACTIVITIES
WEIGHT_BITS = 9
LEAST = 1 << 14  # pixels of a group worth fitting


@numba.njit(inline="always")
def _place(y, x):  # type: ignore[no-untyped-def]
    """Passes D, A, B of spacing 1: 0 to 2, of spacing 2: 3 to 5, everything coarser: 6; and the spacing's logarithm."""
    p = 0
    while p < 2 and ((y | x) >> p) & 1 == 0:
        p += 1
    if p == 2:
        q = 2
        while q < 31 and ((y | x) >> q) & 1 == 0:
            q += 1
        return 6, q
    odd_y, odd_x = (y >> p) & 1, (x >> p) & 1
    return 3 * p + (0 if odd_y and odd_x else 1 if odd_x else 2), p


@numba.njit(inline="always")
def _features(f, rows, columns, y, x, symbol, step, out):  # type: ignore[no-untyped-def]
    """Second differences of a frame at a pixel, and which way its symbol pointed."""
    u3, u2, u1 = f[rows[0, y]], f[rows[1, y]], f[rows[2, y]]
    d1, d2, d3, here = f[rows[3, y]], f[rows[4, y]], f[rows[5, y]], f[y]
    l3, l2, l1 = columns[0, x], columns[1, x], columns[2, x]
    r1, r2, r3, v = columns[3, x], columns[4, x], columns[5, x], here[x]
    out[0] = here[l1] + here[r1] - 2 * v
    out[1] = u1[x] + d1[x] - 2 * v
    out[2] = u1[l1] + u1[r1] + d1[l1] + d1[r1] - 4 * v
    out[3] = here[l2] + here[r2] - 2 * v
    out[4] = u2[x] + d2[x] - 2 * v
    out[5] = u2[l1] + u2[r1] + d2[l1] + d2[r1] + u1[l2] + u1[r2] + d1[l2] + d1[r2] - 8 * v
    out[6] = u2[l2] + u2[r2] + d2[l2] + d2[r2] - 4 * v
    out[7] = here[l3] + here[r3] + u3[x] + d3[x] - 4 * v
    out[8] = (min(max(symbol, -2), 2) * step) >> 2


@numba.njit(inline="always")
def _kind(place, symbol, features, step):  # type: ignore[no-untyped-def]
    bend = abs(features[0] + features[1]) + abs(features[2])
    activity = 0 if bend < step else 1 if bend < 4 * step else 2
    return (2 * place + (symbol != 0)) * ACTIVITIES + activity


@numba.njit(nogil=True, cache=True)
def _shift(frames, symbols, rows, columns, steps, room, weights, out):  # type: ignore[no-untyped-def]
    """Put frames plus clipped weighted features into `out`; steps, room: by the logarithm of the spacing."""
    features = np.empty(FEATURES, np.int64)
    for n in range(frames.shape[0]):
        for y in range(frames.shape[1]):
            for x in range(frames.shape[2]):
                _features(frames[n], rows, columns, y, x, np.int64(symbols[n, y, x]), steps[0], features)
                place, p = _place(y, x)
                kind = _kind(place, symbols[n, y, x], features, steps[0])
                total = np.int64(1) << (WEIGHT_BITS - 1)
                for k in range(FEATURES):
                    total += weights[kind, k] * features[k]
                out[n, y, x] = frames[n, y, x] + min(max(total >> WEIGHT_BITS, -room[p]), room[p])


@numba.njit(nogil=True, cache=True)
def _sums(frames, symbols, target, valid, rows, columns, steps, normal, right):  # type: ignore[no-untyped-def]
    """Normal equations of the decoding error on the features, for each kind of pixel."""
    features = np.empty(FEATURES, np.int64)
    for n in range(frames.shape[0]):
        for y in range(frames.shape[1]):
            for x in range(frames.shape[2]):
                if valid.size and not valid[n, y, x]:
                    continue
                _features(frames[n], rows, columns, y, x, np.int64(symbols[n, y, x]), steps[0], features)
                place, _ = _place(y, x)
                kind = _kind(place, symbols[n, y, x], features, steps[0])
                error = target[n, y, x] - frames[n, y, x]
                for k in range(FEATURES):
                    right[kind, k] += error * features[k]
                    for m in range(FEATURES):
                        normal[kind, k, m] += np.float64(features[k]) * features[m]


class Smoothing:
    """The weights of one group's frames.

    Parameters
    ----------
    weights : NDArray[np.int8], shape (KINDS, FEATURES)
        In units of 2**-9.
    """

    def __init__(self, weights: NDArray[np.int8]) -> None:
        self.weights = weights

    def write(self) -> bytes:
        """Packed weights after their length; an empty section for none."""
        data = pack(self.weights.tobytes()) if self.weights.any() else b""
        return write_varint(len(data)) + data

    @classmethod
    def read(cls, reader: Reader) -> Smoothing:
        """Undo `write`.

        Raises
        ------
        CorruptStreamError
            If the section does not unpack to the weights.
        """
        data = reader.take(reader.varint())
        raw = unpack(data, KINDS * FEATURES) if data else bytes(KINDS * FEATURES)
        return cls(np.frombuffer(raw, np.int8).reshape(KINDS, FEATURES))

    @classmethod
    def fit(
        cls,
        decoded: Integers,
        symbols: NDArray[np.int16],
        target: NDArray[np.float64],
        valid: NDArray[np.bool_] | None,
        steps: Integers,
        *,
        wrap: bool,
    ) -> Smoothing:
        """Least squares for each kind of pixel; none in small groups, whose weights would cost too much."""
        weights = np.zeros((KINDS, FEATURES), np.int8)
        if decoded.size >= LEAST:
            normal, right = np.zeros((KINDS, FEATURES, FEATURES)), np.zeros((KINDS, FEATURES))
            mask = np.empty((0, 0, 0), np.bool_) if valid is None else valid
            _sums(decoded, symbols, target, mask, *_neighbours(decoded.shape, wrap), steps, normal, right)
            ridge = 1e-3 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / FEATURES + 1.0
            solved = np.linalg.solve(normal + ridge * np.eye(FEATURES), right[..., None])[..., 0]
            weights = np.clip(np.rint(solved * (1 << WEIGHT_BITS)), -127, 127).astype(np.int8)
        return cls(weights)

    def apply(
        self, decoded: Integers, symbols: NDArray[np.int16], steps: Integers, whole: int, *, wrap: bool
    ) -> Integers:
        """Shifted frames. steps: by the logarithm of the spacing; whole: the step that the bound allows."""
        if not self.weights.any():
            return decoded
        out, weights = np.empty_like(decoded), self.weights.astype(np.int64)
        _shift(decoded, symbols, *_neighbours(decoded.shape, wrap), steps, room(steps, whole), weights, out)
        return out


def room(steps: Integers, whole: int) -> Integers:
    """How far a pixel may move: what half the whole step leaves beyond half of its own."""
    return np.asarray(np.maximum((whole - steps) >> 1, 0))


def _neighbours(shape: tuple[int, ...], wrap: bool) -> tuple[Integers, Integers]:
    """Rows, and columns, three before each to three after: mirrored, or round the seam."""

    def around(length: int, closed: bool) -> Integers:
        at = np.arange(length) + np.array([-3, -2, -1, 1, 2, 3])[:, None]
        period = max(2 * (length - 1), 1)
        mirrored = np.minimum(np.abs(at) % period, period - np.abs(at) % period)
        return np.asarray(at % length if closed else mirrored)

    return around(shape[1], False), around(shape[2], wrap)
