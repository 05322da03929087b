"""What the entropy network sees of a pass's coefficients: everything already decoded around them, as bytes.

Stage of `hyperprior`: wavelet -> **subband** -> integer_net -> entropy. Spec: spec/hyperprior.md, section 3.

The scale level above is the hyper-latent of this one: LL, its bands and theirs. A level is decoded in twelve passes:
the four parities of row and column, and in each the three bands; each pass sees all before it.

    inputs 0 .. 17    the band itself and the others around the target, signed, over the spread
    inputs 18 .. 23   the level above, likewise
    inputs 24 .. 43   how LL bends around the target, likewise
    inputs 44 .. 57   logarithms of sizes: spread over step, symbols of neighbourhoods, slopes of LL
    inputs 58 .. 63   parities, level, a constant

Targets are handled by the tile (`subband_tile`): what stands around them is picked here, every second row and column.
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec import subband_tile as tile
from adiabat.codec.subband_tile import INPUTS

__all__ = ["INPUTS", "OTHERS", "PAD", "PASSES", "fill_border", "gather"]

PAD = 3
PASSES = tuple((row, column, band) for row, column in ((0, 0), (1, 1), (0, 1), (1, 0)) for band in (0, 1, 2))

# The six nearest coefficients of the other bands: band, row, column.
OTHERS = np.array(
    [
        [(1, 0, 0), (1, 0, 1), (1, -1, 0), (1, -1, 1), (2, 0, 0), (2, -1, 0)],
        [(0, 0, 0), (0, 1, 0), (0, 0, -1), (0, 1, -1), (2, 0, 0), (2, 0, -1)],
        [(0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1), (1, 1, 0)],
    ]
)


@numba.njit(nogil=True, cache=True)
def _cut(target, last, height, columns, runs):  # type: ignore[no-untyped-def]
    """The runs of targets in a row that a tile consists of: frame, row, column, place in the tile, length of each."""
    number, place = 0, 0
    while target < last and place < tile.TILE:
        line, left = target // columns, target % columns
        length = min(columns - left, last - target, tile.TILE - place)
        runs[number, 0], runs[number, 1], runs[number, 2] = line // height, line % height, left
        runs[number, 3], runs[number, 4] = place, length
        place, target, number = place + length + tile.GAP, target + length, number + 1
    return number


@numba.njit(nogil=True, cache=True)
def _put(source, row, column, runs, number, d, k):  # type: ignore[no-untyped-def]
    """Row k of scratch: what stands some rows and columns off each target."""
    for run in range(number):
        start, length = k * tile.ROW + runs[run, 3], runs[run, 4]
        line, out = source[runs[run, 0], 2 * runs[run, 1] + row, 2 * runs[run, 2] + column :], d[start : start + length]
        for m in range(length):
            out[m] = line[2 * m]


@numba.njit(nogil=True, cache=True)
def _put_above(source, row, column, runs, number, d, k):  # type: ignore[no-untyped-def]
    """The same of the level above."""
    for run in range(number):
        start, length = k * tile.ROW + runs[run, 3], runs[run, 4]
        line, out = source[runs[run, 0], runs[run, 1] + row, runs[run, 2] + column :], d[start : start + length]
        for m in range(length):
            out[m] = line[m]


@numba.njit(nogil=True, cache=True)
def _put_pairs(source, row, column, runs, number, d, k):  # type: ignore[no-untyped-def]
    """Rows k and k + 1 of scratch: a row from two columns before each run's first target, even and odd."""
    for run in range(number):
        start, length = k * tile.ROW + runs[run, 3], runs[run, 4] + 2
        line = source[runs[run, 0], 2 * runs[run, 1] + row, 2 * runs[run, 2] + column - 2 :]
        even, odd = d[start : start + length], d[start + tile.ROW : start + tile.ROW + length]
        for m in range(length):
            even[m] = line[2 * m]
            odd[m] = line[2 * m + 1]


@numba.njit(nogil=True, cache=True)
def _sum_pairs(source, row, rows, column, runs, number, marks, k):  # type: ignore[no-untyped-def]
    """Likewise the magnitudes of some rows of symbols, summed up."""
    for run in range(number):
        start, length = k * tile.ROW + runs[run, 3], runs[run, 4] + 2
        even, odd = marks[start : start + length], marks[start + tile.ROW : start + tile.ROW + length]
        even[:], odd[:] = 0, 0
        for i in range(rows):
            line = source[runs[run, 0], 2 * runs[run, 1] + row + i, 2 * runs[run, 2] + column - 2 :]
            for m in range(length):
                even[m] += abs(line[2 * m])
                odd[m] += abs(line[2 * m + 1])


@numba.njit(nogil=True, cache=True)
def _sum_above(source, row, rows, runs, number, marks, k):  # type: ignore[no-untyped-def]
    """Row k: the magnitudes of some rows of the level above, summed up, from two columns before the first target."""
    for run in range(number):
        start, length = k * tile.ROW + runs[run, 3], runs[run, 4] + tile.GAP
        out = marks[start : start + length]
        out[:] = 0
        for i in range(rows):
            line = source[runs[run, 0], runs[run, 1] + row + i, runs[run, 2] + PAD - 2 :]
            for m in range(length):
                out[m] += abs(line[m])


