"""Scores of generated values against the truth: cell by cell, of an ensemble, and of distributions.

Stage: evaluation. Unweighted and in float64, over the cells where everything compared is finite; a fit for regional
fields and crops. Scores by latitude are in `field_scores`, scores of texture in `texture_scores`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["crps", "r2", "rank_histogram", "rmse", "tail_wasserstein", "wasserstein"]

Floats = NDArray[np.float64]


def rmse(truth: ArrayLike, generated: ArrayLike) -> float:
    """Root mean square error, in the unit of the values; NaN where nothing can be compared.

    Parameters
    ----------
    truth, generated : arrays of one shape
        A cell that is not finite in either is left out.

    Raises
    ------
    ValueError
        Shapes differ.

    Examples
    --------
    >>> rmse([1.0, 2.0, np.nan], [1.0, 4.0, 0.0])
    1.4142135623730951
    """
    x, y = _pair(truth, generated)
    return float(np.sqrt(np.mean((y - x) ** 2))) if x.size else math.nan


def r2(truth: ArrayLike, generated: ArrayLike) -> float:
    """Coefficient of determination, 1 - sum (y - x)^2 / sum (x - mean x)^2: not the square of a correlation.

    Parameters
    ----------
    truth, generated : arrays of one shape
        A cell that is not finite in either is left out.

    Returns
    -------
    float
        At most 1; negative where the mean of the truth would be nearer; NaN for a constant truth.

    Raises
    ------
    ValueError
        Shapes differ.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    x, y = _pair(truth, generated)
    spread = float(np.sum((x - x.mean()) ** 2)) if x.size else 0.0
    return 1 - float(np.sum((y - x) ** 2)) / spread if spread else math.nan


def crps(truth: ArrayLike, members: ArrayLike) -> float:
    """Continuous ranked probability score of an ensemble, the fair estimate; of one member the mean absolute error.

    Fair: its expectation does not depend on the number of members, so that ensembles of different sizes compare.

    Parameters
    ----------
    truth : array, shape (...)
    members : array, shape (member, ...)
        A cell that is not finite in the truth or in any member is left out.

    Returns
    -------
    float
        Mean over the cells, in the unit of the values; NaN where nothing can be compared.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Source
    ------
    Ferro, C. A. T., Fair scores for ensemble forecasts, Q. J. R. Meteorol. Soc. 140, 1917 (2014), equation 3 in its
    continuous form: mean |x_i - y| - sum_i<j |x_i - x_j| / (m (m - 1)).

    Examples
    --------
    >>> crps([0.0, 1.0], [[1.0, 1.0]])
    0.5
    >>> crps([0.0], [[-1.0], [1.0]])  # mean |x_i - y| = 1, less |x_1 - x_2| / 2
    0.0
    """
    x, y = _ensemble(truth, members)
    if not x.size:
        return math.nan
    many = len(y)
    near = float(np.abs(y - x).mean())
    if many == 1:
        return near
    # Of ordered members, sum_i<j (x_j - x_i) = sum_k (2 k - m + 1) x_k.
    factors = 2.0 * np.arange(many) - many + 1
    return near - float(np.mean(factors @ np.sort(y, axis=0))) / (many * (many - 1))


def rank_histogram(truth: ArrayLike, members: ArrayLike) -> Floats:
    """Share of cells by how many members lie below the truth; flat, 1 / (m + 1), where the ensemble is reliable.

    Parameters
    ----------
    truth : array, shape (...)
    members : array, shape (member, ...)
        A cell that is not finite in the truth or in any member is left out. A cell equal to members is shared evenly
        among the ranks it could have.

    Returns
    -------
    NDArray[np.float64], shape (m + 1,)
        Its sum is 1, or NaN where nothing can be compared.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Source
    ------
    Hamill, T. M., Interpretation of rank histograms, Mon. Weather Rev. 129, 550 (2001).

    Examples
    --------
    >>> rank_histogram([0.5, 2.0], [[0.0, 0.0], [1.0, 1.0]])
    array([0. , 0.5, 0.5])
    """
    x, y = _ensemble(truth, members)
    if not x.size:
        return np.full(len(y) + 1, np.nan)
    below, equal = (y < x).sum(0), (y == x).sum(0)
    steps = np.bincount(below, 1 / (equal + 1.0), len(y) + 2) - np.bincount(
        below + equal + 1, 1 / (equal + 1.0), len(y) + 2
    )
    shares: Floats = np.cumsum(steps)[:-1] / x.size
    return shares


