"""Semivariograms of gridded fields along their axes, and the nugget, sill and range of a model fitted to them.

Stage: evaluation. Lags are in cells. The nugget is what differs between neighbours already (noise, or texture finer
than a cell), the sill the plateau, the range the lag at which it is reached.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Semivariogram", "SemivariogramModel", "semivariogram"]

Floats = NDArray[np.float64]
Kind = Literal["exponential", "spherical"]
LAGS = 24  # about as many, evenly spread over the logarithm
RANGES = 60  # ranges tried before the best is refined
LONGEST = 4.0  # range, over the largest lag: a field with a trend has no sill


@dataclass(frozen=True)
class SemivariogramModel:
    """A semivariogram's model: ``nugget + (sill - nugget) * shape(lag / range)``.

    The shape of the exponential model is ``1 - exp(-3 h)``, so that `range` is its practical range, where 95 % of the
    way from nugget to sill is made; of the spherical model ``1.5 h - 0.5 h^3`` up to 1.

    Parameters
    ----------
    kind : "exponential" or "spherical"
    nugget, sill : float
        In squared units; the sill is the whole plateau, the nugget included.
    range : float
        In cells.

    Source
    ------
    Webster, R. and Oliver, M. A., Geostatistics for Environmental Scientists (2007), section 5.2.

    Examples
    --------
    >>> SemivariogramModel("spherical", nugget=1.0, sill=3.0, range=10.0)(np.array([5.0, 10.0, 20.0]))
    array([2.375, 3.   , 3.   ])
    """

    kind: Kind
    nugget: float
    sill: float
    range: float

    def __post_init__(self) -> None:
        if self.kind not in ("exponential", "spherical"):
            raise ValueError(f"expected 'exponential' or 'spherical', got {self.kind!r}")
        if not (0 <= self.nugget <= self.sill and self.range > 0):
            raise ValueError(f"expected a nugget of 0 to the sill and a range above 0, got {self}")

    def __call__(self, lag: NDArray[Any]) -> Floats:
        """Semivariance at lags in cells (above 0)."""
        return self.nugget + (self.sill - self.nugget) * _shape(self.kind, np.asarray(lag, np.float64) / self.range)


@dataclass(frozen=True)
class Semivariogram:
    """Semivariance by lag: `semivariogram` makes it.

    Attributes
    ----------
    lag : NDArray[np.float64], shape (lag,), in cells
    semivariance : NDArray[np.float64], shape (lag,), in squared units
        NaN where no pair was found.
    pairs : NDArray[np.int64], shape (lag,)
    """

    lag: Floats
    semivariance: Floats
    pairs: NDArray[np.int64]

    def fit(self, kind: Kind = "exponential") -> SemivariogramModel:
        """Fit nugget, sill and range by least squares, lags weighted by their pairs.

        Nugget and sill are at least 0. A field with a trend reaches no sill within its lags: then the range stands at
        four times the largest lag, and the sill with it is no plateau that was seen.

        Parameters
        ----------
        kind : "exponential" or "spherical"

        Returns
        -------
        SemivariogramModel

        Raises
        ------
        ValueError
            Another kind, or fewer than 3 lags with pairs.

        Examples
        --------
        >>> lag, model = np.arange(1.0, 30), SemivariogramModel("exponential", 0.5, 2.0, 12.0)
        >>> found = Semivariogram(lag, model(lag), np.full(29, 100)).fit()
        >>> round(found.nugget, 4), round(found.sill, 4), round(found.range, 3)
        (0.5, 2.0, 12.0)
        """
        from scipy.optimize import minimize_scalar  # an extra, as scipy is

        full = self.pairs > 0
        if full.sum() < 3:
            raise ValueError(f"expected at least 3 lags with pairs of cells, got {int(full.sum())}")
        lag, half, weight = self.lag[full], self.semivariance[full], np.sqrt(self.pairs[full])

        def misfit(log_range: float) -> float:
            return _linear(kind, lag, half, weight, math.exp(log_range))[2]

        # Ranges below the first lag all look like a nugget, and are told apart by nothing.
        tried = np.linspace(math.log(lag[0]), math.log(LONGEST * lag[-1]), RANGES)
        best = int(np.argmin([misfit(each) for each in tried]))
        ends = tried[max(0, best - 1)], tried[min(RANGES - 1, best + 1)]
        refined = float(minimize_scalar(misfit, bounds=ends, method="bounded", options={"xatol": 1e-9}).x)
        chosen = min((refined, float(tried[best])), key=misfit)
        nugget, partial, _ = _linear(kind, lag, half, weight, math.exp(chosen))
        return SemivariogramModel(kind, nugget, nugget + partial, math.exp(chosen))


def semivariogram(
    values: NDArray[Any], *, lags: Sequence[int] | None = None, axis: Literal["y", "x"] | None = None
) -> Semivariogram:
    """Half the mean square difference of cells that are some lag apart along the grid's axes.

    Parameters
    ----------
    values : array, shape (..., y, x)
        All fields of the leading axes together. A pair with a missing cell is left out.
    lags : sequence of int, optional
        In cells, at least 1. Without it about 24 up to half of the shorter axis.
    axis : "y" or "x", optional
        Without it pairs along both.

    Returns
    -------
    Semivariogram

    Raises
    ------
    ValueError
        Fewer than two axes, or a lag below 1.

    Source
    ------
    Matheron, G., Principles of geostatistics, Econ. Geol. 58, 1246 (1963).

    Examples
    --------
    >>> found = semivariogram(np.array([[0.0, 1.0, 3.0, np.nan]]), lags=[1, 2], axis="x")
    >>> found.semivariance, found.pairs
    (array([1.25, 4.5 ]), array([2, 1]))
    """
    x = np.asarray(values, np.float64)
    if x.ndim < 2:
        raise ValueError(f"expected fields (..., y, x), got shape {x.shape}")
    if lags is None:
        longest = max(2, min(x.shape[-2:]) // 2)
        lags = [int(each) for each in np.unique(np.rint(np.geomspace(1, longest, LAGS)).astype(np.int64))]
    if not lags or min(lags) < 1:
        raise ValueError(f"expected lags of at least 1 cell, got {list(lags)}")
    sums, pairs = np.zeros(len(lags)), np.zeros(len(lags), np.int64)
    for along in {"y": (-2,), "x": (-1,), None: (-2, -1)}[axis]:
        cells = np.moveaxis(x, along, 0)
        for place, lag in enumerate(lags):
            apart = cells[lag:] - cells[:-lag]
            apart = apart[np.isfinite(apart)]
            sums[place] += float(apart @ apart)
            pairs[place] += apart.size
    half = np.full(len(lags), np.nan)
    np.divide(sums / 2, pairs, out=half, where=pairs > 0)
    return Semivariogram(np.asarray(lags, np.float64), half, pairs)


def _shape(kind: Kind, lag: Floats) -> Floats:
    """The model's way from 0 to 1, by lags over the range."""
    if kind == "exponential":
        return np.asarray(1 - np.exp(-3 * lag))
    h = np.minimum(lag, 1.0)
    return np.asarray(1.5 * h - 0.5 * h**3)


def _linear(kind: Kind, lag: Floats, half: Floats, weight: Floats, reach: float) -> tuple[float, float, float]:
    """Nugget and what the sill is above it, both at least 0, best for one range; and the misfit left."""
    from scipy.optimize import nnls

    design = np.stack((np.ones(lag.size), _shape(kind, lag / reach)), 1) * weight[:, None]
    scale = float(np.abs(half * weight).max()) or 1.0
    (nugget, partial), misfit = nnls(design, half * weight / scale)
    return float(nugget) * scale, float(partial) * scale, float(misfit)
