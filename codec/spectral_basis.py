"""The spectra that a chunk is predicted from: y = mean + sum of n_i W_i, exactly, in integers.

Stage of `spectral`. Integers as float64: a matrix product of them is exact in any order of summation while every
partial sum stays below 2**53. Spec: `spec/spectral.md`, "Prediction".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader

__all__ = ["Basis"]

EXACT = 2**53
BIAS = 128  # of a stored exponent
MAX_SPREAD = 52  # between exponents

Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Basis:
    """Integer spectra, the mean first.

    Parameters
    ----------
    rows : NDArray[np.int64], shape (1 + components, channels)
    exponents : NDArray[np.int64], shape (1 + components,)
        Row i counts 2**exponents[i].

    Raises
    ------
    CorruptStreamError
        If the exponents lie too far apart.

    Examples
    --------
    >>> basis = Basis(np.array([[10, 20], [1, -1]]), np.array([0, -1]))
    >>> basis.predict(np.array([[3, 4]]), slice(0, 2)).tolist()
    [[11.5, 12.0], [18.5, 18.0]]
    """

    rows: Integers
    exponents: Integers

    def __post_init__(self) -> None:
        if int(np.ptp(self.exponents)) > MAX_SPREAD:
            raise CorruptStreamError(f"expected exponents within {MAX_SPREAD}, got {self.exponents.tolist()}")

    @cached_property
    def _unit(self) -> int:
        return int(self.exponents.min())

    @cached_property
    def _aligned(self) -> NDArray[np.float64]:
        """Rows in multiples of the finest unit; of float64, exact below 2**53, which `check` sees to."""
        return np.ldexp(self.rows.astype(np.float64), (self.exponents - self._unit)[:, None])

    def fits(self, n: Integers) -> bool:
        """Whether every partial sum of a prediction stays below 2**53."""
        largest = [int(each) for each in np.abs(self._aligned).max(1, initial=0)]
        counts = [1, *np.abs(n).max(1, initial=0).tolist()]
        return bool(sum(row * count for row, count in zip(largest, counts, strict=True)) < EXACT)

    def check(self, n: Integers) -> None:
        """Refuse coefficients whose predictions would not be exact."""
        if not self.fits(n):
            raise CorruptStreamError("expected predictions below 2**53 of their unit, got larger ones")

    def predict(self, n: Integers, part: slice) -> NDArray[np.float64]:
        """Return y (channel, pixel) of some channels; n: (component, pixel)."""
        rows = self._aligned[:, part]
        sums = rows[1:].T @ n.astype(np.float64)
        sums += rows[0][:, None]
        return np.ldexp(sums, self._unit)

    def write_exponents(self) -> bytes:
        """One byte a row."""
        return bytes((self.exponents + BIAS).tolist())

    @staticmethod
    def read_exponents(reader: Reader, count: int) -> Integers:
        """Undo `write_exponents`, of so many components."""
        return np.frombuffer(reader.take(count + 1), np.uint8).astype(np.int64) - BIAS