@numba.njit(nogil=True, cache=True)
def _look(  # type: ignore[no-untyped-def]
    ll, values, symbols, above, above_symbols, band, parity, others, runs, number, d, marks
):
    """Fill a tile's scratch from the level and the one above."""
    y, x = parity[0] + PAD, parity[1] + PAD
    up, left = 2 * parity[0] - 1 + PAD, 2 * parity[1] - 1 + PAD
    second, third = (band + 1) % 3, (band + 2) % 3
    _put(values[band], y - 2, x, runs, number, d, tile.OWN)
    _put(values[band], y + 2, x, runs, number, d, tile.OWN + 7)
    for k in range(3):
        _put_pairs(values[band], y + k - 1, x, runs, number, d, tile.OWN + 1 + 2 * k)
    for k in range(6):
        part = values[others[band, k, 0]]
        _put(part, y + others[band, k, 1], x + others[band, k, 2], runs, number, d, tile.OTHER + k)
    _put_above(above[band], PAD, PAD, runs, number, d, tile.ABOVE)
    _put_above(above[band], up, PAD, runs, number, d, tile.ABOVE + 1)
    _put_above(above[band], PAD, left, runs, number, d, tile.ABOVE + 2)
    _put_above(above[band], up, left, runs, number, d, tile.ABOVE + 3)
    _put_above(above[second], PAD, PAD, runs, number, d, tile.ABOVE + 4)
    _put_above(above[third], PAD, PAD, runs, number, d, tile.ABOVE + 5)
    for k in range(6):
        _put_pairs(ll, y + k - 2, x, runs, number, d, tile.LL + 2 * k)
    _sum_pairs(symbols[band], y - 1, 3, x, runs, number, marks, tile.THREE)
    _sum_pairs(symbols[band], y - 2, 5, x, runs, number, marks, tile.FIVE)
    _sum_pairs(symbols[second], y - 1, 3, x, runs, number, marks, tile.SECOND)
    _sum_pairs(symbols[third], y - 1, 3, x, runs, number, marks, tile.THIRD)
    for k in range(3):
        _sum_above(above_symbols[(band + k) % 3], PAD - 1, 3, runs, number, marks, tile.MARKS_ABOVE + k)
    _sum_above(above_symbols[band], PAD - 2, 5, runs, number, marks, tile.WIDE)
    _sum_above(above_symbols[band], PAD, 1, runs, number, marks, tile.CENTRE)


@numba.njit(nogil=True, cache=True)
def gather(  # type: ignore[no-untyped-def]
    ll, values, symbols, above, above_symbols, band, parity, size, step, depth, x_first, first, last, others,
    words, scale, octave,
):  # fmt: skip
    """Network inputs, spread and its logarithm over the step, of targets first..last of a pass.

    ll: int64 (frames, rows, columns), padded; values, symbols: (3, frames, rows, columns), padded, int64 and int16,
    zero where unknown; above, above_symbols: the same of the level above. size: (rows, columns) of the pass. others:
    OTHERS. words: int64 (targets, INPUTS / 8), each eight inputs, the first in its lowest byte; scale,
    octave: int64 (targets,).
    """
    d, marks = np.zeros(tile.ROWS * tile.ROW, np.int64), np.zeros(tile.MARKS * tile.ROW, np.int16)
    runs, word, constant = np.empty((tile.TILE, 5), np.int64), np.empty(tile.TILE, np.int64), np.int64(0)
    tail = (127 * parity[0], 127 * parity[1], 12 * min(depth, 10), 127 * (depth < 2), 127 * x_first, 127)
    for k in range(6):
        constant |= tile.to_input(np.int64(tail[k])) << 8 * (2 + k)
    target = first
    while target < last:
        number = _cut(target, last, size[0], size[1], runs)
        _look(ll, values, symbols, above, above_symbols, band, parity, others, runs, number, d, marks)
        tile.bend(d)
        tile.spread(d, step)
        tile.measure(d, step)
        tile.count(marks, d)
        at = target - first
        tile.store(d, constant, runs, number, word, words[at:])
        for run in range(number):
            place, length = runs[run, 3], runs[run, 4]
            scale[at : at + length] = d[tile.SPREAD * tile.ROW + place : tile.SPREAD * tile.ROW + place + length]
            octave[at : at + length] = d[tile.RATIO * tile.ROW + place : tile.RATIO * tile.ROW + place + length]
            at += length
        target = first + at


@numba.njit(nogil=True, cache=True)
def fill_border(array, height, width, wrap):  # type: ignore[no-untyped-def]
    """Set the padding of (frames, rows, columns): columns round the circle or as at the edge, rows as at the edge."""
    for f in range(array.shape[0]):
        frame = array[f]
        for i in range(PAD, PAD + height):
            for k in range(PAD):
                left, right = PAD, PAD + width - 1
                if wrap:
                    left, right = PAD + (width - 1 - k) % width, PAD + k % width
                frame[i, PAD - 1 - k] = frame[i, left]
                frame[i, PAD + width + k] = frame[i, right]
        for k in range(PAD):
            frame[PAD - 1 - k, :] = frame[PAD, :]
            frame[PAD + height + k, :] = frame[PAD + height - 1, :]
