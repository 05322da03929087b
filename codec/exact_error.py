"""Whether an error is larger than it may be, for real numbers: where float64 says equal, what its rounding hid decides.

Used by `bound` and `noise` in the encoder's last check. Spec: `spec/bounds.md`, "Exceptions".
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

__all__ = ["exceeds", "exceeds_share"]


def exceeds(
    decoded: NDArray[np.floating], field: NDArray[np.floating], room: float | NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Where |decoded - field| > room, without rounding; where either is NaN too.

    Parameters
    ----------
    decoded, field : NDArray[np.floating]
        Of one shape.
    room : float or NDArray[np.float64]
        Finite; of that shape, or broadcast to it.

    Examples
    --------
    >>> exceeds(np.array([1.0, 1.0]), np.array([2.0, -1e-30]), 1.0).tolist()
    [False, True]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        off = np.subtract(decoded, field, dtype=np.float64)
        error = np.abs(off)
        outside: NDArray[np.bool_] = ~(error <= room)
        equal = error == room
    if equal.any():
        lost = _lost(decoded[equal].astype(np.float64), field[equal].astype(np.float64), off[equal])
        outside[equal] = np.where(off[equal] < 0, -lost, lost) > 0
    return outside


def _lost(x_hat: NDArray[np.float64], x: NDArray[np.float64], off: NDArray[np.float64]) -> NDArray[np.float64]:
    """x_hat - x - off, exactly: what rounding took off the difference (Knuth's TwoSum)."""
    part = off - x_hat
    return np.asarray((x_hat - (off - part)) - (x + part))


def exceeds_share(decoded: NDArray[np.floating], field: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
    """Where |decoded - field| > share * |field|, without rounding; where either is NaN too.

    Examples
    --------
    >>> exceeds_share(np.array([0.0, 1.5]), np.array([5e-324, 1.0]), 0.7).tolist()
    [True, False]
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        error = np.subtract(decoded, field, dtype=np.float64)
        np.abs(error, out=error)
        room = np.abs(field, dtype=np.float64)
        room *= share
        outside: NDArray[np.bool_] = ~(error <= room)
        undecided = error == room
        if undecided.any():
            undecided &= (error > 0) & np.isfinite(error)
    if undecided.any():  # rare, but for shares and values of few digits
        pairs = zip(decoded[undecided].tolist(), field[undecided].tolist(), strict=True)
        outside[undecided] = [abs(Fraction(a) - Fraction(b)) > Fraction(share) * abs(Fraction(b)) for a, b in pairs]
    return outside
