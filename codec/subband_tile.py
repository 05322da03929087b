"""A tile of targets of a pass: what was seen around them, in rows of scratch, turned into inputs, eight to a word.

Stage of `hyperprior`: subband -> **subband_tile** -> integer_net. Spec: spec/hyperprior.md, section 3.

All scratch of a tile is one array of rows whose length is known when it is compiled, so that every loop over a row
becomes SIMD. What lies beyond the last target, and between runs, is computed too and left alone.
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec.integer_net import INPUT_ZERO
from adiabat.codec.lattice import LANES
from adiabat.codec.tile import bit_length, log8

INPUTS = 64
SIGNED, MEASURED = 44, 58  # inputs up to the first are coefficients and bends over the spread, to the second logarithms
SPREAD_BITS = 4
SAME = np.array(
    [(0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1), (0, -2), (0, 2), (-2, 0), (2, 0)]
)  # the nearest coefficients of the band itself: row, column

TILE = 192  # places of a tile; its rows stay in the second-level cache
GAP = 4  # places after each run, for the neighbours of its last target
ROW = TILE + GAP

# Rows of scratch. Own band: two rows up; one up, the target's, one down, of each the even and odd columns; two down.
OWN, OTHER, ABOVE, BENDS = 0, 8, 14, 20
BEND, SPREAD, RATIO, SHIFT, INVERSE, DOWN, RIGHT = range(40, 47)
LL = 47  # two rows up to three down, even and odd columns; once those are used up, inputs 44 .. 57
AFTER = LL - SIGNED
ROWS = LL + 14
# Rows of sums of symbols' magnitudes: own band over three rows and five, the others, even and odd; the level above.
THREE, FIVE, SECOND, THIRD, MARKS_ABOVE, WIDE, CENTRE = 0, 2, 4, 6, 8, 11, 12
MARKS = 13


def _starts() -> list[int]:
    """Where in scratch each signed input of a tile's first target stands."""
    own = [
        ROW * (0 if row == -2 else 7) if abs(row) == 2 else ROW * (3 + 2 * row + column % 2) + (column + 2) // 2
        for row, column in SAME.tolist()
    ]
    return [*own, *range(OTHER * ROW, (BENDS + 20) * ROW, ROW)]


STARTS = np.array(_starts())


@numba.njit(nogil=True, cache=True)
def bend(d):  # type: ignore[no-untyped-def]
    """Second differences of LL, along x, along y and crosswise, and its slopes; row `here` is the target's."""
    here, end = (LL + 4) * ROW, (LL + 10) * ROW
    up2, up, down, down2 = LL * ROW, (LL + 2) * ROW, (LL + 6) * ROW, (LL + 8) * ROW
    for j in range(TILE):
        e0, e1, e2 = d[here + j], d[here + j + 1], d[here + j + 2]
        o0, o1, o2 = d[here + ROW + j], d[here + ROW + j + 1], d[here + ROW + j + 2]
        d[(BENDS + 0) * ROW + j] = e0 - 2 * o0 + e1
        d[(BENDS + 1) * ROW + j] = o0 - 2 * e1 + o1
        d[(BENDS + 2) * ROW + j] = e1 - 2 * o1 + e2
        d[(BENDS + 3) * ROW + j] = o1 - 2 * e2 + o2
        d[DOWN * ROW + j] = d[down + j + 1] - e1
        d[RIGHT * ROW + j] = o1 - e1
    for j in range(TILE):
        a, b, c = d[up + j + 1], d[here + j + 1], d[down + j + 1]
        e = d[down2 + j + 1]
        d[(BENDS + 4) * ROW + j] = d[up2 + j + 1] - 2 * a + b
        d[(BENDS + 5) * ROW + j] = a - 2 * b + c
        d[(BENDS + 6) * ROW + j] = b - 2 * c + e
        d[(BENDS + 7) * ROW + j] = c - 2 * e + d[end + j + 1]
    for j in range(TILE):
        a0, a1, a2, a3 = d[up + ROW + j], d[up + j + 1], d[up + ROW + j + 1], d[up + j + 2]
        c0, c1, c2, c3 = d[down + ROW + j], d[down + j + 1], d[down + ROW + j + 1], d[down + j + 2]
        b0, b1, b2 = d[here + ROW + j], d[here + j + 1], d[here + ROW + j + 1]
        e0, e2 = d[down2 + ROW + j], d[down2 + ROW + j + 1]
        d[(BENDS + 8) * ROW + j] = a0 - 2 * a1 + a2
        d[(BENDS + 9) * ROW + j] = a1 - 2 * a2 + a3
        d[(BENDS + 10) * ROW + j] = c0 - 2 * c1 + c2
        d[(BENDS + 11) * ROW + j] = c1 - 2 * c2 + c3
        d[(BENDS + 12) * ROW + j] = a0 - 2 * b0 + c0
        d[(BENDS + 13) * ROW + j] = b0 - 2 * c0 + e0
        d[(BENDS + 14) * ROW + j] = a2 - 2 * b2 + c2
        d[(BENDS + 15) * ROW + j] = b2 - 2 * c2 + e2
        d[(BENDS + 16) * ROW + j] = a0 - a1 - b0 + b1
        d[(BENDS + 17) * ROW + j] = a1 - a2 - b1 + b2
        d[(BENDS + 18) * ROW + j] = b0 - b1 - c0 + c1
        d[(BENDS + 19) * ROW + j] = b1 - b2 - c1 + c2


