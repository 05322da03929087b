"""What users derive from decoded series: counts of wet days, trends, the spread of an ensemble.

Stage: evaluation, under `downstream`. Along the first axis, in float64; whatever axes follow it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ensemble_spread", "linear_trend", "wet_days"]

Floats = NDArray[np.float64]


def wet_days(daily: ArrayLike, *, threshold: float = 1.0) -> Floats:
    """Count the days with more than so much precipitation.

    Parameters
    ----------
    daily : array, shape (day, ...), mm
        Daily sums; a missing day is not counted.
    threshold : float, mm

    Returns
    -------
    NDArray[np.float64], shape (...), days
        NaN where every day is missing.

    Source
    ------
    ETCCDI, index R1mm of its climate change indices, but with more than 1 mm instead of 1 mm and more.

    Examples
    --------
    >>> wet_days([[0.0, 2.0], [1.5, 3.0], [np.nan, 1.0]])
    array([1., 2.])
    """
    days = np.asarray(daily, np.float64)
    return np.where(np.isfinite(days).any(0), (days > threshold).sum(0, dtype=np.float64), np.nan)


def linear_trend(values: ArrayLike, years: ArrayLike) -> Floats:
    """Slope of the straight line nearest to a series, by least squares.

    Parameters
    ----------
    values : array, shape (year, ...)
        A value that is not finite is left out.
    years : array, shape (year,)

    Returns
    -------
    NDArray[np.float64], shape (...), units a year
        NaN where fewer than three values are left.

    Raises
    ------
    ValueError
        Another number of years than of values.

    Examples
    --------
    >>> linear_trend([[0.0, 5.0], [0.5, np.nan], [1.0, 6.0]], [2000, 2001, 2002])
    array([0.5, nan])
    """
    x, t = np.asarray(values, np.float64), np.asarray(years, np.float64)
    if not x.ndim or x.shape[:1] != t.shape:
        raise ValueError(f"expected one year for each of the values along their first axis, got {t.shape}, {x.shape}")
    known = np.isfinite(x)
    many = known.sum(0)
    t = np.where(known, (t - t.mean() if t.size else t).reshape(-1, *[1] * (x.ndim - 1)), 0.0)
    x = np.where(known, x, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(known, t - t.sum(0) / many, 0.0)
        slope = np.sum(t * np.where(known, x - x.sum(0) / many, 0.0), 0) / np.sum(t * t, 0)
    return np.where(many >= 3, slope, np.nan)


def ensemble_spread(members: ArrayLike) -> Floats:
    """Standard deviation among the members of an ensemble, with one degree of freedom less than members.

    Parameters
    ----------
    members : array, shape (member, ...)

    Returns
    -------
    NDArray[np.float64], shape (...)
        NaN where a member is missing.

    Raises
    ------
    ValueError
        Fewer than two members.

    Examples
    --------
    >>> ensemble_spread([[1.0, 4.0], [3.0, 4.0]])
    array([1.41421356, 0.        ])
    """
    x = np.asarray(members, np.float64)
    if not x.ndim or len(x) < 2:
        raise ValueError(f"expected at least two members along the first axis, got shape {x.shape}")
    return np.asarray(np.std(x, axis=0, ddof=1), np.float64)
