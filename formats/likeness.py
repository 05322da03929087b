"""What fine fields of other times or places tell of a variable: its grain, and the gains that give samples this grain.

Stage: grain, octave_gains, downscaling -> **likeness** -> generated_source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import Grain, roughness
from adiabat.formats.downscaling import LEAST, Downscaling, Settings
from adiabat.formats.errors import RequestError
from adiabat.formats.grain import grain
from adiabat.formats.octave_gains import Gains, fit_gains

if TYPE_CHECKING:
    from adiabat.codec.downscaler_model import DownscalerModel

__all__ = ["Likeness", "gains_of", "likeness"]

Fields = NDArray[np.float64]

FRAMES = 24  # that are looked at, at most
STRAY = (0.4, 0.6)  # of the networks from a grain that is right: root mean square over the fields of the training
DRIFT = 2.0  # between the halves of the training's series, over the spread in the first: the median
WINDOW, CELLS, DRAWS = 192, 400_000, 8  # of what gains are found on: fine cells along a side, and in all; of each field


@dataclass(frozen=True)
class Likeness:
    """What fine fields tell.

    Attributes
    ----------
    grain : Grain
        Of all of them together.
    spread : tuple of two float
        Standard deviation of the grain from field to field, or between the quarters of a single one.
    """

    grain: Grain
    spread: Grain


def likeness(fine: xr.DataArray, factor: int) -> Likeness:
    """Measure fine fields of a variable.

    Parameters
    ----------
    fine : xarray.DataArray, shape (..., H, W)
        Up to `FRAMES` fields, evenly over the leading axes, are looked at.
    factor : int

    Raises
    ------
    RequestError
        If the fields are too small, or no part of them is without missing values.
    """
    height, width = (length // factor * factor for length in fine.shape[-2:])
    if min(height, width) < LEAST * factor:
        least = LEAST * factor
        raise RequestError(f"expected fine fields of at least {least} x {least} cells, got {height} x {width}")
    values = np.stack([frame[:height, :width] for frame in _frames(fine, FRAMES)])
    found = grain(values, roughness(block_means(values, factor)))
    if found is None:
        raise RequestError(f"expected fine fields of {fine.name} with parts that miss no values, to tell its grain")
    parts = list(values) if len(values) > 1 else _quarters(values[0], factor)
    each = [grain(part, roughness(block_means(part, factor))) for part in parts]
    wide, top = np.std([part for part in each if part is not None] or [found], axis=0)
    return Likeness(found, (float(wide), float(top)))


def gains_of(coarse: xr.DataArray, network: DownscalerModel, settings: Settings, spread: Grain) -> Gains | None:
    """Gains with which samples of some coarse fields have the grain of the settings, as far as it is to be trusted.

    Networks know the grain and come near it. What they make of it and what they were told are averaged (logarithms, by
    the inverse of the variances): how far networks stray is a constant, how far the grain of other times lies from this
    one goes with its spread.

    Parameters
    ----------
    coarse : xarray.DataArray, shape (..., h, w)
        Some frames are looked at, in windows of up to `WINDOW` fine cells.
    network : DownscalerModel
    settings : Settings
        With a grain.
    spread : tuple of two float
        Of the grain.

    Returns
    -------
    tuple of two float, or None
        None where all windows miss values.
    """
    whole = _some(coarse, settings.factor)
    if settings.grain is None or not len(whole):
        return None
    made, mean, whole = _samples(whole, network, settings)
    scale = roughness(whole)
    plain = grain(made, scale)
    if plain is None:
        return None
    trust = np.square(STRAY) / (np.square(STRAY) + np.square(DRIFT * np.asarray(spread)))
    wide, top = trust * settings.grain + (1 - trust) * plain
    return fit_gains((float(wide), float(top)), made, mean, whole, scale)


def _some(coarse: xr.DataArray, factor: int) -> Fields:
    """Windows without missing values of some frames, (window, y, x)."""
    down, across = (_windows(length, WINDOW // factor) for length in coarse.shape[-2:])
    cells = factor**2 * math.prod(sum(part.stop - part.start for part in parts) for parts in (down, across))
    frames = _frames(coarse, max(1, CELLS // cells))
    cut = [frame[rows, columns] for frame in frames for rows in down for columns in across]
    return np.array([window for window in cut if np.isfinite(window).all()], np.float64)


def _samples(coarse: Fields, network: DownscalerModel, settings: Settings) -> tuple[Fields, Fields, Fields]:
    """Samples of coarse fields, what is expected of each, and its coarse field."""
    settings = replace(settings, wrap=False)  # windows do not go round
    views = [Downscaling(each, model=network, settings=settings) for each in coarse]
    region = (slice(0, views[0].shape[0]), slice(0, views[0].shape[1]))
    draws = max(1, min(DRAWS, CELLS // (coarse.size * settings.factor**2)))
    mean = np.stack([view.mean(region) for view in views])
    made = [
        [view.sample(region, member=draw, time_index=number) for number, view in enumerate(views)]
        for draw in range(draws)
    ]
    return np.concatenate(made).astype(np.float64), np.tile(mean, (draws, 1, 1)), np.tile(coarse, (draws, 1, 1))


def _quarters(frame: Fields, factor: int) -> list[Fields]:
    down, across = (length // (2 * factor) * factor for length in frame.shape)
    return [part for rows in (frame[:down], frame[down:]) for part in (rows[:, :across], rows[:, across:])]


def _frames(array: xr.DataArray, most: int) -> list[Fields]:
    """Fields of an array (..., y, x), evenly over the leading axes."""
    leading = array.shape[:-2]
    places = np.unique(np.linspace(0, math.prod(leading) - 1, min(most, FRAMES)).astype(int))
    return [np.asarray(array[np.unravel_index(place, leading)].values, np.float64) for place in places]


def _windows(length: int, side: int) -> list[slice]:
    """Two about the quarters of an axis, or all of a short one."""
    if length < 2 * side:
        return [slice(0, min(length, side))]
    starts = (length // 4 - side // 2, 3 * length // 4 - side // 2)
    return [slice(start, start + side) for start in starts]