@numba.njit(inline="always")
def _four(d, k, j):  # type: ignore[no-untyped-def]
    """Magnitudes of four rows, summed up."""
    return abs(d[k * ROW + j]) + abs(d[(k + 1) * ROW + j]) + abs(d[(k + 2) * ROW + j]) + abs(d[(k + 3) * ROW + j])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def spread(d, step):  # type: ignore[no-untyped-def]
    """How lively the surroundings are, its shift and inverse as `tile.invert` has them, and its logarithm."""
    least = (step >> 2) + 1
    for j in range(TILE):
        total = abs(d[j]) + abs(d[7 * ROW + j])
        for k in (1, 5):
            total += abs(d[(k + 1) * ROW + j]) + abs(d[k * ROW + j + 1]) + abs(d[(k + 1) * ROW + j + 1])
        total += abs(d[3 * ROW + j]) + abs(d[4 * ROW + j]) + abs(d[4 * ROW + j + 1]) + abs(d[3 * ROW + j + 2])
        total += _four(d, OTHER, j) + abs(d[(OTHER + 4) * ROW + j]) + abs(d[(OTHER + 5) * ROW + j])
        total = 2 * total + _four(d, ABOVE, j) + abs(d[(ABOVE + 4) * ROW + j]) + abs(d[(ABOVE + 5) * ROW + j])
        bend = _four(d, BENDS, j) + _four(d, BENDS + 4, j) + _four(d, BENDS + 8, j)
        bend += _four(d, BENDS + 12, j) + _four(d, BENDS + 16, j)
        spread = ((total + (bend >> 1)) >> SPREAD_BITS) + least
        d[BEND * ROW + j], d[SPREAD * ROW + j], d[RATIO * ROW + j] = bend, spread, log8(spread)
        d[SHIFT * ROW + j] = max(bit_length(spread) - 16, 0)
    for j in range(TILE):
        d[INVERSE * ROW + j] = np.int64(4294967296.0 / np.float64(d[SPREAD * ROW + j] >> d[SHIFT * ROW + j]))


@numba.njit(inline="always")
def to_input(value):  # type: ignore[no-untyped-def]
    """A value, clipped to what an input can be, as the network reads it; as wide as a word."""
    return min(max(value, -127), 127) + INPUT_ZERO


@numba.njit(inline="always")
def _line(d, k):  # type: ignore[no-untyped-def]
    return d[k * ROW : (k + 1) * ROW]


@numba.njit(inline="always")
def _size(total):  # type: ignore[no-untyped-def]
    """Twice eight times the logarithm of one more than a sum of magnitudes."""
    return to_input(2 * log8(np.int64(total) + 1))


