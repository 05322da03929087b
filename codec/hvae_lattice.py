"""The lattice of `hvae`'s latents: passes, neighbours, and what is known around each place; integers only.

Stage of `hvae`: **hvae_lattice** -> hvae_prior. Spec: spec/hvae.md, section 3.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.integer_net import INPUT_ZERO

__all__ = ["FINE", "INPUTS", "PASSES", "add_activity", "gather", "neighbours_of", "scale_of", "settle_place"]

FINE = 256  # units of a step
SPACINGS = (8, 4, 2, 1)
# (spacing, row, column) of each pass: every 16th place, then the middles of the diagonals, of rows, of columns
PASSES = ((16, 0, 0), *((2 * s, row * s, column * s) for s in SPACINGS for row, column in ((1, 1), (0, 1), (1, 0))))
NEIGHBOURS = 4
INPUTS = 16
WEIGHT_BITS = 12  # fraction bits of the linear weights
SIZE_BITS = 6  # a magnitude equal to its scale is 2**6
SIZE_LIMIT = 1 << 12  # of a channel's share in the activity
LIMIT = 1 << 30  # of any latent, in units
EDGES = np.array([math.isqrt(math.isqrt(1 << k)) for k in range(124)], np.int64)  # 2**(k / 4), rounded down
ONE = 24  # class of 2**SIZE_BITS, less one

Integers = NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def size_class(value, edges):  # type: ignore[no-untyped-def]
    """Quarter octaves of a magnitude: how many edges do not exceed it."""
    low, high = 0, edges.size
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(nogil=True, cache=True)
def byte(value):  # type: ignore[no-untyped-def]
    """A signed input as it is stored."""
    return np.uint8(min(max(value, -127), 127) + INPUT_ZERO)


@numba.njit(nogil=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    values, sizes, surprises, activity, around, place, rows, columns, linear, base, channel, flags, edges,
    mean, inputs,
):  # fmt: skip
    """Mean of each target before the network, and what the network sees.

    values, sizes: (frames, rows, columns) of this channel; surprises: (z, frames, rows, columns) of those before;
    activity, around: sums of their sizes at each place, and over nine of them; rows, columns: of the neighbours.
    """
    by, row, column = place
    target, half, known = 0, ONE + 1, row + column > 0  # the first pass has no neighbours yet
    neighbours = np.empty(4, np.int64)
    for f in range(values.shape[0]):
        for i in range(row, values.shape[1], by):
            for j in range(column, values.shape[2], by):
                total, near, most = np.int64(0), np.int64(0), np.int64(0)
                low, high = np.int64(1) << 40, -(np.int64(1) << 40)
                for k in range(4):
                    r, c = rows[k, i // by], columns[k, j // by]
                    n = values[f, r, c] if known else np.int64(0)
                    s = sizes[f, r, c] if known else np.int64(0)
                    neighbours[k] = n
                    total += linear[k] * n
                    near, most, low, high = near + s, max(most, s), min(low, n), max(high, n)
                for k in range(channel):
                    total += linear[4 + k] * surprises[k, f, i, j]
                m = total >> WEIGHT_BITS
                mean[target] = m
                out = inputs[target]
                last = abs(surprises[channel - 1, f, i, j]) if channel else np.int64(0)
                out[0] = flags[0]
                out[1] = byte(3 * (size_class(near >> 2, edges) - half))
                out[2] = byte(3 * (size_class(most, edges) - half))
                out[3] = byte(3 * (size_class((last << SIZE_BITS) // base, edges) - half))
                out[4] = byte(3 * (size_class(activity[f, i, j] // max(channel, 1), edges) - half))
                out[5] = byte(3 * (size_class(around[f, i, j] // (9 * max(channel, 1)), edges) - half))
                out[6] = byte(3 * (size_class(((high - low) << SIZE_BITS) // base, edges) - half))
                for k in range(4):
                    out[7 + k] = byte(((neighbours[k] - m) << 5) // base if known else 0)
                out[11], out[12], out[13], out[14] = flags[1], flags[2], flags[3], flags[4]
                out[15] = np.uint8(255)
                target += 1


@numba.njit(nogil=True, cache=True)
def settle_place(place, mean, symbols, before, base, values, sizes, surprises):  # type: ignore[no-untyped-def]
    """Put a pass's latents into the channel, with how large what was not foreseen is; before: the linear mean."""
    by, row, column = place
    target = 0
    for f in range(values.shape[0]):
        for i in range(row, values.shape[1], by):
            for j in range(column, values.shape[2], by):
                value = min(max(mean[target] + FINE * symbols[target], -LIMIT), LIMIT)
                values[f, i, j] = value
                surprise = value - before[target]
                surprises[f, i, j] = surprise
                sizes[f, i, j] = (abs(surprise) << SIZE_BITS) // base
                target += 1


@numba.njit(nogil=True, cache=True)
def add_activity(sizes, activity, around):  # type: ignore[no-untyped-def]
    """Take a channel's sizes into the activity, and sum it over each place's surroundings."""
    frames, height, width = sizes.shape
    for f in range(frames):
        for i in range(height):
            for j in range(width):
                activity[f, i, j] += min(sizes[f, i, j], SIZE_LIMIT)
        for i in range(height):
            for j in range(width):
                total = np.int64(0)
                for di in range(-1, 2):
                    for dj in range(-1, 2):
                        total += activity[f, min(max(i + di, 0), height - 1), min(max(j + dj, 0), width - 1)]
                around[f, i, j] = total


def neighbours_of(number: int, height: int, width: int) -> tuple[Integers, Integers]:
    """Rows (4, target rows) and columns (4, target columns) of the places around a pass's targets.

    Beyond an end the place on the other side stands in; where both lack, those along the other axis do.

    Examples
    --------
    >>> rows, columns = neighbours_of(12, 4, 3)  # spacing 1, odd rows, even columns
    >>> rows.tolist(), columns.tolist()
    ([[0, 2], [2, 2], [1, 3], [1, 3]], [[0, 2], [0, 2], [1, 1], [1, 1]])
    """
    by, row, column = PASSES[number]
    s, i, j = by // 2, np.arange(row, height, by), np.arange(column, width, by)
    if number == 0:
        none = np.zeros((4, max(i.size, j.size)), np.int64)
        return none[:, : i.size], none[:, : j.size]
    if row and column:
        offsets = [(-s, -s), (-s, s), (s, -s), (s, s)]
    else:
        offsets = [(-s, 0), (s, 0), (0, -s), (0, s)]
        if height <= s and not row:
            offsets = offsets[2:] * 2
        if width <= s and not column:
            offsets = offsets[:2] * 2
    return np.stack([_mirrored(i, d, height) for d, _ in offsets]), np.stack(
        [_mirrored(j, d, width) for _, d in offsets]
    )


def _mirrored(at: Integers, by: int, length: int) -> Integers:
    moved = at + by
    return np.where((moved < 0) | (moved >= length), at - by, moved)


def scale_of(scale: int, step: float) -> int:
    """A usual magnitude in 2**-8 of the step; one division of float64, rounded down."""
    return int(min(max(scale / step, 1.0), float(LIMIT)))
