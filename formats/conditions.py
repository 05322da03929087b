"""What a coarse field tells the networks of the generated view: its details in units of its own local scale.

Used by `downscaling` and by its training: shifting and scaling the field changes nothing of what a network sees, so
that one model serves all variables and units. Spec: spec/generated.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from adiabat.formats.block_means import interpolate, repeat

__all__ = ["Conditions", "Grain", "conditions", "roughness"]

FLAT = 0.02  # of the roughness: the least local scale
NEAR, WIDE = 3, 5  # coarse cells: windows of the local scale, and of the local mean
MIDDLE, WIDTH, GRAINS = -2.5, 1.5, 3.0  # of grains: the input is 0 at the middle, and limited
LIMIT = 8.0  # of an input

Grain = tuple[float, float]


@dataclass(frozen=True)
class Conditions:
    """One coarse field, or several, made ready.

    Attributes
    ----------
    base : NDArray[np.float64], shape (..., h factor, w factor)
        The coarse field, interpolated; in its units.
    sigma : NDArray[np.float64], shape (..., h factor, w factor)
        Local scale, in the field's units.
    coarse_inputs : NDArray[np.float32], shape (..., COARSE_INPUTS, h, w)
    fine_inputs : NDArray[np.float32], shape (..., FINE_INPUTS, h factor, w factor)
    """

    base: NDArray[np.float64]
    sigma: NDArray[np.float64]
    coarse_inputs: NDArray[np.float32]
    fine_inputs: NDArray[np.float32]


def roughness(coarse: NDArray[Any]) -> float:
    """Root mean square of the differences of neighbours, of all fields (..., h, w) together; NaN are skipped.

    Returns
    -------
    float
        In the field's units, above zero: 1 where nothing differs.
    """
    values = coarse.astype(np.float64, copy=False)
    squares = np.concatenate([np.square(np.diff(values, axis=axis)).ravel() for axis in (-2, -1)])
    squares = squares[np.isfinite(squares)]
    found = float(np.sqrt(squares.mean())) if squares.size else 0.0
    return found if found > 0 else 1.0


def conditions(
    coarse: NDArray[Any],
    *,
    factor: int,
    scale: float | NDArray[np.float64],
    grain: NDArray[np.float64] | Grain | None = None,
) -> Conditions:
    """Make coarse fields ready.

    Parameters
    ----------
    coarse : NDArray, shape (..., h, w)
        Without NaN.
    factor : int
        Fine cells along a side of a coarse one.
    scale : float, or NDArray of a shape that goes with `coarse`
        The `roughness` of the variable that they are of.
    grain : tuple of two float, or NDArray (..., 2), optional
        As `grain.grain` gives it, NaN or None where nobody knows.
    """
    coarse = coarse.astype(np.float64, copy=False)
    squares = np.zeros_like(coarse)
    for axis in (-2, -1):  # to the neighbours on both sides; none beyond a border
        steps = np.square(np.diff(coarse, axis=axis, append=np.take(coarse, [-1], axis)))
        squares += steps + np.roll(steps, 1, axis)
    local = np.sqrt(_window_mean(squares, NEAR) / 4 + (FLAT * scale) ** 2)
    mean = _window_mean(coarse, WIDE)
    detail, level = _limited((coarse - mean) / local), np.log(local / scale) / 2
    sigma = np.exp(_linear(np.log(local), factor))
    base = interpolate(coarse, factor)
    size = np.full_like(coarse, np.log2(factor) / 3)
    fine_detail = _limited((base - _linear(mean, factor)) / sigma)
    steps_apart = _limited((base - repeat(coarse, factor)) / sigma)
    return Conditions(
        base,
        sigma,
        np.stack([detail, level, size], axis=-3).astype(np.float32),
        np.stack([fine_detail, steps_apart, *_planes(grain, base.shape)], axis=-3).astype(np.float32),
    )


def _planes(grain: NDArray[np.float64] | Grain | None, shape: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Grain as constant inputs; zeros where nobody knows it, and whether somebody does."""
    told = np.full(2, np.nan) if grain is None else np.asarray(grain, np.float64)
    known = np.isfinite(told).all(axis=-1)
    wide, top = np.moveaxis(np.where(known[..., None], np.clip((told - MIDDLE) / WIDTH, -GRAINS, GRAINS), 0.0), -1, 0)
    return [np.broadcast_to(plane[..., None, None], shape) for plane in (wide, top, known)]


def _window_mean(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Of a square window about each cell; edge values beyond borders."""
    padded = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(side // 2, side // 2)] * 2, mode="edge")
    return np.asarray(sliding_window_view(padded, (side, side), (-2, -1)).mean(axis=(-2, -1)))


def _limited(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(values, -LIMIT, LIMIT)


def _linear(coarse: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Interpolate linearly between cells' centres; edge values beyond borders."""
    for axis in (-2, -1):
        count = coarse.shape[axis]
        at = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
        low = np.minimum(at.astype(int), max(count - 2, 0))
        share = (at - low)[:, None] if axis == -2 else at - low
        upper = np.minimum(low + 1, count - 1)
        coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, upper, axis) * share
    return coarse