def wasserstein(truth: ArrayLike, generated: ArrayLike) -> float:
    """1-Wasserstein distance of two distributions of values, over the standard deviation of the truth.

    Equal distributions do not prove that values are right where they stand: read it beside RMSE and CRPS.

    Parameters
    ----------
    truth, generated : arrays of any shapes
        What is not finite is left out of either.

    Returns
    -------
    float
        Without unit; NaN where either is empty or the truth constant.

    Source
    ------
    Ramdas, A., Garcia Trillos, N. and Cuturi, M., On Wasserstein two-sample testing, Entropy 19, 47 (2017), section 2:
    the integral of the absolute difference of the cumulative distribution functions.

    Examples
    --------
    >>> wasserstein([0.0, 2.0], [1.0, 3.0])  # all moved by 1, one standard deviation
    1.0
    """
    x, y = _finite(truth), _finite(generated)
    spread = float(x.std()) if x.size else 0.0
    return _distance(x, y) / spread if spread and y.size else math.nan


def tail_wasserstein(truth: ArrayLike, generated: ArrayLike, *, quantile: float = 0.99) -> float:
    """1-Wasserstein distance of the upper tails, over the standard deviation of the whole truth.

    The tail of each is its own largest values, those above its own quantile, so that neither can be empty.

    Parameters
    ----------
    truth, generated : arrays of any shapes
        What is not finite is left out of either.
    quantile : float
        At least 0 and below 1.

    Returns
    -------
    float
        Without unit; NaN where either is empty or the truth constant.

    Raises
    ------
    ValueError
        A quantile outside that range.

    Examples
    --------
    >>> truth = np.arange(1000.0)
    >>> round(tail_wasserstein(truth, np.where(truth < 990, 0, truth + 50)) * float(truth.std()), 6)
    50.0
    """
    if not 0 <= quantile < 1:
        raise ValueError(f"expected a quantile of at least 0 and below 1, got {quantile}")
    x, y = _finite(truth), _finite(generated)
    spread = float(x.std()) if x.size else 0.0
    if not spread or not y.size:
        return math.nan
    tails = (np.sort(each)[min(round(quantile * each.size), each.size - 1) :] for each in (x, y))
    return _distance(*tails) / spread


def _distance(x: Floats, y: Floats) -> float:
    """Area between the cumulative distribution functions."""
    x, y = np.sort(x), np.sort(y)
    if x.size == y.size:
        return float(np.abs(x - y).mean())
    both = np.sort(np.concatenate((x, y)))
    share = [np.searchsorted(each, both[:-1], side="right") / each.size for each in (x, y)]
    return float(np.abs(share[0] - share[1]) @ np.diff(both))


def _pair(truth: ArrayLike, generated: ArrayLike) -> tuple[Floats, Floats]:
    """Both where both are finite."""
    x, y = np.asarray(truth, np.float64), np.asarray(generated, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"expected two arrays of one shape, got {x.shape} and {y.shape}")
    both = np.isfinite(x) & np.isfinite(y)
    return x[both], y[both]


def _ensemble(truth: ArrayLike, members: ArrayLike) -> tuple[Floats, Floats]:
    """Truth (cells,) and members (member, cells), where all are finite."""
    x, y = np.asarray(truth, np.float64), np.asarray(members, np.float64)
    if not len(np.atleast_1d(y)) or y.ndim != x.ndim + 1 or y.shape[1:] != x.shape:
        raise ValueError(f"expected members of shape (member, *{x.shape}), got {y.shape}")
    known = np.isfinite(x) & np.isfinite(y).all(0)
    return x[known], y[:, known]


def _finite(values: ArrayLike) -> Floats:
    x: Floats = np.asarray(values, np.float64)
    return x[np.isfinite(x)].ravel()
