"""One pass over source and stored values: everything that `metrics.ErrorSummary` gathers of a block.

Stage: verification. The archive holds every value it wrote against its source, so that this loop runs over all of it:
in NumPy it took a tenth of encoding and decoding together, here a third of that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["Scan", "scan"]

ABSOLUTE, RELATIVE, NOISE = range(3)


@dataclass(frozen=True)
class Scan:
    """What one pass found; fields as of `adiabat.formats.metrics.ErrorSummary`, of which `place` is the worst one's."""

    violations: int
    compared: int
    outside: int
    max_error: float
    used: float
    sum_of_errors: float
    sum_of_squares: float
    sum_of_magnitudes: float
    worst: float
    place: int


def scan(
    source: NDArray[Any],
    stored: NDArray[Any],
    sizes: NDArray[np.float64],
    *,
    inner: int = 1,
    relative: bool = False,
    noise: NDArray[Any] | None = None,
    valid_range: tuple[float | None, float | None] | None = None,
) -> Scan:
    """Compare one block.

    Parameters
    ----------
    source, stored : arrays of one shape
    sizes : NDArray[np.float64], shape (n,)
        Bounds, in turn for runs of `inner` values in C order; one for all of them; 0: bit for bit, infinite: none.
    inner : int
    relative : bool
        Whether sizes are shares of the source's magnitude.
    noise : array of that shape, optional
        What sizes are multiples of; where it is not above zero, or not finite, values must be kept exactly.
    valid_range : tuple of two (float or None), optional

    Examples
    --------
    >>> found = scan(np.array([1.0, 2.0]), np.array([1.0, 2.5]), np.array([0.25]))
    >>> found.violations, found.used, found.place
    (1, 2.0, 1)
    """
    low, high = valid_range or (None, None)
    kind = NOISE if noise is not None else RELATIVE if relative else ABSOLUTE
    sigma = np.ones(1) if noise is None else _flat(noise)
    limits = -math.inf if low is None else float(low), math.inf if high is None else float(high)
    return Scan(*_scan(_flat(source), _flat(stored), sizes, inner, kind, sigma, *limits))


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """In C order, as float32 or float64 of this machine."""
    dtype = np.float32 if values.dtype.kind == "f" and values.dtype.itemsize == 4 else np.float64
    return np.ascontiguousarray(values, dtype).ravel()


@numba.njit(nogil=True, cache=True)
def _scan(source, stored, sizes, inner, kind, sigma, low, high):  # type: ignore[no-untyped-def]
    violations, compared, outside, place = 0, 0, 0, 0
    max_error, used, worst = 0.0, 0.0, -1.0
    errors, squares, magnitudes = 0.0, 0.0, 0.0
    exact = sizes.max() == 0.0 if sizes.size else True
    for i in range(source.size):
        x, x_hat = np.float64(source[i]), np.float64(stored[i])
        size = sizes[(i // inner) % sizes.size]
        finite = math.isfinite(x) and math.isfinite(x_hat)
        error = abs(x_hat - x) if finite else 0.0
        unit = 1.0
        if kind == RELATIVE:
            unit = abs(x) if finite else 0.0
        elif kind == NOISE:
            s = np.float64(sigma[i])
            unit = s if math.isfinite(s) and s > 0 else 0.0
        allowed = size * unit if unit > 0 else 0.0
        if finite:
            broken = error > allowed
            if size == 0.0 and x == x_hat:
                broken = math.copysign(1.0, x) != math.copysign(1.0, x_hat)
            compared += 1
            errors += error
            squares += error * error
            magnitudes += abs(x)
        else:  # infinities agree if equal, NaN if on both sides; otherwise nothing measures the error
            broken = not (x == x_hat or (math.isnan(x) and math.isnan(x_hat)))
        violations += broken
        outside += (x_hat < low and x >= low) or (x_hat > high and x <= high)
        of_unit = error / unit if unit > 0 else (math.inf if error > 0 else 0.0)
        of_bound = error / allowed if allowed > 0 else (math.inf if error > 0 else 0.0)
        max_error, used = max(max_error, of_unit), max(used, of_bound)
        measure = math.inf if broken and error == 0.0 else (error if exact else of_bound)
        if measure > worst:
            worst, place = measure, i
    return violations, compared, outside, max_error, used, errors, squares, magnitudes, worst, place
