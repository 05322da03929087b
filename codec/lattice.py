"""The dyadic lattice of a frame: which pixels a pass predicts, from which neighbours, as integers.

Stage of `pyramid`: frames -> **lattice** -> integer_net -> entropy.  Spec: spec/pyramid.md, sections 2 to 4.

A frame is coded coarse to fine. On the lattice of spacing `s` the pixels whose row and column are both even are
known (part C); three passes fill in the rest:

    C A C A      D  first,  from the diagonal C
    B D B D      A  second, from C and D
    C A C A      B  third,  from C, D and A
    B D B D

All values are int64 in fine units (`bound.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.integer_net import INPUT_ZERO

PAD = 2  # rows and columns around each part, so that a stencil never leaves it
CONTEXTS = 12  # inputs of the network after the stencil
SIDE_CONTEXTS = 8  # and after those, where references are known
LANES = 8  # inputs, a byte each, to a word; the last word is filled up with zeros
NEAR, WIDE = 4, 12  # the stencil's first entries are averaged to the centre; up to WIDE they count as its surroundings
TILE = 96  # targets handled together
LIMIT = 1 << 38  # magnitude of any value in fine units; keeps every product below 2**63
LINEAR_BITS = 14  # fraction bits of the linear path's weights
OFFSET_BITS = 8  # the network's offset is in units of scale / 2**OFFSET_BITS
OFFSET_LIMIT = 4095
SYMBOL_LIMIT = 127  # residual symbols are clipped to this where they serve as context
LEVEL_STEP, LEVEL_TOP = 14, 8

C, D, A, B = range(4)
PARITY = ((0, 0), (1, 1), (0, 1), (1, 0))  # row and column of a part, modulo 2


@dataclass(frozen=True)
class Pass:
    """One pass: targets at lattice positions (2 i + row, 2 j + column), and the stencil around each, nearest first.

    Attributes
    ----------
    table : NDArray[np.int64], shape (n, 5)
        For each stencil entry: part, row shift and column shift inside the part, row and column offset on the lattice.
    """

    name: str
    row: int
    column: int
    table: NDArray[np.int64]

    @property
    def stencil(self) -> int:
        """Number of stencil values."""
        return len(self.table)

    @property
    def inputs(self) -> int:
        """Width of the network's input: the stencil, its contexts, and zeros up to a whole word of bytes."""
        return -(-(len(self.table) + CONTEXTS) // LANES) * LANES

    @property
    def side_inputs(self) -> int:
        """The same of the network that sees references too."""
        return -(-(len(self.table) + CONTEXTS + SIDE_CONTEXTS) // LANES) * LANES

    @cached_property
    def taps(self) -> NDArray[np.int64]:
        """Weights of plain cubic interpolation at the stencil, shape (n,), in units of 2**-8."""
        dy, dx = np.abs(self.table[:, 3]), np.abs(self.table[:, 4])
        if self.name == "D":
            cubic = np.array([0, 9, 0, -1])
            return np.asarray(cubic[dy] * cubic[dx])
        along = np.array([0, 72, 0, -8])
        return np.asarray(np.where(dy == 0, along[dx], 0) + np.where(dx == 0, along[dy], 0))


def _pass(name: str, row: int, column: int, *products: tuple[tuple[int, ...], tuple[int, ...]]) -> Pass:
    """A pass whose stencil is the union of the products rows x columns, nearest first, then by row and column."""
    offsets = sorted(
        ((dy, dx) for rows, columns in products for dy in rows for dx in columns),
        key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset),
    )
    table = []
    for dy, dx in offsets:
        parity = (row + dy) % 2, (column + dx) % 2
        table.append((PARITY.index(parity), (row + dy - parity[0]) // 2, (column + dx - parity[1]) // 2, dy, dx))
    return Pass(name, row, column, np.array(table, np.int64))


_ODD, _EVEN = (-3, -1, 1, 3), (-2, 0, 2)
PASSES = (
    _pass("D", 1, 1, (_ODD, _ODD)),
    _pass("A", 0, 1, (_EVEN, _ODD), (_ODD, _EVEN)),
    _pass("B", 1, 0, (_EVEN, _ODD), (_ODD, _EVEN), ((-1, 1), (-1, 1))),
)


def spacings(height: int, width: int) -> list[int]:
    """Lattice spacings of a frame, coarsest first; before the first only pixel (0, 0) is known."""
    return [1 << level for level in reversed(range(max(height - 1, width - 1, 0).bit_length()))]


def part_index(length: int, parity: int, rows: int, *, wrap: bool) -> NDArray[np.int64]:
    """Where rows -PAD .. rows-1+PAD of a padded part come from: mirrored about the first and last lattice row.

    Mirroring about a pixel, and a period that is even, keep the parity and so the part.
    """
    position = 2 * np.arange(-PAD, rows + PAD) + parity
    if wrap and length % 2 == 0:
        return (position % length - parity) // 2
    period = max(2 * (length - 1), 1)
    position = np.abs(position) % period
    return np.asarray(np.maximum(np.minimum(position, period - position) - parity, 0) // 2)


@numba.njit(nogil=True, cache=True)
def pad(part, rows, columns, padded):  # type: ignore[no-untyped-def]
    """padded[f, r, c] = part[f, rows[r], columns[c]]; inside, columns follow one another."""
    inside = part.shape[2]
    for f in range(part.shape[0]):
        for r in range(rows.size):
            source, target = part[f, rows[r]], padded[f, r]
            middle = target[PAD : PAD + inside]
            for c in range(inside):
                middle[c] = source[c]
            for c in range(PAD):
                target[c] = source[columns[c]]
            for c in range(PAD + inside, columns.size):
                target[c] = source[columns[c]]


@numba.njit(inline="always")
def _bit_length(value):  # type: ignore[no-untyped-def]
    """Number of bits of a value in 0 .. 2**63-1; no branch, so that loops over it become SIMD."""
    bits = np.int64(0)
    for shift in (32, 16, 8, 4, 2, 1):
        bigger = np.int64(value >= (np.int64(1) << shift)) * shift
        value = value >> bigger
        bits += bigger
    return bits + np.int64(value > 0)


@numba.njit(inline="always")
def log8(value):  # type: ignore[no-untyped-def]
    """Eight times the logarithm to base 2, linear between powers of two; value >= 1."""
    exponent = _bit_length(value) - 1
    return 8 * exponent + (((value << 3) >> exponent) & 7)


@numba.njit(inline="always")
def to_input(value):  # type: ignore[no-untyped-def]
    """Clip to what an input can be."""
    return min(max(value, -127), 127)


@numba.njit(nogil=True, cache=True)
def cut(target, width, height, columns, runs):  # type: ignore[no-untyped-def]
    """The runs of targets in a row that a tile consists of: frame, row, column, place in the tile, length of each."""
    count, place = 0, 0
    while place < width:
        row, left = (target + place) // columns, (target + place) % columns
        length = min(columns - left, width - place)
        runs[count, 0], runs[count, 1], runs[count, 2] = row // height, row % height, left
        runs[count, 3], runs[count, 4] = place, length
        place += length
        count += 1
    return count


@numba.njit(inline="always")
def load(parts, table, k, runs, count, values):  # type: ignore[no-untyped-def]
    """What stands at the k-th entry of the stencil for each target of a tile."""
    part, dr, dc = table[k, 0], table[k, 1] + PAD, table[k, 2] + PAD
    for run in range(count):
        f, r, c, place, length = runs[run, 0], runs[run, 1] + dr, runs[run, 2] + dc, runs[run, 3], runs[run, 4]
        source, target = parts[part, f, r, c : c + length], values[place : place + length]
        for j in range(length):
            target[j] = source[j]


@numba.njit(nogil=True, cache=True)
def _flatten(d, table, weights, inverses, width, centre, slope_y, slope_x, spread, linear):  # type: ignore[no-untyped-def]
    """Take centre and slope out of the stencil; sum up what is left, plainly and by the linear path's weights."""
    for j in range(width):
        centre[j] = (d[0, j] + d[1, j] + d[2, j] + d[3, j]) >> 2
        slope_y[j], slope_x[j] = 0, 0
        linear[j], spread[j] = 0, 0
    for k in range(table.shape[0]):
        dy, dx = table[k, 3], table[k, 4]
        for j in range(width):
            value = d[k, j] - centre[j]
            d[k, j] = value
            slope_y[j] += value * dy
            slope_x[j] += value * dx
    for j in range(width):
        slope_y[j] = (slope_y[j] * inverses[0]) >> 16
        slope_x[j] = (slope_x[j] * inverses[1]) >> 16
    for k in range(table.shape[0]):
        dy, dx, weight = table[k, 3], table[k, 4], weights[k]
        for j in range(width):
            value = d[k, j] - slope_y[j] * dy - slope_x[j] * dx
            d[k, j] = value
            spread[j] += abs(value)
            linear[j] += value * weight
    for j in range(width):
        spread[j] = (spread[j] * inverses[2]) >> 16


@numba.njit(nogil=True, cache=True, error_model="numpy")
def invert(scale, width, shift, inverse):  # type: ignore[no-untyped-def]
    """Shift and inverse such that x / scale is nearly ((x >> shift) * inverse) >> 32."""
    for j in range(width):
        shift[j] = max(_bit_length(scale[j]) - 16, 0)
    for j in range(width):  # exact although in float64: the quotient's distance from the next integer is > 2**-17
        inverse[j] = np.int64(4294967296.0 / np.float64(scale[j] >> shift[j]))


@numba.njit(nogil=True, cache=True)
def _normalise(d, n, width, shift, inverse):  # type: ignore[no-untyped-def]
    """Divide the stencil by the spread, in units of 1 / 32: inputs 0 .. n - 1."""
    for k in range(n):
        values = d[k]
        for j in range(width):
            values[j] = to_input(((values[j] >> shift[j]) * inverse[j] + (1 << 26)) >> 27)


@numba.njit(nogil=True, cache=True)
def _surroundings(symbols, table, runs, count, width, step, shift, inverse, d, around, near, wide, far):  # type: ignore[no-untyped-def]
    """Residuals of the nearest four, signed and over the spread, and the activity of three rings: the last inputs."""
    n = table.shape[0]
    for j in range(width):
        near[j], wide[j], far[j] = 1, 1, 1
    for k in range(n):
        load(symbols, table, k, runs, count, around)
        if k < NEAR:
            signed = d[n + 4 + k]
            for j in range(width):
                signed[j] = to_input((np.int64(around[j]) * step * inverse[j]) >> (27 + shift[j]))
            for j in range(width):
                near[j] += abs(around[j])
        elif k < WIDE:
            for j in range(width):
                wide[j] += abs(around[j])
        else:
            for j in range(width):
                far[j] += abs(around[j])
    near_log, wide_log, far_log = d[n + 8], d[n + 9], d[n + 10]
    for j in range(width):
        near_log[j] = log8(np.int64(near[j]))
    for j in range(width):
        wide_log[j] = log8(np.int64(wide[j]))
    for j in range(width):
        far_log[j] = log8(np.int64(far[j]))


@numba.njit(nogil=True, cache=True)
def _store(d, width, words, at, word):  # type: ignore[no-untyped-def]
    """Inputs of a tile as bytes, eight to a word, one row for each target."""
    for w in range(words.shape[1]):
        for j in range(width):
            word[j] = 0
        for lane in range(LANES):
            values = d[LANES * w + lane]
            for j in range(width):
                word[j] |= (values[j] + INPUT_ZERO) << (8 * lane)
        for j in range(width):
            words[at + j, w] = word[j]


@numba.njit(nogil=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    phases, symbols, table, weights, step, level, height, columns, first, last, words, base, scale, octave
):
    """Network inputs, linear prediction, scale and its logarithm of targets first..last of a pass; spec section 3.

    phases, symbols: (3, frames, rows, columns) padded parts C, D, A: values (int64) and clipped residual symbols
    (int16). Targets are counted over frames, rows and columns. words: int64 (targets, inputs / 8), each eight inputs,
    the first in its lowest byte; base, scale, octave: int64 (targets,). Every loop runs along a tile of targets, so
    that it becomes SIMD and all stays in the first-level cache.
    """
    n = table.shape[0]
    d = np.zeros((words.shape[1] * LANES, TILE), np.int64)
    d[n + 3], d[n + 11] = level, 127
    centre, slope_y, slope_x = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    linear, spread, ratio = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    shift, inverse, word = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    near, wide, far = np.empty(TILE, np.int16), np.empty(TILE, np.int16), np.empty(TILE, np.int16)
    around, runs = np.empty(TILE, np.int16), np.empty((TILE, 5), np.int64)
    moment_y, moment_x = (table[:, 3] * table[:, 3]).sum(), (table[:, 4] * table[:, 4]).sum()
    inverses = 65536 // moment_y, 65536 // moment_x, 65536 // n
    octave_step, target = log8(step), first
    while target < last:
        width, at = min(TILE, last - target), target - first
        count = cut(target, width, height, columns, runs)
        target += width
        for k in range(n):
            load(phases, table, k, runs, count, d[k])
        _flatten(d, table, weights, inverses, width, centre, slope_y, slope_x, spread, linear)
        for j in range(width):
            base[at + j] = centre[j] + ((linear[j] + (1 << (LINEAR_BITS - 1))) >> LINEAR_BITS)
            spread[j] += (step >> 2) + 1
        invert(spread, width, shift, inverse)
        _normalise(d, n, width, shift, inverse)
        for j in range(width):
            ratio[j] = log8(spread[j])
            scale[at + j] = spread[j]
        for j in range(width):
            d[n + 2, j] = to_input(log8(abs(slope_y[j]) + abs(slope_x[j]) + 1) - ratio[j])
            ratio[j] -= octave_step
        for j in range(width):
            octave[at + j] = ratio[j]
            d[n, j] = to_input(ratio[j])
            d[n + 1, j] = to_input(4 * ratio[j])
        _surroundings(symbols, table, runs, count, width, step, shift, inverse, d, around, near, wide, far)
        _store(d, width, words, at, word)
