"""Scores of decoded fields on the user's grid: RMSE, MAE, bias, maximum, percentile, thresholds, negative values.

Stage: evaluation. Means are weighted by the cosine of latitude, counts and percentiles are of pixels; every leading
axis (time, level) is scored apart, in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["FieldScores", "Negatives", "area_weights", "negatives", "score_field"]

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
NAMES = ("rmse", "mae", "bias", "max", "p99.9")


@dataclass(frozen=True)
class FieldScores:
    """Scores of decoded fields, each array of the leading shape (times, levels): `score_field` makes it.

    Attributes
    ----------
    rmse, mae, bias : NDArray[np.float64]
        Cos-latitude weighted; bias is decoded less source. NaN where nothing could be compared.
    maximum, percentile : NDArray[np.float64]
        Largest absolute error of a pixel, and the one that 99.9 % of pixels do not exceed.
    beyond : mapping of str to NDArray[np.float64]
        Share of pixels (0 to 1) whose absolute error is above a named threshold.
    compared, unpaired : NDArray[np.int64]
        Pixels finite in both; pixels finite in one only, which no other score counts.
    """

    rmse: Floats
    mae: Floats
    bias: Floats
    maximum: Floats
    percentile: Floats
    beyond: Mapping[str, Floats]
    compared: Counts
    unpaired: Counts

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers or nested lists of them, for JSON."""
        arrays = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "beyond"}
        beyond = {name: share.tolist() for name, share in self.beyond.items()}
        return {**{name: array.tolist() for name, array in arrays.items()}, "beyond": beyond}

    def table(self, labels: Sequence[object] | None = None) -> str:
        """A head and one row a field, aligned.

        Parameters
        ----------
        labels : sequence, optional
            One for each field in C order of the leading axes, such as levels; their indices without it.
        """
        places = list(np.ndindex(self.rmse.shape))
        names = [str(label) for label in labels] if labels is not None else [_numbered(place) for place in places]
        if len(names) != len(places):
            raise ValueError(f"expected {len(places)} labels, got {len(names)}")
        heads = ["field", *NAMES, *(f"> {name}" for name in self.beyond), "unpaired"]
        rows = [heads]
        for name, at in zip(names, places, strict=True):
            sizes = [f"{a[at]:.4g}" for a in (self.rmse, self.mae, self.bias, self.maximum, self.percentile)]
            shares = [f"{100 * share[at]:.3g} %" for share in self.beyond.values()]
            rows.append([name, *sizes, *shares, str(self.unpaired[at])])
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(r, widths, strict=True)) for r in rows)


def score_field(
    source: NDArray[Any],
    decoded: NDArray[Any],
    latitude: NDArray[Any],
    longitude: NDArray[Any] | None = None,
    *,
    thresholds: Mapping[str, float] | None = None,
) -> FieldScores:
    """Score decoded fields against their sources.

    Parameters
    ----------
    source, decoded : arrays of one shape (..., latitude, longitude)
        A pixel that is NaN or infinite in either is compared in neither.
    latitude : 1-D array, degrees
    longitude : 1-D array, degrees, optional
        Only its length is looked at.
    thresholds : mapping of str to float, optional
        Named sizes of error, such as ``{"0.5 K": 0.5}``.

    Returns
    -------
    FieldScores

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Examples
    --------
    >>> source = np.zeros((2, 3, 4))  # level, latitude, longitude
    >>> decoded = source + np.array([1.0, -2.0])[:, None, None]
    >>> found = score_field(source, decoded, np.array([60.0, 0.0, -60.0]), thresholds={"1.5 K": 1.5})
    >>> print(found.table([500, 850]))
    field  rmse  mae  bias  max  p99.9  > 1.5 K  unpaired
      500     1    1     1    1      1      0 %         0
      850     2    2    -2    2      2    100 %         0
    """
    x, x_hat = np.asarray(source), np.asarray(decoded)
    columns = x.shape[-1:] if longitude is None else (len(longitude),)
    expected = (len(latitude), *columns)
    if x.shape != x_hat.shape or x.ndim < 2 or x.shape[-2:] != expected:
        raise ValueError(f"expected two arrays (..., latitude, longitude) of {expected}, got {x.shape}, {x_hat.shape}")
    weights, limits = area_weights(latitude)[:, None], dict(thresholds or {})
    lead = x.shape[:-2]
    numbers = np.full((5, *lead), np.nan)
    shares = {name: np.full(lead, np.nan) for name in limits}
    compared, unpaired = np.zeros(lead, np.int64), np.zeros(lead, np.int64)
    for at in np.ndindex(lead):  # field by field: a volume in float64 would not fit three times
        a, b = x[at].astype(np.float64), x_hat[at].astype(np.float64)
        both = np.isfinite(a) & np.isfinite(b)
        compared[at], unpaired[at] = both.sum(), (np.isfinite(a) ^ np.isfinite(b)).sum()
        if not both.any():
            continue
        error = b[both] - a[both]
        size = np.abs(error)
        numbers[(slice(None), *at)] = _numbers(error, size, np.broadcast_to(weights, both.shape)[both])
        for name, limit in limits.items():
            shares[name][at] = np.mean(size > limit)
    rmse, mae, bias, maximum, percentile = (numbers[k, ...] for k in range(5))
    return FieldScores(rmse, mae, bias, maximum, percentile, shares, compared, unpaired)


