"""The noise that a generated field starts from: normal numbers, each a function of its seed and its place alone.

Stage: **noise_field** -> sampler -> downscaling. Any part of a field has the noise that the whole of it has, so that a
part generated alone is the crop of the whole. Philox is counted up within blocks of 64 x 64 cells; its bits become
normal numbers by Box and Muller's transform, not by a generator's own, which may change with its version.
Spec: spec/generated.md, "Noise".
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "noise"]

Array = NDArray[np.float64]

BLOCK = 64  # cells along a side of a block, which is drawn at once
WORD = 2**64


def noise(
    seed: int,
    member: int,
    time_index: int,
    rows: slice,
    columns: slice,
    *,
    wrap: int | None = None,
    persistence: int | None = 0,
    stack: int = 0,
) -> Array:
    """Draw the standard normal noise of part of a field.

    Parameters
    ----------
    seed, time_index : int
        From 0 to 2**64 - 1.
    member : int
        Of an ensemble; from 0 to 2**32 - 1.
    rows, columns : slice
        Of the field's cells: start and stop are given, start below stop, step 1. Rows begin at 0; columns may be
        negative where the field goes round.
    wrap : int, optional
        Columns after which a field that goes round begins again.
    persistence : int, optional
        Frames on either side that a frame's noise is averaged with, to unit variance: that of frames k apart is
        correlated by 1 - k / (2 persistence + 1). None: all frames have that of the first.
    stack : int
        Tells apart fields of the same time, such as those of other levels; from 0 to 2**32 - 1.

    Returns
    -------
    NDArray[np.float64], shape (rows, columns)

    Raises
    ------
    ValueError
        If a row or, without `wrap`, a column lies before the field.

    Notes
    -----
    Source: Salmon et al. (2011), doi:10.1145/2063384.2063405; Box and Muller (1958).

    Examples
    --------
    >>> whole = noise(7, 0, 0, slice(0, 80), slice(0, 100))
    >>> bool((noise(7, 0, 0, slice(60, 80), slice(5, 70)) == whole[60:80, 5:70]).all())
    True
    """
    if rows.start < 0 or (wrap is None and columns.start < 0):
        raise ValueError(f"expected cells from 0 on, got rows from {rows.start} and columns from {columns.start}")
    reach = persistence or 0
    first = 0 if persistence is None else time_index
    total = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    across = np.arange(columns.start, columns.stop) % (wrap or columns.stop)
    for frame in range(first - reach, first + reach + 1):
        total += _frame(seed, (frame % WORD, stack << 32 | member), rows, across)
    return total / math.sqrt(2 * reach + 1)


def _frame(seed: int, which: tuple[int, int], rows: slice, columns: NDArray[np.int64]) -> Array:
    """Noise of one frame, for rows and columns by number."""
    found = np.empty((rows.stop - rows.start, len(columns)))
    down = np.arange(rows.start, rows.stop)
    for y in range(rows.start // BLOCK, (rows.stop - 1) // BLOCK + 1):
        inside = down // BLOCK == y
        for x in np.unique(columns // BLOCK):
            beside = columns // BLOCK == x
            block = _block(seed, which, y, int(x))
            found[np.ix_(inside, beside)] = block[np.ix_(down[inside] % BLOCK, columns[beside] % BLOCK)]
    return found


def _block(seed: int, which: tuple[int, int], y: int, x: int) -> Array:
    """Noise of one block: each pair of words makes two cells, the second right of the first."""
    key, counter = np.array([seed, 0], np.uint64), np.array([0, y << 32 | x, *which], np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(BLOCK * BLOCK)
    uniform = (words >> np.uint64(11)) * 2.0**-53  # from 0 to below 1
    radius = np.sqrt(-2 * np.log1p(-uniform[0::2]))
    angle = 2 * np.pi * uniform[1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(BLOCK, BLOCK)
