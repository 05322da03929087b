"""What the network sees of the references of a pass's targets, and their part in the prediction.

Stage of `pyramid`: side -> **side_lattice** -> prediction. Spec: spec/pyramid.md, section 4.

The lattice's own values are coded as differences from the references' weighted mean (`lattice.gather` sees those).
Here the mean at the target is added again, and the network is told how the mean, and the change between the nearest
two references, bend at the target, how lively they are around it, and how hard they were to code there.
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec.lattice import CONTEXTS, NEAR, TILE, cut, invert, load, log8, to_input

CLAMP = 8  # detail counts up to so many times the scale


@numba.njit(nogil=True, cache=True)
def _here(whole, parity, runs, count, values):  # type: ignore[no-untyped-def]
    """What stands at each target of a tile."""
    for run in range(count):
        f, i, left, place, length = runs[run, 0], runs[run, 1], runs[run, 2], runs[run, 3], runs[run, 4]
        source = whole[f, 2 * i + parity[0]]
        for j in range(length):
            values[place + j] = source[2 * (left + j) + parity[1]]


@numba.njit(nogil=True, cache=True)
def _bend(parts, here, table, taps, runs, count, width, nearest, around, bend, lively):  # type: ignore[no-untyped-def]
    """Target less its cubic interpolation, and deviation of the nearest four from their mean, of a tile."""
    for j in range(width):
        bend[j], lively[j] = 128, 0
    for k in range(table.shape[0]):
        tap = taps[k]
        values = nearest[k] if k < NEAR else around
        if k < NEAR or tap != 0:
            load(parts, table, k, runs, count, values)
            for j in range(width):
                bend[j] += values[j] * tap
    for j in range(width):
        bend[j] = here[j] - (bend[j] >> 8)
        centre = (nearest[0, j] + nearest[1, j] + nearest[2, j] + nearest[3, j]) >> 2
        for k in range(NEAR):
            lively[j] += abs(nearest[k, j] - centre)


@numba.njit(nogil=True, cache=True)
def _put(words, at, width, lane, values):  # type: ignore[no-untyped-def]
    """Set one input, still zero, of a tile."""
    word, shift = lane >> 3, 8 * (lane & 7)
    for j in range(width):
        words[at + j, word] += values[j] << shift


@numba.njit(nogil=True, cache=True)
def gather_side(  # type: ignore[no-untyped-def]
    mean, change, marks, whole_mean, whole_change, whole_marks, table, taps, parity, trust, distance,
    height, columns, first, last, words, base, scale,
):  # fmt: skip
    """Add the references' inputs to those of targets first..last of a pass, and their mean to the prediction.

    mean, change (int64), marks (int16): (3, frames, rows, columns) padded parts; whole_...: (frames, y, x) of the
    lattice. words, base, scale: as `lattice.gather` left them.
    """
    lane = table.shape[0] + CONTEXTS
    here, bend, lively = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    around, ratio, nearest = np.empty(TILE, np.int64), np.empty(TILE, np.int64), np.empty((NEAR, TILE), np.int64)
    runs, activity = np.empty((TILE, 5), np.int64), np.empty(TILE, np.int64)
    shift, inverse = np.empty(TILE, np.int64), np.empty(TILE, np.int64)
    target = first
    while target < last:
        width, at = min(TILE, last - target), target - first
        count = cut(target, width, height, columns, runs)
        target += width
        scales = scale[at : at + width]
        for j in range(width):
            ratio[j] = log8(scales[j])
        invert(scales, width, shift, inverse)
        for which in range(2):
            parts, whole = (mean, whole_mean) if which == 0 else (change, whole_change)
            _here(whole, parity, runs, count, here)
            _bend(parts, here, table, taps, runs, count, width, nearest, around, bend, lively)
            for j in range(width):
                inside = min(max(bend[j], -CLAMP * scales[j]), CLAMP * scales[j])
                lively[j] = to_input(log8(lively[j] + which * abs(bend[j]) + 1) - ratio[j])
                bend[j] = to_input(((inside >> shift[j]) * inverse[j] + (1 << 26)) >> 27)
            if which == 0:
                for j in range(width):
                    base[at + j] += here[j]
            _put(words, at, width, lane + which, bend)
            _put(words, at, width, lane + 2 + which, lively)
        _here(whole_marks, parity, runs, count, here)
        for j in range(width):
            activity[j] = 1
        for k in range(NEAR):
            load(marks, table, k, runs, count, around)
            for j in range(width):
                activity[j] += around[j]
        for j in range(width):
            here[j], activity[j] = log8(here[j] + 1), log8(activity[j])
        _put(words, at, width, lane + 4, here)
        _put(words, at, width, lane + 5, activity)
        for j in range(width):
            here[j], activity[j] = trust, distance
        _put(words, at, width, lane + 6, here)
        _put(words, at, width, lane + 7, activity)
