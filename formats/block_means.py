"""Coarse fields and fine ones: block means, smooth interpolation between them, and the way back onto the means.

Used by `conditions`, by the generated view and by its training. A block is `factor` x `factor` fine cells, all of the
same weight. Spec: spec/generated.md.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["approach", "block_means", "interpolate", "project", "repeat"]

Array = NDArray[np.float64]

PASSES = 2
REACH = 2  # coarse cells on either side that a cubic needs


def block_means(fine: NDArray[Any], factor: int) -> Array:
    """Mean of each block.

    Parameters
    ----------
    fine : NDArray, shape (..., h factor, w factor)
    factor : int

    Returns
    -------
    NDArray[np.float64], shape (..., h, w)

    Raises
    ------
    ValueError
        If a side is no multiple of the factor.

    Examples
    --------
    >>> from adiabat.formats.block_means import block_means
    >>> block_means(np.arange(4.0).reshape(2, 2), 2)
    array([[1.5]])
    """
    *lead, height, width = fine.shape
    if height % factor or width % factor:
        raise ValueError(f"expected sides that are multiples of {factor}, got {height} x {width}")
    blocks = fine.astype(np.float64, copy=False).reshape(*lead, height // factor, factor, width // factor, factor)
    return np.asarray(blocks.mean(axis=(-3, -1)))


def repeat(coarse: NDArray[Any], factor: int) -> NDArray[Any]:
    """Each cell's value for all of its block: (..., h, w) -> (..., h factor, w factor)."""
    return np.repeat(np.repeat(coarse, factor, axis=-2), factor, axis=-1)


def interpolate(coarse: NDArray[Any], factor: int) -> Array:
    """A smooth fine field: Catmull-Rom cubics, then once more of what their block means lack.

    Parameters
    ----------
    coarse : NDArray, shape (..., h, w)
        Without NaN; edge values are repeated beyond borders.
    factor : int

    Returns
    -------
    NDArray[np.float64], shape (..., h factor, w factor)

    Notes
    -----
    Source: Keys, R. (1981), doi:10.1109/TASSP.1981.1163711, a = -1/2; back projection after Irani and Peleg (1991).
    """
    coarse = coarse.astype(np.float64, copy=False)
    fine = _cubic(coarse, factor)
    return fine + _cubic(coarse - block_means(fine, factor), factor)


def _cubic(coarse: Array, factor: int) -> Array:
    return _along_rows(np.swapaxes(_along_rows(np.swapaxes(coarse, -1, -2), factor), -1, -2), factor)


def _along_rows(coarse: Array, factor: int) -> Array:
    """Interpolate along the last axis, from cells' centres to cells' centres."""
    width = coarse.shape[-1]
    padded = np.pad(coarse, [(0, 0)] * (coarse.ndim - 1) + [(REACH, REACH)], mode="edge")
    near = np.stack([padded[..., tap : tap + width] for tap in range(2 * REACH + 1)], axis=-1)
    return np.asarray((near @ _weights(factor)).reshape(*coarse.shape[:-1], width * factor))


@lru_cache(maxsize=16)
def _weights(factor: int) -> Array:
    """Of the five cells about each, for each of its fine cells: (5, factor)."""
    offsets = (np.arange(factor) + 0.5) / factor - 0.5
    distance = np.abs(np.arange(-REACH, REACH + 1)[:, None] - offsets)
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return np.asarray(np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)))


def approach(fine: NDArray[Any], coarse: NDArray[Any], factor: int) -> Array:
    """Move a fine field close to the coarse one by smooth fields, which leave no steps between blocks.

    Comes before `project`, which mends the rest, a hundredth or so, block by block. Shapes as there.
    """
    fine = fine.astype(np.float64, copy=False)
    for _ in range(PASSES):
        fine = fine + _cubic(coarse - block_means(fine, factor), factor)
    return fine


def project(
    fine: NDArray[Any], coarse: NDArray[Any], factor: int, *, non_negative: bool = False
) -> NDArray[np.float32]:
    """Move a fine field onto the coarse one: block by block its mean becomes the coarse value.

    What a block lacks is added to all of its cells; where nothing may be negative, negative cells become zero first
    and the block is multiplied.

    Parameters
    ----------
    fine : NDArray, shape (..., h factor, w factor)
    coarse : NDArray, shape (..., h, w)
        Not negative where `non_negative`.
    factor : int
    non_negative : bool

    Returns
    -------
    NDArray[np.float32], shape of `fine`
        Its block means are `coarse` but for the rounding to float32.
    """
    fine = fine.astype(np.float64, copy=False)
    if not non_negative:
        return np.asarray(fine + repeat(coarse - block_means(fine, factor), factor), np.float32)
    fine = np.maximum(fine, 0.0)
    means = block_means(fine, factor)
    some = means > 0
    gain = np.divide(coarse, means, out=np.zeros_like(means), where=some)
    flat = np.where(some, 0.0, coarse)  # a block of nothing has no shape to multiply
    return np.asarray(fine * repeat(gain, factor) + repeat(flat, factor), np.float32)
