"""What the network sees of a pass's targets: their stencils, divided by how lively they are, as bytes.

Stage of `pyramid`: lattice -> **stencil** (tile, side_lattice) -> prediction. Spec: spec/pyramid.md, section 3.

    for each tile of targets:
        stencil -> less its centre and slope -> over the spread of what is left       inputs 0 .. n - 1
        sizes, and symbols of the neighbourhood                                        the contexts after them
        references, where there are some (`side_lattice.py`)                           the last eight
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec.integer_net import INPUT_ZERO
from adiabat.codec.lattice import CONTEXTS, LANES, LINEAR_BITS, NEAR, WIDE
from adiabat.codec.side_lattice import see
from adiabat.codec.tile import TILE, cut, invert, load, log8, over, put_log, to_input


@numba.njit(nogil=True, cache=True)
def _flatten(d, table, weights, inverses, centre, slope_y, slope_x, spread, linear):  # type: ignore[no-untyped-def]
    """Take centre and slope out of the stencil; sum up what is left, plainly and by the linear path's weights.

    Entries of the stencil are taken by four, as their number allows: a sum is then stored once for four.
    """
    d0, d1, d2, d3 = d[0], d[1], d[2], d[3]
    for j in range(TILE):
        centre[j] = (d0[j] + d1[j] + d2[j] + d3[j]) >> 2
    slope_y[:], slope_x[:], spread[:], linear[:] = 0, 0, 0, 0
    for k in range(0, table.shape[0], 4):
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        y0, y1, y2, y3 = table[k, 3], table[k + 1, 3], table[k + 2, 3], table[k + 3, 3]
        x0, x1, x2, x3 = table[k, 4], table[k + 1, 4], table[k + 2, 4], table[k + 3, 4]
        for j in range(TILE):  # the centre does not matter: a stencil is symmetric
            slope_y[j] += d0[j] * y0 + d1[j] * y1 + d2[j] * y2 + d3[j] * y3
            slope_x[j] += d0[j] * x0 + d1[j] * x1 + d2[j] * x2 + d3[j] * x3
    for j in range(TILE):
        slope_y[j] = (slope_y[j] * inverses[0]) >> 16
        slope_x[j] = (slope_x[j] * inverses[1]) >> 16
    for k in range(0, table.shape[0], 4):
        d0, d1, d2, d3 = d[k], d[k + 1], d[k + 2], d[k + 3]
        y0, y1, y2, y3 = table[k, 3], table[k + 1, 3], table[k + 2, 3], table[k + 3, 3]
        x0, x1, x2, x3 = table[k, 4], table[k + 1, 4], table[k + 2, 4], table[k + 3, 4]
        w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for j in range(TILE):
            middle, down, right = centre[j], slope_y[j], slope_x[j]
            v0 = d0[j] - middle - down * y0 - right * x0
            v1 = d1[j] - middle - down * y1 - right * x1
            v2 = d2[j] - middle - down * y2 - right * x2
            v3 = d3[j] - middle - down * y3 - right * x3
            d0[j], d1[j], d2[j], d3[j] = v0, v1, v2, v3
            spread[j] += abs(v0) + abs(v1) + abs(v2) + abs(v3)
            linear[j] += v0 * w0 + v1 * w1 + v2 * w2 + v3 * w3
    for j in range(TILE):
        spread[j] = (spread[j] * inverses[2]) >> 16


@numba.njit(nogil=True, cache=True)
def _normalise(d, shift, inverse, lanes):  # type: ignore[no-untyped-def]
    """Divide the stencil by the spread, in units of 1 / 32: inputs 0 .. n - 1."""
    for k in range(d.shape[0]):
        values, lane = d[k], lanes[k]
        for j in range(TILE):
            lane[j] = over(values[j], shift[j], inverse[j])


@numba.njit(nogil=True, cache=True)
def _sizes(spread, slope_y, slope_x, octave_step, ratio, lanes):  # type: ignore[no-untyped-def]
    """How large the spread is, beside the step, and the slope, beside the spread: three inputs."""
    fine, coarse, slope = lanes[0], lanes[1], lanes[2]
    for j in range(TILE):
        ratio[j] = log8(spread[j])
    for j in range(TILE):
        slope[j] = to_input(log8(abs(slope_y[j]) + abs(slope_x[j]) + 1) - ratio[j])
    for j in range(TILE):
        fine[j] = to_input(ratio[j] - octave_step)
        coarse[j] = to_input(4 * (ratio[j] - octave_step))


@numba.njit(nogil=True, cache=True)
def _surroundings(symbols, table, runs, count, step, shift, inverse, marks, lanes):  # type: ignore[no-untyped-def]
    """Residuals of the nearest four, signed and over the spread, and the activity of three rings: seven inputs."""
    near, wide, far, around = marks[0], marks[1], marks[2], marks[3]
    near[:], wide[:], far[:] = 1, 1, 1
    for k in range(table.shape[0]):
        load(symbols, table, k, runs, count, around)
        if k < NEAR:
            signed = lanes[k]
            for j in range(TILE):
                signed[j] = to_input((np.int64(around[j]) * step * inverse[j]) >> (27 + shift[j]))
        ring = near if k < NEAR else wide if k < WIDE else far
        for j in range(TILE):
            ring[j] += abs(around[j])
    put_log(near, lanes[NEAR])
    put_log(wide, lanes[NEAR + 1])
    put_log(far, lanes[NEAR + 2])


@numba.njit(nogil=True, cache=True)
def _store(lanes, width, word, words):  # type: ignore[no-untyped-def]
    """Inputs of a tile, eight to a word, one row for each target."""
    for w in range(words.shape[1]):
        first, row = lanes[LANES * w], words[:, w]
        for j in range(TILE):
            word[j] = np.int64(first[j])
        for number in range(1, LANES):
            lane = lanes[LANES * w + number]
            for j in range(TILE):
                word[j] |= np.int64(lane[j]) << (8 * number)
        for j in range(width):
            row[j] = word[j]


@numba.njit(nogil=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    parts, symbols, side, table, weights, step, level, height, columns, first, last, words, base, scale, octave
):
    """Network inputs, linear prediction, scale and its logarithm of targets first..last of a pass; spec section 3.

    parts, symbols: (3, frames, rows, columns) padded parts C, D, A: values (int64) and clipped residual symbols
    (int16). side: None, or what `side_lattice.see` takes. Targets are counted over frames, rows and columns. words:
    int64 (targets, inputs / 8), each eight inputs, the first in its lowest byte; base, scale, octave: int64 (targets,).
    """
    n = table.shape[0]
    lanes = np.full((words.shape[1] * LANES, TILE), INPUT_ZERO, np.uint8)
    lanes[n + 3], lanes[n + 11] = level + INPUT_ZERO, 127 + INPUT_ZERO
    d, marks, runs = np.zeros((n, TILE), np.int64), np.zeros((4, TILE), np.int16), np.empty((TILE, 5), np.int64)
    scratch = np.zeros((9, TILE), np.int64)
    centre, slope_y, slope_x, linear, spread = scratch[0], scratch[1], scratch[2], scratch[3], scratch[4]
    ratio, shift, inverse, word = scratch[5], scratch[6], scratch[7], scratch[8]
    moment_y, moment_x = (table[:, 3] * table[:, 3]).sum(), (table[:, 4] * table[:, 4]).sum()
    inverses = 65536 // moment_y, 65536 // moment_x, 65536 // n
    octave_step, target = log8(step), first
    while target < last:
        width = min(TILE, last - target)
        count, here = cut(target, width, height, columns, runs), slice(target - first, target - first + width)
        target += width
        for k in range(n):
            load(parts, table, k, runs, count, d[k])
        _flatten(d, table, weights, inverses, centre, slope_y, slope_x, spread, linear)
        for j in range(TILE):
            centre[j] += (linear[j] + (1 << (LINEAR_BITS - 1))) >> LINEAR_BITS
            spread[j] += (step >> 2) + 1
        invert(spread, shift, inverse)
        _normalise(d, shift, inverse, lanes)
        _sizes(spread, slope_y, slope_x, octave_step, ratio, lanes[n:])
        _surroundings(symbols, table, runs, count, step, shift, inverse, marks, lanes[n + 4 :])
        if side is not None:
            see(side, table, runs, count, spread, ratio, shift, inverse, centre, lanes[n + CONTEXTS :])
        base[here], scale[here], octave[here] = centre[:width], spread[:width], ratio[:width] - octave_step
        _store(lanes, width, word, words[here])
