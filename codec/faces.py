"""The twelve faces of a HEALPix sphere in nested order: indices, positions, and padding with the true neighbours.

Stage: around a transform that works on square images, so that its convolutions have no seams. On a face, x runs to the
north-east and y to the north-west from its southern corner; faces 0 to 3 touch the north pole, 4 to 7 lie on the
equator, 8 to 11 touch the south pole.

Source: Górski et al., "HEALPix: a framework for high-resolution discretization and fast analysis of data distributed on
the sphere", ApJ 622 (2005), sections 4 and 5. The neighbours are derived here from which edges coincide.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["FACES", "centres", "face_of", "from_faces", "nested_of", "pad", "padding", "side_of", "to_faces"]

FACES = 12
SPREAD = (  # shift and mask: make room for a bit between any two, halves first
    (16, 0x0000FFFF0000FFFF),
    (8, 0x00FF00FF00FF00FF),
    (4, 0x0F0F0F0F0F0F0F0F),
    (2, 0x3333333333333333),
    (1, 0x5555555555555555),
)

Indices = NDArray[np.int64]
Place = tuple[Indices, Indices, Indices]


def side_of(cells: int) -> int:
    """Nside of a whole sphere of so many cells.

    Raises
    ------
    ValueError
        Not 12 times the square of a power of two.

    Examples
    --------
    >>> side_of(786432)
    256
    """
    nside = math.isqrt(max(cells, 0) // FACES)  # of any size: a float may be too small for it
    if nside < 1 or nside & (nside - 1) or FACES * nside**2 != cells:
        raise ValueError(f"expected 12 nside^2 cells with nside a power of two, got {cells}")
    return nside


def face_of(index: ArrayLike, nside: int) -> Place:
    """Face, y and x of nested indices.

    Parameters
    ----------
    index : integers, 0 to 12 nside^2 - 1
    nside : int
        A power of two.

    Returns
    -------
    face, y, x : NDArray[np.int64]

    Examples
    --------
    >>> [int(part) for part in face_of(16 + 0b0111, 4)]  # y takes the odd bits, x the even ones
    [1, 1, 3]
    """
    _check_side(nside)
    nested = np.asarray(index, np.int64)
    face, within = np.divmod(nested, nside * nside)
    return face, _every_other_bit(within >> 1), _every_other_bit(within)


def nested_of(face: ArrayLike, y: ArrayLike, x: ArrayLike, nside: int) -> Indices:
    """Undo `face_of`.

    Examples
    --------
    >>> int(nested_of(1, 1, 3, 4))
    23
    """
    _check_side(nside)
    faces, rows, columns = (np.asarray(part, np.int64) for part in (face, y, x))
    return np.asarray(faces * nside * nside + (_spread(rows) << 1) + _spread(columns))


def to_faces(values: NDArray[Any]) -> NDArray[Any]:
    """Turn nested cells into square images.

    Parameters
    ----------
    values : array, shape (..., 12 nside^2)

    Returns
    -------
    array, shape (..., 12, nside, nside)
        Last axes face, y, x.

    Examples
    --------
    >>> to_faces(np.arange(48))[0]
    array([[0, 1],
           [2, 3]])
    """
    nside = side_of(values.shape[-1] if values.ndim else 1)
    lead, bits = values.shape[:-1], nside.bit_length() - 1
    split = values.reshape(*lead, FACES, *[2] * (2 * bits))  # (..., face, y, x, y, x, ...), highest bits first
    first = len(lead) + 1
    axes = [*range(first), *range(first, first + 2 * bits, 2), *range(first + 1, first + 2 * bits, 2)]
    return split.transpose(axes).reshape(*lead, FACES, nside, nside)


def from_faces(faces: NDArray[Any]) -> NDArray[Any]:
    """Undo `to_faces`: (..., 12, nside, nside) to (..., 12 nside^2).

    Examples
    --------
    >>> values = np.arange(192)
    >>> bool((from_faces(to_faces(values)) == values).all())
    True
    """
    nside = _side_of_faces(faces)
    lead, bits = faces.shape[:-3], nside.bit_length() - 1
    split = faces.reshape(*lead, FACES, *[2] * (2 * bits))  # (..., face, y, y, ..., x, x, ...)
    first = len(lead) + 1
    pairs = [axis for bit in range(bits) for axis in (first + bit, first + bits + bit)]
    return split.transpose([*range(first), *pairs]).reshape(*lead, FACES * nside * nside)


def centres(nside: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of the cells' centres.

    Returns
    -------
    latitude, longitude : NDArray[np.float64], shape (12, nside, nside), degrees north, degrees east 0 to 360

    Source
    ------
    Górski et al. (2005), equations 4 to 9, in the coordinates of a face.

    Examples
    --------
    >>> latitude, longitude = centres(1)
    >>> np.round(latitude.ravel(), 2)[[0, 4, 8]], longitude.ravel()[:6]
    (array([ 41.81,   0.  , -41.81]), array([ 45., 135., 225., 315.,   0.,  90.]))
    """
    _check_side(nside)
    face, y, x = np.meshgrid(np.arange(FACES), np.arange(nside), np.arange(nside), indexing="ij")
    row, column = face // 4, face % 4
    ring = (row + 2) * nside - x - y - 1  # 1 is next to the north pole
    short = np.minimum(np.minimum(ring, 4 * nside - ring), nside)  # a quarter of the ring's cells
    belt = np.degrees(np.arcsin(np.clip((2 * nside - ring) * 2 / (3 * nside), -1, 1)))
    # Where z = 1 - ring^2 / 3 nside^2, by half angles, so that no digits are lost near the poles.
    cap = 90 - 2 * np.degrees(np.arcsin(short / (nside * 6**0.5)))
    latitude = np.where(short == nside, belt, np.where(ring < 2 * nside, cap, -cap))
    longitude = 45 * (2 * column + (row != 1) + (x - y) / short)
    return latitude, longitude % 360


