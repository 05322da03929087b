"""Local kriging: each target is a weighted sum of its nearest observations, weights by an exponential variogram.

A baseline of gap_filling, and its step after CP (the residuals' kriging). Distances are chords through the Earth in km,
for which the exponential model is valid everywhere; neighbours come from a k-d tree, and the small systems are solved
in batches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from adiabat.training.rasterise import on_sphere

EARTH = 6371.0  # km
POINTS = 1500  # drawn to see the variogram of one day; fewer of each where it is that of several
FEWEST_POINTS = 50
BINS = 15
RANGES = np.geomspace(0.03, 3.0, 25)  # e-folding distances tried, over the largest lag
BATCH = 2**21  # numbers in the systems solved at once
LEAST = 1e-6  # of the sill: added to the diagonal, so that coinciding observations stay solvable


@dataclass(frozen=True)
class Variogram:
    """Semivariance ``nugget + sill * (1 - exp(-distance / range))``.

    Parameters
    ----------
    nugget, sill : float
        In squared units of the values, at least 0.
    range : float
        km, above 0.
    """

    nugget: float
    sill: float
    range: float

    def __post_init__(self) -> None:
        if not (self.nugget >= 0 and self.sill >= 0 and self.range > 0):
            raise ValueError(f"expected nugget and sill of at least 0 and a range above 0, got {self}")

    def covariance(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Covariance of what is continuous, without the nugget."""
        return np.asarray(self.sill * np.exp(-distance / self.range))

    @classmethod
    def of(cls, days: Iterable[tuple[NDArray[np.float64], NDArray[np.float64]]], *, seed: int = 0) -> Variogram:
        """Fit it to pairs of observations of the same day, weighted by their number.

        Parameters
        ----------
        days : iterable of (places (n, 3) in km, values (n,))
            One of them, or several that share a variogram.
        """
        days = list(days)
        most = max(FEWEST_POINTS, round(POINTS / math.sqrt(max(1, len(days)))))  # as many pairs, however many days
        samples = [_draw(places, values, most, seed) for places, values in days]
        samples = [(places, values) for places, values in samples if len(values) > 1]
        if not samples:
            return cls(0.0, 0.0, 1.0)
        reach = max(float(np.linalg.norm(np.ptp(places, axis=0))) for places, _ in samples) / 2
        if reach == 0:
            return cls(0.0, 0.0, 1.0)
        lag, half, count = np.zeros(BINS), np.zeros(BINS), np.zeros(BINS)
        for places, values in samples:
            first, second = np.triu_indices(len(values), 1)
            distance = np.linalg.norm(places[first] - places[second], axis=1)
            close = distance < reach
            bins = (distance[close] / reach * BINS).astype(np.int64)
            lag += np.bincount(bins, distance[close], BINS)
            half += np.bincount(bins, 0.5 * (values[first] - values[second])[close] ** 2, BINS)
            count += np.bincount(bins, minlength=BINS)
        full = count > 0
        return _fit(lag[full] / count[full], half[full] / count[full], np.sqrt(count[full]), reach)


def places(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.float64]:
    """Points of the Earth in km from its centre, (..., 3)."""
    return EARTH * on_sphere(latitude, longitude)


def krige(
    known: NDArray[np.float64],
    values: NDArray[np.float64],
    targets: NDArray[np.float64],
    variogram: Variogram,
    *,
    neighbours: int = 16,
    mean: float | None = None,
) -> NDArray[np.float64]:
    """Estimate values at `targets`.

    Parameters
    ----------
    known : (n, dimensions)
        Places of the observations, in km.
    values : (n,)
    targets : (m, dimensions)
    neighbours : int
        Observations taken for each target, the nearest.
    mean : float, optional
        The known mean (simple kriging: far from all observations the estimate becomes the mean). By default it is
        unknown and the weights sum to one (ordinary kriging).

    Returns
    -------
    NDArray[np.float64]
        (m,) The continuous part: at an observation's place this is not its value where there is a nugget. NaN
        without observations and mean.

    Source
    ------
    Cressie, Statistics for Spatial Data (1993), sections 3.2 and 3.4.2.
    """
    if len(known) != len(values):
        raise ValueError(f"expected a value for each of {len(known)} places, got {len(values)}")
    if neighbours < 1:
        raise ValueError(f"expected at least 1 neighbour, got {neighbours}")
    if not len(values) or variogram.sill + variogram.nugget == 0:
        empty = np.nan if mean is None else mean
        return np.full(len(targets), float(np.mean(values)) if len(values) and mean is None else empty)
    many = min(neighbours, len(values))
    tree = cKDTree(known)
    out = np.empty(len(targets))
    batch = max(1, BATCH // (many + 1) ** 2)
    for start in range(0, len(targets), batch):
        part = slice(start, start + batch)
        distance, near = tree.query(targets[part], k=np.arange(1, many + 1))
        weights = _weights(known[near], distance, variogram, ordinary=mean is None)
        shift = 0.0 if mean is None else mean
        out[part] = shift + np.einsum("tk,tk->t", weights, values[near] - shift)
    return out


def _weights(
    near: NDArray[np.float64], distance: NDArray[np.float64], variogram: Variogram, *, ordinary: bool
) -> NDArray[np.float64]:
    """Weights of each target's neighbours, (targets, k)."""
    count, many = distance.shape
    side = many + ordinary
    system, right = np.zeros((count, side, side)), np.ones((count, side, 1))
    near = near - near[:, :1]
    squares = np.einsum("tkd,tkd->tk", near, near)
    gram = near @ near.transpose(0, 2, 1)
    between = np.sqrt(np.maximum(squares[:, :, None] + squares[:, None] - 2 * gram, 0))
    system[:, :many, :many] = variogram.covariance(between)
    diagonal = np.arange(many)
    system[:, diagonal, diagonal] = (variogram.sill + variogram.nugget) * (1 + LEAST)
    right[:, :many, 0] = variogram.covariance(distance)
    if ordinary:
        system[:, many, :many] = system[:, :many, many] = 1
    return np.asarray(np.linalg.solve(system, right)[:, :many, 0], np.float64)


def _draw(
    places: NDArray[np.float64], values: NDArray[np.float64], most: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At most so many of them."""
    if len(values) <= most:
        return places, values
    some = np.random.default_rng(seed).choice(len(values), most, replace=False)
    return places[some], values[some]


def _fit(lag: NDArray[np.float64], half: NDArray[np.float64], weight: NDArray[np.float64], reach: float) -> Variogram:
    """Weighted least squares: nugget and sill, both at least 0, for each range tried; the best of them."""
    best = Variogram(float(np.average(half, weights=weight**2)), 0.0, reach)
    least = _misfit(best, lag, half, weight)
    for length in RANGES * reach:
        shape = 1 - np.exp(-lag / length)
        design = np.stack((np.ones(lag.size), shape), 1) * weight[:, None]
        nugget, sill = np.linalg.lstsq(design, half * weight, rcond=None)[0]
        if nugget < 0:
            nugget, sill = 0.0, float(shape * weight**2 @ half) / float(shape * weight**2 @ shape)
        if sill < 0:
            continue
        tried = Variogram(float(nugget), float(sill), float(length))
        misfit = _misfit(tried, lag, half, weight)
        if misfit < least:
            best, least = tried, misfit
    return best


def _misfit(
    variogram: Variogram, lag: NDArray[np.float64], half: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    model = variogram.nugget + variogram.sill - variogram.covariance(lag)
    return float((((model - half) * weight) ** 2).sum())
