"""How far a decoded array is from its source, gathered block by block in float64.

Stage: verification. One `ErrorSummary` per variable; nothing here knows of files. The scores of fields on a globe are
in `field_scores`, `spectrum` and `extremes`, and can be imported from here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.formats.error_scan import scan
from adiabat.formats.extremes import Extreme, extremes, extremes_table, great_circle_km
from adiabat.formats.field_scores import FieldScores, Negatives, area_weights, negatives, score_field
from adiabat.formats.policy import is_target
from adiabat.formats.spectrum import SpectrumRatio, compare_spectra, spherical_spectrum, zonal_spectrum

__all__ = [
    "ErrorSummary",
    "Extreme",
    "FieldScores",
    "Negatives",
    "SpectrumRatio",
    "area_weights",
    "compare_spectra",
    "extremes",
    "extremes_table",
    "great_circle_km",
    "negatives",
    "score_field",
    "spherical_spectrum",
    "zonal_spectrum",
]


@dataclass
class ErrorSummary:
    """Errors of one variable against one bound.

    Parameters
    ----------
    bound : ``{"abs": x}``, ``{"abs": [x, ...], "axis": k}``, ``{"rel": r}``, ``{"noise": k}`` or ``"lossless"``
        The axis is that of the whole array. Or a target, ``{"rmse": x}`` or ``{"ratio": r}``, that bounds no value.
    mean : float, optional
        The mean error promised beside the bound; see `mean_error`.
    valid_range : tuple of two (float or None), optional
        What stored values keep to wherever the source does.

    Attributes
    ----------
    values : int
        How many were compared.
    violations : int
        How many break the bound, are NaN or infinite on one side only, or (lossless) differ in
        any bit, the sign of a zero included.
    max_error : float
        The largest absolute error, or error over magnitude (``rel``), or over the noise (``noise``).
    used : float
        The largest error over its own bound: at most 1 where the bound holds; of an RMSE, how much of it there is.
    worst_index : tuple of int or None
        Where the bound is used up most, or first broken beyond measure.
    worst_values : (source, stored)
        There.
    compared : int
        How many are finite on both sides.
    sum_of_errors, sum_of_squares, sum_of_magnitudes : float
        Over those, of absolute errors and of the source's magnitudes.
    outside : int
        How many stored values lie outside the valid range though the source does not.
    """

    bound: Mapping[str, Any] | str
    values: int = 0
    violations: int = 0
    max_error: float = 0.0
    used: float = 0.0
    worst_index: tuple[int, ...] | None = None
    worst_values: tuple[float, float] = (math.nan, math.nan)
    compared: int = 0
    sum_of_errors: float = 0.0
    sum_of_squares: float = 0.0
    sum_of_magnitudes: float = 0.0
    outside: int = 0
    mean: float | None = field(default=None, kw_only=True)
    valid_range: tuple[float | None, float | None] | None = field(default=None, kw_only=True)
    _worst: float = field(default=-1.0, repr=False)

    @property
    def limit(self) -> float:
        """The largest error allowed anywhere: 0 for lossless."""
        return float(np.max(self._sizes))

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        """One bound, or those along the axis."""
        if isinstance(self.bound, str):
            return np.zeros(())
        if is_target(self.bound):
            return np.full((), np.inf)
        return np.asarray(next(size for kind, size in self.bound.items() if kind != "axis"), np.float64)

    @property
    def rmse(self) -> float:
        """Root mean square error over the finite values, unweighted."""
        return math.sqrt(self.sum_of_squares / self.compared) if self.compared else 0.0

    @property
    def mean_error(self) -> float:
        """Mean absolute error over the finite values; over their mean magnitude where the bound is relative.

        Examples
        --------
        >>> errors = ErrorSummary({"rel": 0.1})
        >>> errors.add(np.array([1.0, 3.0]), np.array([1.1, 3.0]))
        >>> round(errors.mean_error, 3)
        0.025
        """
        over = self.sum_of_magnitudes if isinstance(self.bound, Mapping) and "rel" in self.bound else self.compared
        return self.sum_of_errors / over if over else 0.0

    def add(
        self,
        source: NDArray[Any],
        stored: NDArray[Any],
        offset: tuple[int, ...] | None = None,
        noise: NDArray[Any] | None = None,
    ) -> None:
        """Take in one block.

        Parameters
        ----------
        source, stored : arrays of one shape
        offset : tuple of int, optional
            Where the block starts in the whole array.
        noise : array of that shape, optional
            One standard deviation of each value; where it is none, values must be kept exactly.
        """
        offset = offset or (0,) * source.ndim
        found = scan(
            source, stored, np.atleast_1d(self._limits(source.shape, offset)), inner=self._inner(source.shape),
            relative=isinstance(self.bound, Mapping) and "rel" in self.bound, noise=noise, valid_range=self.valid_range,
        )  # fmt: skip
        self.values += source.size
        self.violations += found.violations
        self.compared += found.compared
        self.outside += found.outside
        self.sum_of_errors += found.sum_of_errors
        self.sum_of_squares += found.sum_of_squares
        self.sum_of_magnitudes += found.sum_of_magnitudes
        self.max_error = max(self.max_error, found.max_error)
        self.used = max(self.used, found.used)
        if isinstance(self.bound, Mapping) and "rmse" in self.bound:
            self.used = self.rmse / float(self.bound["rmse"])
        if found.worst > self._worst:
            self._worst = found.worst
            place = tuple(map(int, np.unravel_index(found.place, source.shape)))
            self.worst_index = tuple(i + o for i, o in zip(place, offset, strict=True))
            self.worst_values = (float(source[place]), float(stored[place]))

    def _limits(self, shape: tuple[int, ...], offset: tuple[int, ...]) -> NDArray[np.float64]:
        """The bound of a block, or those along the axis."""
        if not self._sizes.ndim or isinstance(self.bound, str):
            return self._sizes
        axis = range(len(shape))[self.bound["axis"]]
        return self._sizes[offset[axis] : offset[axis] + shape[axis]]

    def _inner(self, shape: tuple[int, ...]) -> int:
        """Values that follow one another under one bound."""
        if not self._sizes.ndim or isinstance(self.bound, str):
            return 1
        return max(1, math.prod(shape[range(len(shape))[self.bound["axis"]] + 1 :]))
