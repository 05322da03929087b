"""Gains of the two finest octaves, with which samples are as rough as the grain says.

Used by `downscaling`, and found by `generated_source` where fine fields tell the grain. The networks know the grain,
and come near it; where a fine grid is nearly empty, their errors alone are larger than what belongs there.
Spec: spec/generated.md, "Gains".
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.block_means import approach
from adiabat.formats.conditions import Grain
from adiabat.formats.grain import grain

__all__ = ["Gains", "fit_gains", "shaped"]

Array = NDArray[np.float64]
Gains = tuple[float, float]

TAPS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
LEAST, MOST = 0.05, 4.0
ROUNDS = 12
CARE = 0.7  # of the step in a round: octaves overlap


def shaped(detail: NDArray[Any], gains: Gains | None) -> Array:
    """Multiply the two finest octaves of a field by gains.

    Parameters
    ----------
    detail : NDArray, shape (..., H, W)
    gains : tuple of two float, or None
        Of waves of 4 to 8 and of 2 to 4 cells, as of `Grain`; what is longer stays.

    Returns
    -------
    NDArray[np.float64], shape of `detail`

    Notes
    -----
    Octaves are differences of fields smoothed by binomial taps that lie 1 and 2 cells apart (a trous, Holschneider et
    al. 1989); edge values are repeated. With gains of 1 the field comes back.

    Examples
    --------
    >>> chequered = np.indices((8, 8)).sum(0) % 2 - 0.5
    >>> bool(np.allclose(shaped(chequered, (1.0, 0.5))[3:5, 3:5], chequered[3:5, 3:5] / 2))
    True
    """
    fine = np.asarray(detail, np.float64)
    if gains is None:
        return fine
    once = _smooth(_smooth(fine, 1, -1), 1, -2)
    twice = _smooth(_smooth(once, 2, -1), 2, -2)
    wide, top = gains
    return np.asarray(twice + wide * (once - twice) + top * (fine - once))


def fit_gains(told: Grain, made: NDArray[Any], mean: NDArray[Any], coarse: NDArray[Any], scale: float) -> Gains:
    """Find gains with which samples have the grain that is told.

    Parameters
    ----------
    told : Grain
    made : NDArray, shape (frame, H, W)
        Samples, without NaN, at least 16 x 16 cells.
    mean : NDArray, shape (frame, H, W)
        What is expected of them, which gains leave as it is.
    coarse : NDArray, shape (frame, h, w)
        That both were made from.
    scale : float
        The roughness of `coarse`.

    Returns
    -------
    tuple of two float
        From `LEAST` to `MOST`.

    Raises
    ------
    ValueError
        If the fields are too small.
    """
    factor = made.shape[-1] // coarse.shape[-1]
    mean, gains = np.asarray(mean, np.float64), np.ones(2)
    for _ in range(ROUNDS):
        found = grain(approach(mean + shaped(made - mean, (gains[0], gains[1])), coarse, factor), scale)
        if found is None:
            raise ValueError(f"expected fields of at least 16 x 16 cells, got {made.shape}")
        gains = np.clip(gains * np.exp(CARE * np.subtract(told, found)), LEAST, MOST)
    wide, top = (float(f"{gain:.4g}") for gain in gains)
    return wide, top


def _smooth(values: Array, apart: int, axis: int) -> Array:
    reach, size = 2 * apart, values.shape[axis]
    widths = [(0, 0)] * values.ndim
    widths[axis] = (reach, reach)
    padded = np.pad(values, widths, mode="edge")
    parts = (tap * np.take(padded, range(k * apart, k * apart + size), axis) for k, tap in enumerate(TAPS))
    return np.asarray(sum(parts))