def pad(faces: NDArray[Any], width: int) -> NDArray[Any]:
    """Extend every face by its neighbours' cells.

    Parameters
    ----------
    faces : array, shape (..., 12, nside, nside)
    width : int, 0 to nside

    Returns
    -------
    array, shape (..., 12, nside + 2 width, nside + 2 width)
        At the eight points where only three faces meet, the corner that belongs to no face holds the mean (of
        integers, its floor) of going on straight through either neighbour; next to the corner these are the two cells
        beside it.

    Raises
    ------
    ValueError
        Shape or width that do not fit.

    Examples
    --------
    >>> one_number_a_face = np.arange(12.0).repeat(4).reshape(12, 2, 2)
    >>> pad(one_number_a_face, 1)[0]  # y upwards in the sky: the north pole is at the end of the last row
    array([[8. , 5. , 5. , 3. ],
           [4. , 0. , 0. , 1. ],
           [4. , 0. , 0. , 1. ],
           [3.5, 3. , 3. , 2. ]])
    """
    first, corners, second = padding(_side_of_faces(faces), width)
    flat = faces.reshape(*faces.shape[:-3], -1)
    padded = flat[..., first.ravel()]
    one, other = padded[..., corners], flat[..., second]
    if np.issubdtype(faces.dtype, np.integer):
        padded[..., corners] = (one.astype(np.int64) + other) >> 1
    else:
        padded[..., corners] = (one + other) * faces.dtype.type(0.5)
    return padded.reshape(*faces.shape[:-3], *first.shape)