@dataclass(frozen=True)
class Negatives:
    """Negative values of fields that should have none, each array of the leading shape: `negatives` makes it.

    Attributes
    ----------
    source, decoded : NDArray[np.int64]
        How many pixels are negative.
    new : NDArray[np.int64]
        Negative decoded, and not so in the source.
    lowest_source, lowest_decoded : NDArray[np.float64]
        The lowest value, or 0 where none is negative.
    """

    source: Counts
    decoded: Counts
    new: Counts
    lowest_source: Floats
    lowest_decoded: Floats


def negatives(source: NDArray[Any], decoded: NDArray[Any]) -> Negatives:
    """Count negative values, of humidity or any field that should have none.

    Parameters
    ----------
    source, decoded : arrays of one shape (..., latitude, longitude)
        A pixel that is NaN in either counts in neither.

    Returns
    -------
    Negatives

    Examples
    --------
    >>> found = negatives(np.array([[1e-3, -1e-6, 0.0]]), np.array([[1e-3, 0.0, -2e-6]]))
    >>> int(found.source), int(found.decoded), int(found.new), float(found.lowest_decoded)
    (1, 1, 1, -2e-06)
    """
    x, x_hat = np.asarray(source, np.float64), np.asarray(decoded, np.float64)
    if x.shape != x_hat.shape or x.ndim < 2:
        raise ValueError(f"expected two arrays (..., latitude, longitude) of one shape, got {x.shape}, {x_hat.shape}")
    known = ~(np.isnan(x) | np.isnan(x_hat))
    below, below_hat = known & (x < 0), known & (x_hat < 0)
    space = (-2, -1)
    return Negatives(
        below.sum(space, dtype=np.int64),
        below_hat.sum(space, dtype=np.int64),
        (below_hat & ~below).sum(space, dtype=np.int64),
        np.where(below, x, 0.0).min(space, initial=0.0),
        np.where(below_hat, x_hat, 0.0).min(space, initial=0.0),
    )


def area_weights(latitude: NDArray[Any]) -> Floats:
    """Cosine of latitude (degrees), exactly 0 at the poles.

    Raises
    ------
    ValueError
        Not one axis, or beyond the poles.

    Examples
    --------
    >>> np.round(area_weights(np.array([90.0, 60.0, 0.0])), 6)
    array([0. , 0.5, 1. ])
    """
    degrees = np.asarray(latitude, np.float64)
    if degrees.ndim != 1 or not (np.abs(degrees) <= 90.001).all():
        raise ValueError("expected latitudes in degrees along one axis, -90 to 90, got others")
    weights: Floats = np.where(np.abs(degrees) >= 90, 0.0, np.cos(np.radians(degrees)))
    return weights


def _numbers(error: Floats, size: Floats, weights: Floats) -> tuple[float, float, float, float, float]:
    """RMSE, MAE, bias, maximum, 99.9 percentile of one field's errors."""
    total = float(weights.sum())
    if total == 0:  # nothing but poles: no area, so every pixel alike
        weights, total = np.ones_like(weights), float(weights.size)
    means = (float(weights @ each) / total for each in (error**2, size, error))
    square, mae, bias = means
    return square**0.5, mae, bias, float(size.max()), float(np.quantile(size, 0.999))


def _numbered(place: tuple[int, ...]) -> str:
    return ", ".join(map(str, place)) or "all"
