"""How many bits of a mantissa a bound needs, and rounding to so many.

Stage of `export`: decoded values -> **rounding** -> plain NetCDF or Zarr. The rounding is numcodecs' BitRound, which CF
calls bitround (1.12, section 8.4): the same number of explicitly stored mantissa bits for all values of a variable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["SHARE", "Allowance", "mantissa_bits", "round_bits"]

SHARE = 0.1  # of the bound that rounding may add
PIECE = 1 << 21  # values rounded at once


@dataclass(frozen=True)
class Allowance:
    """What rounding may add to each value of a variable.

    Parameters
    ----------
    absolute : float or NDArray[np.float64], optional
        In the variable's units; an array has one for each index of `axis`.
    relative : float, optional
        Of each value's magnitude.
    axis : int
        Of an array of `absolute`.

    Examples
    --------
    >>> Allowance.of({"bound": {"abs": 0.5}}).absolute
    0.05
    >>> Allowance.of({"bound": "lossless"}) is None
    True
    """

    absolute: float | NDArray[np.float64] = 0.0
    relative: float = 0.0
    axis: int = 0

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> Allowance | None:
        """A tenth of what the attribute ``adiabat`` of a variable states; None where it states nothing to share."""
        bound = note.get("bound")
        if not isinstance(bound, Mapping):
            return None
        if "rel" in bound:
            # Of the source's values; those that are rounded differ from them by as much.
            return cls(relative=SHARE * bound["rel"] / (1 + bound["rel"]))
        if "abs" in bound and np.ndim(bound["abs"]):
            return cls(SHARE * np.asarray(bound["abs"], np.float64), axis=int(bound.get("axis", 0)))
        sizes = {**bound, "rmse": bound.get("rmse", note.get("achieved", {}).get("rmse", 0.0))}
        # With a target, or a bound in units of noise, what the archive came to on average.
        size = float(sizes.get("abs", sizes["rmse"]))
        return cls(SHARE * size) if math.isfinite(size) and size > 0 else None

    def on(self, values: NDArray[Any], start: tuple[int, ...]) -> NDArray[np.float64] | float:
        """What these values may change by, of a block that begins at `start`; broadcasts against them."""
        if self.relative:
            return np.asarray(self.relative * np.abs(values.astype(np.float64)), np.float64)
        if isinstance(self.absolute, float):
            return self.absolute
        axis = self.axis % values.ndim
        sizes = self.absolute[start[axis] : start[axis] + values.shape[axis]]
        return sizes.reshape([-1 if each == axis else 1 for each in range(values.ndim)])

    def bits(self, values: NDArray[Any], start: tuple[int, ...]) -> int:
        """Bits of mantissa that a block's values need, at least 1.

        A value of ``2**e`` up to twice that, rounded to k bits, moves by at most ``2**(e - k - 1)``.

        Examples
        --------
        >>> Allowance(0.05).bits(np.array([300.0], "f4"), (0,))
        12
        """
        if self.relative:
            return max(1, math.ceil(-1 - math.log2(self.relative)))
        rest = None
        if not isinstance(self.absolute, float):
            rest = tuple(axis for axis in range(values.ndim) if axis != self.axis % values.ndim)
        largest = np.abs(values).max(axis=rest, where=np.isfinite(values), initial=0).astype(np.float64)
        largest, allowed = np.broadcast_arrays(largest, np.ravel(self.on(values, start)))
        some = largest > allowed  # others move by less than they are
        exponents = np.frexp(largest[some])[1] - 1
        with np.errstate(divide="ignore"):
            needed = exponents - 1 - np.log2(allowed[some])
        most = float(needed.max(initial=1))
        return max(1, math.ceil(most)) if math.isfinite(most) else mantissa_bits(values.dtype)


def mantissa_bits(dtype: np.dtype[Any]) -> int:
    """Explicitly stored bits of a float's mantissa: 10, 23 or 52."""
    return int(np.finfo(dtype).nmant)


def round_bits(
    values: NDArray[Any], bits: int, allowance: Allowance, start: tuple[int, ...]
) -> tuple[NDArray[Any], float]:
    """Round a block to so many bits of mantissa.

    Returns
    -------
    rounded : NDArray
        What is not finite, or would move by more than it may, stays as it is.
    added : float
        The most that a value moved.

    Examples
    --------
    >>> rounded, added = round_bits(np.array([300.03, np.nan], "f4"), 12, Allowance(0.05), (0,))
    >>> rounded.tolist(), round(added, 3)
    ([300.0, nan], 0.03)
    """
    from numcodecs import BitRound

    codec, out, most = BitRound(bits), values.copy(), 0.0
    rows = max(1, PIECE * len(values) // max(1, values.size))
    for first in range(0, len(values), rows):  # in pieces: this takes memory
        part = np.ascontiguousarray(values[first : first + rows])
        rounded = np.asarray(codec.encode(part)).view(values.dtype).reshape(part.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            moved = np.abs(rounded.astype(np.float64) - part)
            good = moved <= allowance.on(part, (start[0] + first, *start[1:]))
        most = max(most, float(moved.max(where=good, initial=0.0)))
        np.copyto(out[first : first + rows], rounded, where=good)
    return out, most