@numba.njit(nogil=True, cache=True)
def count(marks, d):  # type: ignore[no-untyped-def]
    """Inputs 46 .. 53 and 57: symbols of neighbourhoods."""
    for j in range(TILE):
        near = marks[(THREE + 1) * ROW + j] + marks[THREE * ROW + j + 1] + marks[(THREE + 1) * ROW + j + 1]
        wide = marks[FIVE * ROW + j] + marks[(FIVE + 1) * ROW + j] + marks[FIVE * ROW + j + 1]
        wide += marks[(FIVE + 1) * ROW + j + 1] + marks[FIVE * ROW + j + 2]
        d[(AFTER + 46) * ROW + j], d[(AFTER + 47) * ROW + j] = _size(4 * near), _size(2 * wide)
    for k in range(2):
        even, odd, lane = _line(marks, SECOND + 2 * k), _line(marks, SECOND + 2 * k + 1), _line(d, AFTER + 48 + k)
        for j in range(TILE):
            lane[j] = _size(4 * (odd[j] + even[j + 1] + odd[j + 1]))
    for k in range(3):
        row, lane = _line(marks, MARKS_ABOVE + k), _line(d, AFTER + 50 + k)
        for j in range(TILE):
            lane[j] = _size(4 * (row[j + 1] + row[j + 2] + row[j + 3]))
    row, centre = _line(marks, WIDE), _line(marks, CENTRE)
    for j in range(TILE):
        d[(AFTER + 53) * ROW + j] = _size(2 * (row[j] + row[j + 1] + row[j + 2] + row[j + 3] + row[j + 4]))
        d[(AFTER + 57) * ROW + j] = _size(4 * centre[j + 2])


@numba.njit(nogil=True, cache=True)
def measure(d, step):  # type: ignore[no-untyped-def]
    """Inputs 44, 45, 54, 55, 56: logarithms of the spread, of bends and of slopes, over the step."""
    octave, least = log8(step), (step >> 3) + 1
    for j in range(TILE):
        ratio = d[RATIO * ROW + j] - octave
        d[RATIO * ROW + j] = ratio
        d[(AFTER + 44) * ROW + j], d[(AFTER + 45) * ROW + j] = to_input(ratio), to_input(4 * ratio)
    for j in range(TILE):
        d[(AFTER + 54) * ROW + j] = to_input(log8((d[BEND * ROW + j] >> 3) + least) - octave)
        d[(AFTER + 55) * ROW + j] = to_input(log8(abs(d[RIGHT * ROW + j]) + least) - octave)
        d[(AFTER + 56) * ROW + j] = to_input(log8(abs(d[DOWN * ROW + j]) + least) - octave)


@numba.njit(inline="always")
def _over(value, shift, inverse):  # type: ignore[no-untyped-def]
    """An input: the value over the spread, in units of 1 / 32."""
    return to_input(((value >> shift) * inverse + (1 << 26)) >> 27)


@numba.njit(inline="always")
def _from(d, start):  # type: ignore[no-untyped-def]
    return d[start : start + TILE]


@numba.njit(nogil=True, cache=True)
def _divide(d, k, word):  # type: ignore[no-untyped-def]
    """Four signed inputs, over the spread, into a word; bends are halved."""
    half, at = np.int64(k >= 24), 8 * (k % LANES)
    v0, v1, v2, v3 = _from(d, STARTS[k]), _from(d, STARTS[k + 1]), _from(d, STARTS[k + 2]), _from(d, STARTS[k + 3])
    for j in range(TILE):
        shift, inverse = d[SHIFT * ROW + j] + half, d[INVERSE * ROW + j]
        low = _over(v0[j], shift, inverse) | _over(v1[j], shift, inverse) << 8
        high = _over(v2[j], shift, inverse) | _over(v3[j], shift, inverse) << 8
        word[j] |= (low | high << 16) << at


@numba.njit(nogil=True, cache=True)
def _join(d, k, at, word):  # type: ignore[no-untyped-def]
    """Two inputs that stand in scratch into a word."""
    first, second = _from(d, k * ROW), _from(d, (k + 1) * ROW)
    for j in range(TILE):
        word[j] |= (first[j] | second[j] << 8) << at


@numba.njit(nogil=True, cache=True)
def store(d, constant, runs, count, word, words):  # type: ignore[no-untyped-def]
    """Inputs of a tile, eight to a word, one row for each target; the last word starts as `constant`."""
    last = words.shape[1] - 1
    for w in range(last + 1):
        word[:] = constant if w == last else 0
        start, stop = LANES * w, LANES * (w + 1)
        for k in range(start, min(stop, SIGNED), 4):
            _divide(d, k, word)
        for k in range(max(start, SIGNED), min(stop, MEASURED), 2):
            _join(d, AFTER + k, 8 * (k % LANES), word)
        at = 0
        for run in range(count):
            place, length = runs[run, 3], runs[run, 4]
            row = words[at : at + length]
            for m in range(length):
                row[m, w] = word[place + m]
            at += length
