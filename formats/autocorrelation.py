"""How generated fields follow one another in time: autocorrelation by lag, and scores along an autoregressive walk.

Stage: evaluation. A walk is a series in which each generated field is the condition of the next, so that errors may
grow; its first field is one step from the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.isotropic_spectrum import octave_ratio
from adiabat.formats.value_scores import r2, rmse

__all__ = ["WalkScores", "autocorrelation", "score_walk"]

Floats = NDArray[np.float64]


def autocorrelation(series: NDArray[Any], lags: int) -> Floats:
    """Autocorrelation of a series of fields, over all cells together.

    Of each cell the difference from its mean over time is taken. That mean is of the series' own few times: a series of
    white noise gives about -1 / times, not 0, which is the same for two series of as many times.

    Parameters
    ----------
    series : array, shape (time, ...)
        Equidistant times. What is missing is left out with its pairs.
    lags : int
        The largest lag, at least 1 and below the number of times.

    Returns
    -------
    NDArray[np.float64], shape (lags + 1,)
        For lags 0 to `lags`: the sum of products over the root of both sums of squares; 1 at lag 0; NaN without change.

    Raises
    ------
    ValueError
        Lags outside that range.

    Examples
    --------
    >>> wave = np.cos(np.pi * np.arange(40) / 2)[:, None, None] * np.ones((1, 3, 3))  # a period of 4
    >>> np.round(autocorrelation(wave, 4), 6) + 0.0
    array([ 1.,  0., -1.,  0.,  1.])
    """
    x = np.asarray(series, np.float64)
    times = len(x) if x.ndim else 0
    if not 1 <= lags < times:
        raise ValueError(f"expected lags of 1 to {times - 1} for {times} times, got {lags}")
    x = x.reshape(times, -1)
    known = np.isfinite(x)
    count = known.sum(0)
    mean = np.where(known, x, 0.0).sum(0) / np.maximum(count, 1)
    x = np.where(known, x - mean, 0.0)
    out = np.full(lags + 1, np.nan)
    for lag in range(lags + 1):
        first, second = x[: times - lag], x[lag:]
        both = known[: times - lag] & known[lag:]
        size = float(np.sqrt(np.sum(first[both] ** 2) * np.sum(second[both] ** 2)))
        if size:
            out[lag] = float(np.sum(first[both] * second[both])) / size
    return out


@dataclass(frozen=True)
class WalkScores:
    """Scores by step of an autoregressive walk: `score_walk` makes it.

    Attributes
    ----------
    rmse : NDArray[np.float64], shape (step,), in the unit of the values
    r2, top_octave : NDArray[np.float64], shape (step,)
        The coefficient of determination; power in the top octave over that of the truth.
    truth, generated : NDArray[np.float64], shape (lag,)
        Autocorrelation of either.
    """

    rmse: Floats
    r2: Floats
    top_octave: Floats
    truth: Floats
    generated: Floats

    @property
    def autocorrelation_error(self) -> float:
        """Root mean square difference of the two autocorrelations over lags of 1 and more."""
        return float(np.sqrt(np.mean((self.generated - self.truth)[1:] ** 2)))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists of them, for JSON."""
        arrays = {name: getattr(self, name).tolist() for name in self.__dataclass_fields__}
        return {**arrays, "autocorrelation_error": self.autocorrelation_error}


def score_walk(truth: NDArray[Any], generated: NDArray[Any], *, lags: int | None = None) -> WalkScores:
    """Score a walk, of 30 steps in the source, against the true series.

    Parameters
    ----------
    truth, generated : arrays of one shape (step, y, x)
        At least 8 x 8 cells and 2 steps.
    lags : int, optional
        The largest lag of the autocorrelation; a third of the steps without it.

    Returns
    -------
    WalkScores

    Raises
    ------
    ValueError
        Shapes that differ or are too small, or too many lags.

    Source
    ------
    Xiang, Y. et al., arXiv 2512.05139 (2025): semivariogram and autocorrelation over a walk beyond the training years.

    Examples
    --------
    >>> truth = np.random.default_rng(0).normal(size=(30, 16, 16)).cumsum(0)
    >>> found = score_walk(truth, truth / 2)
    >>> float(found.top_octave[-1]), found.truth.size, round(found.autocorrelation_error, 9)
    (0.25, 11, 0.0)
    """
    x, y = np.asarray(truth, np.float64), np.asarray(generated, np.float64)
    if x.shape != y.shape or x.ndim != 3:
        raise ValueError(f"expected two series (step, y, x) of one shape, got {x.shape} and {y.shape}")
    most = max(1, len(x) // 3) if lags is None else lags
    steps = [(rmse(a, b), r2(a, b), float(octave_ratio(a, b)[-1])) for a, b in zip(x, y, strict=True)]
    errors, shares, tops = np.asarray(steps, np.float64).reshape(-1, 3).T
    both = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(both, x, np.nan), np.where(both, y, np.nan)
    return WalkScores(errors, shares, tops, autocorrelation(x, most), autocorrelation(y, most))
