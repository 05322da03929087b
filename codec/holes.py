"""Values for pixels that have none, so that a transform finds nothing there to code: smooth, from their surroundings.

Stage of the latent codecs, encoder only: mask -> **holes** -> transform. Pull and push: means of the known pixels over
blocks of 2, 4, 8, ... pixels; each hole takes that of the smallest block that knows any.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fill_holes"]

Floats = NDArray[np.float64]


def fill_holes(frames: Floats, valid: NDArray[np.bool_]) -> Floats:
    """Frames with their holes filled.

    Parameters
    ----------
    frames : NDArray[np.float64], shape (frames, y, x)
        May hold anything where not valid.
    valid : NDArray[np.bool_], same shape
        Frames without a valid pixel become zero.

    Examples
    --------
    >>> frame = np.array([[[1.0, np.nan, 3.0, 3.0]]])
    >>> fill_holes(frame, np.isfinite(frame)).tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    """
    return _filled(np.where(valid, frames, 0.0), valid.astype(np.float64))


def _filled(total: Floats, weight: Floats) -> Floats:
    """Means of what weighs something; from coarser blocks where nothing does."""
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    if weight.all() or total.shape[1:] == (1, 1):
        return mean
    coarse = _filled(_halved(total), _halved(weight))
    height, width = total.shape[1:]
    return np.where(weight > 0, mean, coarse.repeat(2, 1)[:, :height].repeat(2, 2)[:, :, :width])


def _halved(values: Floats) -> Floats:
    """Sums over blocks of 2 x 2."""
    height, width = values.shape[1:]
    even = np.pad(values, ((0, 0), (0, height % 2), (0, width % 2)))
    return np.asarray(even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2])
