"""How rough a variable is on its fine grid: what its coarse fields do not tell, and fine ones of other times do.

Stage: **grain** -> conditions -> downscaling. Spectral models leave the last octaves of their grids nearly empty,
others fill them: between two variables whose coarse fields look alike lies a factor of ten and more.
Spec: spec/generated.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.conditions import Grain
from adiabat.formats.isotropic_spectrum import octave_power

__all__ = ["grain"]

WINDOW = 256  # cells along a side; half as many where no window is complete, and so on
LEAST = 16  # that hold two octaves
FLOOR = 1e-5  # in roughnesses


def grain(fine: NDArray[Any], scale: float) -> Grain | None:
    """Measure fine fields of one variable.

    Parameters
    ----------
    fine : NDArray, shape (..., H, W)
        Of any times and places; windows with missing cells are left out.
    scale : float
        The `roughness` of the coarse fields of the same variable.

    Returns
    -------
    tuple of two float, or None
        Logarithms of the amplitude of waves of 4 to 8 and of 2 to 4 fine cells over the scale, of no unit; None if no
        window of 16 x 16 cells and more is complete.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(3, 64, 64))
    >>> [round(each, 1) for each in grain(noise, 1.0)], grain(noise[:, :10], 1.0)
    ([-1.0, -0.3], None)
    """
    side = WINDOW
    while side >= LEAST:
        windows = _complete(fine, [min(side, length) for length in fine.shape[-2:]])
        if len(windows):
            break
        side //= 2
    else:
        return None
    wide, top = np.log(np.sqrt(octave_power(windows)[:, -2:].mean(0)) / scale + FLOOR)
    return float(wide), float(top)


def _complete(fine: NDArray[Any], sides: list[int]) -> NDArray[np.float64]:
    """Windows side by side that miss no value, (window, *sides); what is left over at the ends is left out."""
    height, width = sides
    if min(sides) < LEAST:
        return np.empty((0, *sides))
    cut = [
        fine[..., y : y + height, x : x + width].reshape(-1, *sides)
        for y in range(0, fine.shape[-2] - height + 1, height)
        for x in range(0, fine.shape[-1] - width + 1, width)
    ]
    windows = np.concatenate(cut).astype(np.float64)
    return windows[np.isfinite(windows).all(axis=(1, 2))]
