"""What the network sees of the references of a pass's targets, and their part in the prediction.

Stage of `pyramid`: side -> **side_lattice** -> stencil. Spec: spec/pyramid.md, section 4.

The lattice's own values are coded as differences from the references' weighted mean (`stencil.gather` sees those).
Here the mean at the target is added again, and the network is told how the mean, and the change between the nearest
two references, bend at the target, how lively they are around it, and how hard they were to code there.
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec.lattice import NEAR
from adiabat.codec.tile import TILE, load, log8, over, put_log, to_input

CLAMP = 8  # detail counts up to so many times the scale


@numba.njit(nogil=True, cache=True)
def _here(whole, row, column, runs, count, values):  # type: ignore[no-untyped-def]
    """What stands at each target of a tile."""
    for run in range(count):
        f, i, left, place, length = runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3], runs[run, 4]
        source, target = whole[f, 2 * i + row, 2 * left + column :], values[place : place + length]
        for j in range(length):
            target[j] = source[2 * j]


@numba.njit(nogil=True, cache=True)
def _bend(parts, here, table, taps, runs, count, nearest, bend, lively):  # type: ignore[no-untyped-def]
    """Target less its cubic interpolation, and deviation of the nearest four from their mean, of a tile."""
    bend[:] = 128
    for k in range(table.shape[0]):
        tap = taps[k]
        if k < NEAR or tap != 0:
            values = nearest[min(k, NEAR)]
            load(parts, table, k, runs, count, values)
            for j in range(TILE):
                bend[j] += values[j] * tap
    n0, n1, n2, n3 = nearest[0], nearest[1], nearest[2], nearest[3]
    for j in range(TILE):
        bend[j] = here[j] - (bend[j] >> 8)
        centre = (n0[j] + n1[j] + n2[j] + n3[j]) >> 2
        lively[j] = abs(n0[j] - centre) + abs(n1[j] - centre) + abs(n2[j] - centre) + abs(n3[j] - centre)


@numba.njit(nogil=True, cache=True)
def see(side, table, runs, count, scale, ratio, shift, inverse, base, lanes):  # type: ignore[no-untyped-def]
    """Set the references' inputs of a tile, and add their mean to its prediction.

    side: the references' mean, change (int64) and marks (int16), each as (3, frames, rows, columns) padded parts, then
    each as (frames, y, x) of the lattice; taps, row and column of the pass; trust and distance. scale, ratio, shift,
    inverse, base: int64 rows of scratch, as `stencil.gather` has them; lanes: uint8 (8 or more, TILE).
    """
    mean, change, marks, whole_mean, whole_change, whole_marks, taps, row, column, trust, distance = side
    scratch, nearest = np.empty((3, TILE), np.int64), np.empty((NEAR + 1, TILE), np.int64)
    here, bend, lively = scratch[0], scratch[1], scratch[2]
    for which in range(2):
        parts, whole = (mean, whole_mean) if which == 0 else (change, whole_change)
        _here(whole, row, column, runs, count, here)
        _bend(parts, here, table, taps, runs, count, nearest, bend, lively)
        detail, size = lanes[which], lanes[2 + which]
        for j in range(TILE):
            inside = min(max(bend[j], -CLAMP * scale[j]), CLAMP * scale[j])
            detail[j] = over(inside, shift[j], inverse[j])
        for j in range(TILE):
            size[j] = to_input(log8(lively[j] + which * abs(bend[j]) + 1) - ratio[j])
        if which == 0:
            for j in range(TILE):
                base[j] += here[j]
    _here(whole_marks, row, column, runs, count, here)
    around = bend
    around[:] = 1
    for k in range(NEAR):
        load(marks, table, k, runs, count, lively)
        for j in range(TILE):
            around[j] += lively[j]
    for j in range(TILE):
        here[j] += 1
    put_log(here, lanes[4])
    put_log(around, lanes[5])
    lanes[6], lanes[7] = to_input(trust), to_input(distance)