@lru_cache(maxsize=8)
def padding(nside: int, width: int) -> tuple[Indices, Indices, Indices]:
    """Where the cells of padded faces come from, for other array libraries than NumPy.

    Returns
    -------
    first : NDArray[np.int64], shape (12, nside + 2 width, nside + 2 width)
        Flat indices into (12, nside, nside).
    corners, second : NDArray[np.int64], shape (24 width^2,)
        Flat indices into `first` of the cells that belong to no face; the cells that these are averaged with.

    Examples
    --------
    >>> first, corners, second = padding(4, 1)
    >>> first.shape, corners.shape, second.shape
    ((12, 6, 6), (24,), (24,))
    """
    _check_side(nside)
    if not 0 <= width <= nside:
        raise ValueError(f"expected a width of 0 to nside = {nside}, got {width}")
    reach = np.arange(-width, nside + width)
    start: Place = tuple(np.meshgrid(np.arange(FACES), reach, reach, indexing="ij"))  # type: ignore[assignment]
    # Beyond a corner where three faces meet, the two orders lead elsewhere; anywhere else they are the same.
    x_first = _cross_y(_cross_x(start, nside), nside)
    y_first = _cross_x(_cross_y(start, nside), nside)
    # A way through a polar face turns, and may leave the next one by its other edge: hence twice.
    ways = [_flat(_cross_y(_cross_x(way, nside), nside), nside) for way in (x_first, y_first)]
    corners = np.flatnonzero(ways[0] != ways[1])
    second = ways[1].ravel()[corners]
    for array in (ways[0], corners, second):
        array.flags.writeable = False
    return ways[0], corners, second


def _cross_x(place: Place, nside: int) -> Place:
    """Take cells with x outside their face to the face beyond that edge."""
    face, y, x = place
    row, column = face // 4, face % 4
    east, west = x >= nside, x < 0
    # To the north-east of a northern face is the next northern face, turned; of others the row above.
    turned = east & (row == 0)
    target = np.where(east, np.where(row == 0, (column + 1) % 4, (row - 1) * 4 + (column + (row == 2)) % 4), face)
    # To the south-west of a southern face is the southern face before it, turned; of others the row below.
    mirrored = west & (row == 2)
    below = np.where(row == 2, 8 + (column - 1) % 4, (row + 1) * 4 + (column - (row == 1)) % 4)
    target = np.where(west, below, target)
    inside = np.where(east, x - nside, np.where(west, x + nside, x))
    new_y = np.where(turned, 2 * nside - 1 - x, np.where(mirrored, -1 - x, y))
    return target, new_y, np.where(turned | mirrored, y, inside)


def _cross_y(place: Place, nside: int) -> Place:
    """Take cells with y outside their face to the face beyond that edge."""
    face, y, x = place
    row, column = face // 4, face % 4
    west, east = y >= nside, y < 0
    # To the north-west of a northern face is the northern face before it, turned; of others the row above.
    turned = west & (row == 0)
    above = np.where(row == 0, (column - 1) % 4, (row - 1) * 4 + (column - (row == 1)) % 4)
    # To the south-east of a southern face is the next southern face, turned; of others the row below.
    mirrored = east & (row == 2)
    below = np.where(row == 2, 8 + (column + 1) % 4, (row + 1) * 4 + (column + (row == 0)) % 4)
    target = np.where(west, above, np.where(east, below, face))
    inside = np.where(west, y - nside, np.where(east, y + nside, y))
    new_x = np.where(turned, 2 * nside - 1 - y, np.where(mirrored, -1 - y, x))
    return target, np.where(turned | mirrored, x, inside), new_x


def _flat(place: Place, nside: int) -> Indices:
    face, y, x = place
    return (face * nside + y) * nside + x


def _spread(number: Indices) -> Indices:
    """Put a zero before every bit."""
    for shift, mask in SPREAD:
        number = (number | (number << shift)) & mask
    return number


def _every_other_bit(number: Indices) -> Indices:
    """Undo `_spread`, whatever the other bits."""
    number = number & SPREAD[-1][1]
    for (shift, _), (_, mask) in zip(SPREAD[::-1], [*SPREAD[-2::-1], (0, 0xFFFFFFFF)], strict=True):
        number = (number | (number >> shift)) & mask
    return number


def _check_side(nside: int) -> None:
    if not 1 <= nside <= 1 << 29 or nside & (nside - 1):
        raise ValueError(f"expected nside a power of two, 1 to 2^29, got {nside}")


def _side_of_faces(faces: NDArray[Any]) -> int:
    nside = int(faces.shape[-1]) if faces.ndim >= 3 else 0
    if nside < 1 or nside & (nside - 1) or faces.shape[-3:] != (FACES, nside, nside):
        raise ValueError(f"expected (..., 12, nside, nside) with nside a power of two, got shape {faces.shape}")
    return nside
