"""`g_a` and `g_s` of `vq`: a wavelet pyramid whose every step is one ONNX graph, run level by level.

Stage of `vq`: field -> **vq_transform** -> vq_prior. Spec: spec/vq.md, section 2.

A step of `g_a` takes a field to LL and three bands of half its size, a step of `g_s` takes them back. The graphs are
the CDF 9/7 wavelet, exactly, and, of `g_s`, a small network's correction beside it. They have no borders of their own:
fields and bands are extended here, as the wavelet asks, before a graph sees them. All of it is float: nothing here
decides a symbol of a decoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.float_graph import Graph

__all__ = ["HALO", "KINDS", "analyse", "band_ends", "fold", "kind_of", "level_shapes", "synthesise"]

HALO = 8  # coefficients on each side that a graph needs beside those it gives
KINDS = 3  # graphs: of level 1, of level 2, of all coarser ones
BANDS = 4  # LL, HL (detail along x), LH (along y), HH
WHOLE, HALF, ROUND = "whole", "half", "round"  # mirrored at the end sample, beyond it, or round the circle
Ends = tuple[str, str]
SMOOTH: Ends = (WHOLE, HALF)
DETAIL: Ends = (HALF, WHOLE)

Floats = NDArray[np.float32]


def kind_of(level: int) -> int:
    """Which of the graphs and tables a level (1 is the finest) has."""
    return min(level, KINDS) - 1


def level_shapes(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """Sizes of LL at levels 0 to `levels`; an odd axis is lengthened by one before it is halved.

    Examples
    --------
    >>> level_shapes(721, 1440, 3)
    [(721, 1440), (361, 720), (181, 360), (91, 180)]
    """
    sizes = [(height, width)]
    for _ in range(levels):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def fold(count: int, halo: int, ends: Ends) -> NDArray[np.int64]:
    """Where the samples -halo .. count + halo - 1 of an extended axis are taken from.

    Examples
    --------
    >>> fold(4, 2, ("whole", "whole")).tolist(), fold(4, 2, ("half", "whole")).tolist()
    ([2, 1, 0, 1, 2, 3, 2, 1], [1, 0, 0, 1, 2, 3, 2, 1])
    >>> fold(4, 2, ("round", "round")).tolist()
    [2, 3, 0, 1, 2, 3, 0, 1]
    """
    at = np.arange(-halo, count + halo)
    if ends[0] == ROUND:
        return at % count
    first, last = -(ends[0] == HALF), 2 * count - 1 - (ends[1] == WHOLE)  # mirrors, in half samples
    period = 2 * (last - first)
    if period == 0:
        return np.zeros_like(at)
    t = (2 * at - first) % period
    return (np.minimum(t, period - t) + first) // 2


def band_ends(band: int, *, wrap: bool) -> tuple[Ends, Ends]:
    """How a band (0: LL, 1: HL, 2: LH, 3: HH) goes on beyond its rows and its columns."""
    rows, columns = (DETAIL if band & 2 else SMOOTH), (DETAIL if band & 1 else SMOOTH)
    return rows, (ROUND, ROUND) if wrap else columns


def extend_field(x: Floats, halo: int, *, wrap: bool) -> Floats:
    """Extend (frames, rows, columns), both of even length, as the wavelet asks."""
    ends = (ROUND, ROUND) if wrap else (WHOLE, WHOLE)
    rows, columns = fold(x.shape[1], halo, (WHOLE, WHOLE)), fold(x.shape[2], halo, ends)
    return np.ascontiguousarray(x[:, rows][:, :, columns])


def extend_bands(y: Floats, halo: int, *, wrap: bool) -> Floats:
    """Extend LL and the bands (frames, 4, rows, columns) of such a field."""
    out = np.empty((*y.shape[:2], y.shape[2] + 2 * halo, y.shape[3] + 2 * halo), y.dtype)
    for band in range(BANDS):
        rows, columns = band_ends(band, wrap=wrap)
        out[:, band] = y[:, band][:, fold(y.shape[2], halo, rows)][:, :, fold(y.shape[3], halo, columns)]
    return out


def even(x: Floats) -> Floats:
    """Lengthen odd axes by their last sample."""
    return np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)), mode="edge")


def analyse(x: Floats, graphs: Sequence[Graph], levels: int, *, wrap: bool) -> tuple[Floats, list[Floats]]:
    """`g_a`: field to LL of the last level and the bands of each.

    Parameters
    ----------
    x : NDArray[np.float32], shape (frames, y, x)
        In units of the step.
    graphs : sequence of function
        A step of each kind.
    levels : int
    wrap : bool
        Whether x closes on itself; it is then periodic on levels of even width.

    Returns
    -------
    smooth : NDArray[np.float32], shape (frames, rows, columns)
    details : list of NDArray[np.float32], shape (frames, 3, rows, columns)
        Of levels 1, 2, ...
    """
    smooth, details = x, []
    for level in range(1, levels + 1):
        around = wrap and smooth.shape[2] % 2 == 0
        field = extend_field(even(smooth), 2 * HALO, wrap=around)
        bands = np.concatenate([graphs[kind_of(level)](frame[None, None]) for frame in field])
        smooth = bands[:, 0]
        details.append(np.ascontiguousarray(bands[:, 1:]))
    return smooth, details


def synthesise(
    smooth: Floats,
    details: Sequence[Floats],
    graphs: Sequence[Graph],
    size: tuple[int, int],
    *,
    wrap: bool,
    gain: float,
) -> Floats:
    """`g_s`: what `analyse` gave, quantised, to a field of this size.

    Parameters
    ----------
    smooth, details, graphs, wrap
        As above.
    size : tuple of int
        Rows and columns of the field.
    gain : float
        Of the networks' corrections: 0 is the wavelet alone.

    Returns
    -------
    NDArray[np.float32], shape (frames, y, x)
    """
    sizes = level_shapes(*size, len(details))
    strength = np.array([gain], np.float32)
    for level in range(len(details), 0, -1):
        rows, columns = sizes[level - 1]
        bands = np.concatenate([smooth[:, None], details[level - 1]], axis=1)
        extended = extend_bands(bands, HALO, wrap=wrap and columns % 2 == 0)
        frames = [graphs[kind_of(level)](frame[None], strength)[0, 0] for frame in extended]
        smooth = np.stack(frames)[:, :rows, :columns]
    return smooth
