"""How far a decoded array is from its source, gathered block by block in float64.

Stage: verification. One `ErrorSummary` per variable; nothing here knows of files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass
class ErrorSummary:
    """Errors of one variable against one bound.

    Parameters
    ----------
    bound : ``{"abs": x}``, ``{"rel": r}`` or ``"lossless"``

    Attributes
    ----------
    values : int
        How many were compared.
    violations : int
        How many break the bound, are NaN or infinite on one side only, or (lossless) differ in
        any bit, the sign of a zero included.
    max_error : float
        The largest absolute error, or (under ``rel``) error over magnitude.
    worst_index : tuple of int or None
        Where the bound is used up most, or first broken beyond measure.
    worst_values : (source, stored)
        There.
    """

    bound: Mapping[str, float] | str
    values: int = 0
    violations: int = 0
    max_error: float = 0.0
    worst_index: tuple[int, ...] | None = None
    worst_values: tuple[float, float] = (math.nan, math.nan)
    _worst: float = field(default=-1.0, repr=False)
    _sum_of_squares: float = field(default=0.0, repr=False)
    _compared: int = field(default=0, repr=False)

    @property
    def limit(self) -> float:
        """The largest error allowed: 0 for lossless."""
        return 0.0 if isinstance(self.bound, str) else float(next(iter(self.bound.values())))

    @property
    def used(self) -> float:
        """The largest error over the bound: at most 1 where the bound holds."""
        return self.max_error / self.limit if self.limit else math.inf * (self.max_error > 0)

    @property
    def rmse(self) -> float:
        """Root mean square error over the finite values, unweighted."""
        return math.sqrt(self._sum_of_squares / self._compared) if self._compared else 0.0

    def add(self, source: NDArray[Any], stored: NDArray[Any], offset: tuple[int, ...] | None = None) -> None:
        """Take in one block.

        Parameters
        ----------
        source, stored : arrays of one shape
        offset : tuple of int, optional
            Where the block starts in the whole array.
        """
        x, x_hat = source.astype(np.float64), stored.astype(np.float64)
        finite = np.isfinite(x) & np.isfinite(x_hat)
        # Infinities agree if equal, NaN if on both sides; otherwise nothing measures the error.
        agree = (x == x_hat) | (np.isnan(x) & np.isnan(x_hat))
        error = np.zeros(x.shape)
        np.subtract(x_hat, x, out=error, where=finite)
        np.abs(error, out=error)
        allowed = np.full(x.shape, self.limit)
        measure = error
        if isinstance(self.bound, Mapping) and "rel" in self.bound:
            magnitude = np.abs(np.where(finite, x, 0.0))
            allowed = self.limit * magnitude
            measure = np.divide(error, magnitude, out=np.zeros(x.shape), where=magnitude > 0)
            measure[(magnitude == 0) & (error > 0)] = math.inf
        broken = (finite & (error > allowed)) | (~finite & ~agree)
        if self.bound == "lossless":
            broken |= (x == x_hat) & (np.signbit(x) != np.signbit(x_hat))
        self.values += x.size
        self.violations += int(broken.sum())
        self._compared += int(finite.sum())
        self._sum_of_squares += float(np.sum(error**2))
        if x.size:
            self.max_error = max(self.max_error, float(measure.max()))
            self._keep_worst(np.where(broken & (measure == 0), math.inf, measure), x, x_hat, offset)

    def _keep_worst(
        self,
        measure: NDArray[np.float64],
        x: NDArray[np.float64],
        x_hat: NDArray[np.float64],
        offset: tuple[int, ...] | None,
    ) -> None:
        place = np.unravel_index(int(np.argmax(measure)), measure.shape)
        if float(measure[place]) <= self._worst:
            return
        self._worst = float(measure[place])
        self.worst_index = tuple(int(i) + int(o) for i, o in zip(place, offset or (0,) * x.ndim, strict=True))
        self.worst_values = (float(x[place]), float(x_hat[place]))
