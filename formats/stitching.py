"""One large field from many small ones: tiles that are sampled apart, and patches that are evaluated apart.

Stage: sampler -> **stitching** -> downscaling. Tiles lie fixed upon a field, and each is sampled with a halo of cells
round about it, so that any region can be had from few of them. Patches share each evaluation of the network within
one tile: what they predict of the *same* state is averaged at every step. (Averaging *samples* of patches instead
would leave a few per cent of the variance.) All weights sum to 1 in every cell, at borders too.
Spec: spec/generated.md, "Tiles".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID", "HALO", "TILE", "Tile", "fuse", "patches", "tiles"]

Weights = NDArray[np.float64]

TILE = 256  # cells along a side of a tile, more or less
GRID = 32  # of which tiles are multiples, and with what is computed round about them all that the networks halve
HALO = 80  # cells round about a tile that are sampled with it; their cut is felt by less than 1e-3 of a deviation
BLEND = 16  # cells over which the last tile passes into the first, where a field goes round


@dataclass(frozen=True)
class Tile:
    """One tile along one axis.

    Attributes
    ----------
    start, stop : int
        Cells that it has a share of; beyond the field where that goes round.
    first, last : int
        Cells that are sampled: first to before last.
    weights : NDArray[np.float64], shape (stop - start,)
        Its share.
    """

    start: int
    stop: int
    first: int
    last: int
    weights: Weights


def tiles(size: int, *, wrap: bool = False) -> list[Tile]:
    """Lay tiles along one axis of a field.

    Parameters
    ----------
    size : int
        Cells of the field.
    wrap : bool
        Whether the field goes round.

    Returns
    -------
    list of Tile
        At each cell the weights sum to 1. A tile ends where the next begins; only where the field goes round, and
        tiles may not fit the grid of their neighbours, do they overlap.

    Examples
    --------
    >>> [(tile.start, tile.stop, tile.first, tile.last) for tile in tiles(600)]
    [(0, 320, 0, 400), (320, 600, 240, 600)]
    """
    side = GRID * math.ceil(size / (max(1, round(size / TILE)) * GRID))
    half = min(BLEND, size) // 2 if wrap else 0
    found = []
    for core in range(0, size, side):
        end = min(size, core + side)
        early, late = half if core == 0 else 0, half if end == size else 0
        cells: Weights = np.arange(core - early, end + late, dtype=np.float64) + 0.5
        first, last = (core - HALO, end + HALO) if wrap else (max(0, core - HALO), min(size, end + HALO))
        weights = _rise(cells - core, early) - _rise(cells - end, late)
        found.append(Tile(core - early, end + late, first, last, weights))
    return found


def _rise(distance: Weights, half: int) -> Weights:
    """From 0 to 1 along a cosine, from `half` cells before an edge to as many after it."""
    return np.asarray(np.square(np.sin(np.pi / 4 * (np.clip(distance / max(half, 1e-9), -1, 1) + 1))))


def patches(size: int, patch: int, stride: int) -> list[tuple[int, Weights]]:
    """First cells and weights of the patches along one axis: Hann windows, flat towards borders, that sum to 1.

    Parameters
    ----------
    size, patch, stride : int
        Cells. A patch larger than the field becomes as large as the field; the last one ends where the field ends.

    Returns
    -------
    list of (int, NDArray[np.float64])

    Raises
    ------
    ValueError
        If the patches would leave gaps.

    Examples
    --------
    >>> [first for first, _ in patches(40, 16, 8)]
    [0, 8, 16, 24]
    """
    patch = min(patch, size)
    if not 0 < stride <= patch:
        raise ValueError(f"expected a stride from 1 to the patch of {patch} cells, got {stride}")
    starts = [*range(0, size - patch, stride), size - patch]
    hann = np.square(np.sin(np.pi * (np.arange(patch) + 0.5) / patch))
    windows = []
    for first in starts:
        window = hann.copy()
        if first == 0:
            window[: patch // 2] = 1
        if first == size - patch:
            window[patch // 2 :] = 1
        windows.append(window)
    total = np.zeros(size)
    for first, window in zip(starts, windows, strict=True):
        total[first : first + patch] += window
    return [(f, window / total[f : f + patch]) for f, window in zip(starts, windows, strict=True)]


def fuse(
    predict: Callable[[slice, slice], NDArray[np.float32]], shape: tuple[int, int], patch: int, stride: int
) -> NDArray[np.float32]:
    """Evaluate a large canvas patch by patch, and average where patches overlap.

    Parameters
    ----------
    predict : callable
        Of rows and columns of a patch; gives (..., rows, columns).
    shape : tuple of int
        Rows and columns of the canvas.
    patch, stride : int
        As of `patches`; use the same at every step of a sampler.

    Returns
    -------
    NDArray[np.float32], shape (..., rows, columns)

    Notes
    -----
    Source: Bar-Tal et al. (2023), arXiv 2302.08113.

    Examples
    --------
    >>> canvas = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
    >>> fused = fuse(lambda rows, columns: canvas[rows, columns], canvas.shape, 16, 8)
    >>> bool(np.abs(fused / np.maximum(canvas, 1) - canvas / np.maximum(canvas, 1)).max() < 1e-6)
    True
    """
    parts = []
    for y, down in patches(shape[0], patch, stride):
        for x, across in patches(shape[1], patch, stride):
            rows, columns = slice(y, y + len(down)), slice(x, x + len(across))
            parts.append((rows, columns, predict(rows, columns) * (down[:, None] * across)))
    total = np.zeros((*parts[0][2].shape[:-2], *shape))
    for rows, columns, values in parts:
        total[..., rows, columns] += values
    return total.astype(np.float32)
