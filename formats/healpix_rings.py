"""Rings of HEALPix cells, and which points to interpolate between: from a grid to cells, from cells to a grid.

Stage: under `healpix_transform`. Everything is in NumPy; a stencil is made once for a pair of grids.

Source: Górski et al., ApJ 622 (2005), sections 4 and 5.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.faces import centres, face_of, from_faces

__all__ = ["Stencil", "cell_stencil", "latlon_stencil", "ring_index", "rings_of"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Stencil = tuple[Indices, Floats]  # indices and weights of the points to be summed: (points, targets)


@lru_cache(maxsize=2)
def cell_stencil(nside: int, rows: int, columns: int, west: float) -> Stencil:
    """Four points of an eastward grid around each cell: (4, cells)."""
    latitude, longitude = (from_faces(each) for each in centres(nside))
    row = (90 - latitude) * (rows - 1) / 180
    column = (longitude - west) % 360 * columns / 360
    top, left = np.minimum(row.astype(np.intp), rows - 2), column.astype(np.intp)
    down, right = row - top, column - left
    corners = [(i, j) for i in (0, 1) for j in (0, 1)]
    indices = np.stack([(top + i) * columns + (left + j) % columns for i, j in corners])
    return indices, np.stack([(down if i else 1 - down) * (right if j else 1 - right) for i, j in corners])


@lru_cache(maxsize=2)
def latlon_stencil(nside: int, rows: int, columns: int, west: float) -> Stencil:
    """Two cells (in ring order) of each of the two rings around each point of an eastward grid: (4, rows * columns)."""
    rings = rings_of(nside)
    theta, count = rings["theta"], rings["nphi"].astype(np.intp)
    colatitude = np.linspace(0, np.pi, rows)
    north = np.searchsorted(theta, colatitude, side="right") - 1  # -1 above the first ring
    last = theta.size - 1
    pair = np.stack([np.clip(north, 0, last), np.clip(north + 1, 0, last)])
    gap = theta[pair[1]] - theta[pair[0]]
    # Above the first ring and below the last, between the ring and its own mean at the pole.
    pole = np.where(
        north < 0, 1 - colatitude / theta[0], np.where(north == last, 1 - (np.pi - colatitude) / theta[0], 0)
    )
    south = np.divide(colatitude - theta[pair[0]], gap, out=np.zeros(rows), where=gap > 0)
    longitude = np.radians(west + np.arange(columns) * 360 / columns)
    parts = []
    for ring, share in ((pair[0], 1 - south), (pair[1], south)):
        place = ((longitude[None] - rings["phi0"][ring, None]) % (2 * np.pi)) * count[ring, None] / (2 * np.pi)
        left = np.minimum(place.astype(np.intp), count[ring, None] - 1)
        right = place - left
        for step, along in ((0, 1 - right), (1, right)):
            index = rings["ringstart"][ring, None].astype(np.intp) + (left + step) % count[ring, None]
            parts.append((index, along * share[:, None]))
    indices = np.stack([index.ravel() for index, _ in parts])
    weights = np.stack([weight.ravel() for _, weight in parts])
    return _with_poles(indices, weights, pole.repeat(columns), rings, 12 * nside**2)


def _with_poles(indices: Indices, weights: Floats, pole: Floats, rings: dict[str, Any], cells: int) -> Stencil:
    """Near a pole, mix in the mean of the four cells around it: the stencil grows to (8, points)."""
    first = np.where(np.arange(pole.size) < pole.size // 2, 0, cells - 4)
    around = first + np.arange(4)[:, None]
    return np.concatenate([indices, around]), np.concatenate([weights * (1 - pole), np.tile(pole / 4, (4, 1))])


@lru_cache(maxsize=4)
def rings_of(nside: int) -> dict[str, NDArray[Any]]:
    """Colatitude, longitude of the first cell (radians), number of cells and first index of every ring."""
    ring = np.arange(1, 4 * nside)
    short = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    belt = np.arccos(np.clip((2 * nside - ring) * 2 / (3 * nside), -1, 1))
    cap = 2 * np.arcsin(short / (nside * 6**0.5))
    theta = np.where(short == nside, belt, np.where(ring < 2 * nside, cap, np.pi - cap))
    shifted = (short < nside) | ((ring - nside) % 2 == 0)  # by half a cell
    start = np.concatenate([[0], np.cumsum(4 * short)[:-1]])
    phi0 = np.where(shifted, np.pi / (4 * short), 0)
    return {"theta": theta, "phi0": phi0, "nphi": (4 * short).astype(np.uint64), "ringstart": start.astype(np.uint64)}


@lru_cache(maxsize=4)
def ring_index(nside: int) -> Indices:
    """Index in ring order of each cell in nested order."""
    face, y, x = face_of(np.arange(12 * nside**2), nside)
    row, column = face // 4, face % 4
    ring = (row + 2) * nside - x - y - 1
    short = np.minimum(np.minimum(ring, 4 * nside - ring), nside)
    # Half cells east of the meridian; the first cell of a shifted ring has one, of others none.
    east = ((2 * column + (row != 1)) * short + x - y) % (8 * short)
    index: Indices = rings_of(nside)["ringstart"].astype(np.intp)[ring - 1] + east // 2
    return index
