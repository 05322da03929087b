"""What the networks are told of one tile of a generated field, and what they make of it before any noise.

Stage: block_means, conditions, stitching -> **tile_inputs** -> downscaling. All is computed on a wider piece than is
sampled, so that no cell of a tile depends on where its piece was cut.
Spec: spec/generated.md, "Tiles".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from adiabat.formats.conditions import Grain, conditions
from adiabat.formats.stitching import Tile

__all__ = ["Networks", "Prepared", "filled", "prepare"]

Floats = NDArray[np.float32]
Cells = NDArray[np.int64]
Piece = tuple[slice, slice]
T = TypeVar("T", np.float32, np.float64)

MARGIN = 4  # coarse cells on either side that the conditions of a cell depend on
NEAR = 32  # fine cells beyond the halo that the mean is computed on
SURROUND = 112  # fine cells beyond the halo that the features are computed on, which see far over the coarse field


class Networks(Protocol):
    """What is needed of `adiabat.codec.downscaler_model.DownscalerModel`."""

    @property
    def factors(self) -> tuple[int, ...]:
        """Fine cells along a side of a coarse one, that it was trained for."""

    @property
    def multiple(self) -> int:
        """Of which sides are multiples."""

    def features(self, coarse_inputs: Floats) -> Floats:
        """Encode."""

    def mean(self, features: Floats, fine_inputs: Floats) -> Floats:
        """Give m and log s."""

    def velocity(self, x: Floats, t: Floats, features: Floats, fine_inputs: Floats, mean: Floats) -> Floats:
        """Give v."""


@dataclass(frozen=True)
class Prepared:
    """A tile with its halo, made ready for any number of samples.

    Attributes
    ----------
    rows, columns : slice
        Fine cells; columns may lie beyond a field that goes round.
    coarse : NDArray[np.float64], shape (h, w)
        Without holes.
    base, sigma : NDArray[np.float64], shape (H, W)
    fine_inputs : NDArray[np.float32], shape (FINE_INPUTS, H, W)
        As of `Conditions`.
    features : NDArray[np.float32], shape (1, channels, h, w)
    mean : NDArray[np.float32], shape (1, 2, H, W)
        M and log s.
    """

    rows: slice
    columns: slice
    coarse: NDArray[np.float64]
    base: NDArray[np.float64]
    sigma: NDArray[np.float64]
    fine_inputs: Floats
    features: Floats
    mean: Floats


def prepare(
    coarse: NDArray[np.float64],
    tile: tuple[Tile, Tile],
    *,
    model: Networks,
    factor: int,
    scale: float,
    grain: Grain | None,
    wrap: bool,
) -> Prepared | None:
    """Make a tile ready for any number of samples.

    Parameters
    ----------
    coarse : NDArray[np.float64], shape (h, w)
        The whole field. What is not finite is filled in from its surroundings.
    tile : tuple of Tile
        Along rows and along columns.
    model : Networks
    factor : int
    scale : float
        The `roughness` of the variable.
    grain : tuple of two float, optional
        Of the variable.
    wrap : bool
        Whether the last column lies beside the first.

    Returns
    -------
    Prepared, optional
        None where nothing is finite.
    """
    axes = [
        _Window.of(t, n, factor, model.multiple, r) for t, n, r in zip(tile, coarse.shape, (False, wrap), strict=True)
    ]
    field = filled(coarse[np.ix_(axes[0].cells, axes[1].cells)])
    if field is None:
        return None
    told = conditions(field, factor=factor, scale=scale, grain=grain)
    wide, near, inner = ((rows, columns) for rows, columns in zip(axes[0].pieces, axes[1].pieces, strict=True))
    features = model.features(_cut(told.coarse_inputs, wide)[None])
    mean = model.mean(_cut(features, near, wide), _cut(told.fine_inputs, near, times=factor)[None])
    starts = [axis.start * factor for axis in axes]
    rows, columns = (slice(s, s + factor * (p.stop - p.start)) for s, p in zip(starts, inner, strict=True))
    return Prepared(
        rows=rows,
        columns=columns,
        coarse=_cut(field, inner),
        base=_cut(told.base, inner, times=factor),
        sigma=_cut(told.sigma, inner, times=factor),
        fine_inputs=_cut(told.fine_inputs, inner, times=factor),
        features=_cut(features, inner, wide),
        mean=_cut(mean, inner, near, times=factor),
    )


@dataclass(frozen=True)
class _Window:
    """Coarse cells of a tile along one axis.

    Attributes
    ----------
    cells : NDArray[np.int64]
        By number: all that are needed, with a margin. Beyond a border the last is repeated.
    pieces : tuple of slice
        Within them: what features are computed on, what the mean is computed on, and tile and halo.
    start : int
        First cell of the halo.
    """

    cells: Cells
    pieces: tuple[slice, slice, slice]
    start: int

    @classmethod
    def of(cls, tile: Tile, size: int, factor: int, multiple: int, wrap: bool) -> _Window:
        """Every piece ends after a whole multiple of fine cells."""
        unit, start = math.lcm(factor, multiple) // factor, tile.first // factor
        ends = []
        for beyond in (SURROUND // factor, NEAR // factor, 0):
            low, high = start - beyond, tile.last // factor + beyond
            if not wrap:
                low, high = max(0, low), min(size, high)
            ends.append((low, low + -(-(high - low) // unit) * unit))
        (low, high), margin = ends[0], MARGIN
        outer = (low - margin, high + margin) if wrap else (max(0, low - margin), max(high, min(size, high + margin)))
        cells = np.arange(*outer)
        wide, near, inner = (slice(low - outer[0], high - outer[0]) for low, high in ends)
        return cls(cells % size if wrap else np.minimum(cells, size - 1), (wide, near, inner), start)


def _cut(array: NDArray[T], piece: Piece, whole: Piece | None = None, *, times: int = 1) -> NDArray[T]:
    """A piece of an array that holds the whole window, or that piece of it; times the cells for a fine array."""
    origins = (0, 0) if whole is None else (whole[0].start, whole[1].start)
    rows, columns = (slice((p.start - o) * times, (p.stop - o) * times) for p, o in zip(piece, origins, strict=True))
    return np.ascontiguousarray(array[..., rows, columns])


def filled(field: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Fill what is not finite from the edges of holes inwards, by means of neighbours; None if nothing is finite."""
    found = np.where(np.isfinite(field), field, np.nan)
    while (holes := np.isnan(found)).any():
        if holes.all():
            return None
        near = sliding_window_view(np.pad(found, 1, constant_values=np.nan), (3, 3))
        edge = holes & ~np.isnan(near).all(axis=(-2, -1))
        found[edge] = np.nanmean(near[edge], axis=(-2, -1))
    return found
