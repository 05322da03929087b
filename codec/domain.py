"""Field <-> integers in fine units: the four integer domains a chunk can be coded in.

Stage of `pyramid`: bound -> **domain** -> coarse_to_fine or classical. Decoding uses only IEEE float64 + - * and
integers, so that it gives the same bits everywhere. Spec: `spec/bounds.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["AbsDomain", "Domain", "LatticeDomain", "OrderedDomain", "Range", "cast", "choose_shave", "clip"]
__all__ += ["disorder", "low_words", "order", "shaved_unit", "with_low_words"]

Range = tuple[float | None, float | None]  # lowest and highest value
Numbers = TypeVar("Numbers", float, NDArray[np.float64])

ABS_BITS = 8  # fraction bits below the step of an absolute bound
SNAP = 1 << 6  # fine units of one integer in the other domains
TARGET_LIMIT = 1 << 37  # magnitude of any target, in fine units
SHAVES = (12, 9, 6, 4, 3, 2)  # the step is shaved by 2**-j of itself: room for the cast to the dtype; few, so that
# data decoded before, whose largest value may have crossed a power of two, find the same step again


class Domain(Protocol):
    """Field <-> integers in fine units, for one chunk."""

    @property
    def step(self) -> int:
        """Quantisation step in fine units: decoded lies within half of it from target."""

    @property
    def snap(self) -> int:
        """Decoded values are multiples of it, in fine units."""

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the target in fine units. Special pixels may give anything finite."""

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Return values of a native dtype from decoded fine units."""

    def parameters(self) -> tuple[str | float | int, ...]:
        """Name and parameters, as they stand in the stream."""


def cast(values: NDArray[np.float64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Round to the dtype; overflow gives infinity."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(dtype, copy=False)


def clip(values: NDArray[np.floating], limits: Range) -> NDArray[np.floating]:
    """Clip in place; zeros keep their signs."""
    for limit, beyond in zip(limits, (np.less, np.greater), strict=True):
        if limit is not None:
            values[beyond(values, limit)] = limit
    return values


@dataclass(frozen=True)
class AbsDomain:
    """Multiples of a unit: 256 of them are one step, a little under twice the bound.

    Parameters
    ----------
    unit : float
        Fine unit in the field's units.

    Examples
    --------
    >>> domain = AbsDomain(2.0**-8)
    >>> domain.to_fine(np.array([1.5])).tolist(), domain.step
    ([384.0], 256)
    """

    unit: float
    step = 1 << ABS_BITS
    snap = 1

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Divide by the unit."""
        target: NDArray[np.float64] = np.divide(field, self.unit, dtype=np.float64)
        return target

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Multiply by the unit in float64, then round to the dtype."""
        with np.errstate(over="ignore"):  # next to the largest number there is
            return cast(np.multiply(fine, self.unit, dtype=np.float64), dtype)

    def parameters(self) -> tuple[str | float | int, ...]:
        """("abs", unit)."""
        return "abs", self.unit

    @classmethod
    def fit(cls, largest: float, bound: float, dtype: np.dtype[np.floating]) -> AbsDomain | None:
        """Choose the unit; None where the dtype is too coarse, or the range too wide, for the bound.

        It hardly ever depends on the data, so that encoding decoded data finds the same grid.
        """
        shave = choose_shave(largest, bound, dtype)
        return None if shave is None else cls(float(shaved_unit(bound, shave)))


def shaved_unit(bound: Numbers, shave: int) -> Numbers:
    """Return the fine unit of an absolute bound: the step, 256 units, is 2 * bound * (1 - 2**-shave)."""
    return bound * (1 - 2.0**-shave) / (1 << ABS_BITS - 1)


def choose_shave(largest: Numbers, bound: Numbers, dtype: np.dtype[np.floating]) -> int | None:
    """Return the first of SHAVES that leaves half an ulp at the largest magnitude, of arrays everywhere.

    None where the dtype is too coarse, or the range too wide, for the bound.

    Examples
    --------
    >>> choose_shave(300.0, 0.1, np.dtype("f4")), choose_shave(300.0, 0.01, np.dtype("f4"))
    (12, 9)
    """
    with np.errstate(over="ignore", under="ignore"):
        exponent = np.frexp(largest + bound)[1]
        half_ulp = np.ldexp(np.float64(np.finfo(dtype).eps) / 2, exponent - 1)
        for shave in SHAVES:
            if np.all(half_ulp <= bound * 2.0**-shave):
                unit = shaved_unit(bound, shave)
                normal = np.all(unit >= np.finfo(np.float64).tiny)
                return shave if normal and np.all(largest / unit < TARGET_LIMIT) else None
    return None


@dataclass(frozen=True)
class LatticeDomain:
    """Values phase + k * spacing, as packed GRIB and netCDF leave them, with an integer bound on k.

    Parameters
    ----------
    spacing, phase : float
        Of the lattice, in the field's units.
    steps : int
        |k - k_hat| is at most this; 0 keeps every value.

    Examples
    --------
    >>> domain = LatticeDomain(0.5, 0.25, 1)
    >>> domain.to_fine(np.array([1.25])).tolist(), domain.step
    ([128.0], 192)
    >>> domain.from_fine(np.array([128]), np.dtype("f4")).tolist()
    [1.25]
    """

    spacing: float
    phase: float
    steps: int
    snap = SNAP

    @property
    def step(self) -> int:
        """(2 * steps + 1) integers."""
        return (2 * self.steps + 1) * SNAP

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Nearest k, times 64."""
        scaled: NDArray[np.float64] = np.subtract(field, self.phase, dtype=np.float64)
        scaled /= self.spacing
        np.rint(scaled, out=scaled)
        scaled *= SNAP
        return scaled

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Phase + k * spacing in float64, two roundings, then to the dtype."""
        with np.errstate(over="ignore"):
            values = np.multiply(fine >> 6, self.spacing, dtype=np.float64)
            values += self.phase
        return cast(values, dtype)

    def parameters(self) -> tuple[str | float | int, ...]:
        """("lattice", spacing, phase, steps)."""
        return "lattice", self.spacing, self.phase, self.steps


@dataclass(frozen=True)
class OrderedDomain:
    """Bit patterns as integers in the order of the values, bit exact; of float64 the upper 32 bits.

    Examples
    --------
    >>> field = np.array([-1.0, -0.0, 0.0, 1.0], np.float32)
    >>> fine = OrderedDomain().to_fine(field).astype(np.int64)
    >>> (fine >> 6).tolist()
    [-1065353217, -1, 0, 1065353216]
    >>> OrderedDomain().from_fine(fine, field.dtype).tolist()
    [-1.0, -0.0, 0.0, 1.0]
    """

    step = SNAP
    snap = SNAP

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Ordered integer (of float64 its upper half), times 64."""
        ordered = order(field)
        return (ordered >> 32 if field.dtype.itemsize == 8 else ordered) * np.float64(SNAP)

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Bit patterns of the integers; low words of float64 are zero, see `with_low_words`."""
        ordered = fine >> 6
        if dtype.itemsize == 8:
            return disorder(ordered << 32, dtype)
        return disorder(ordered.astype(f"i{dtype.itemsize}"), dtype)

    def parameters(self) -> tuple[str | float | int, ...]:
        """("ordered",)."""
        return ("ordered",)


def order(field: NDArray[np.floating]) -> NDArray[np.signedinteger]:
    """Bit patterns as signed integers in the order of the values; -0.0 is -1, +0.0 is 0."""
    bits = field.view(f"i{field.dtype.itemsize}")
    return np.where(bits < 0, bits ^ np.iinfo(bits.dtype).max, bits)


def disorder(ordered: NDArray[np.signedinteger], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Undo `order`."""
    return np.where(ordered < 0, ordered ^ np.iinfo(ordered.dtype).max, ordered).view(dtype)


def low_words(field: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Lower 32 bits of the ordered integers of a float64 field."""
    return (order(field) & 0xFFFFFFFF).astype(np.uint32)


def with_low_words(field: NDArray[np.floating], low: NDArray[np.uint32]) -> NDArray[np.floating]:
    """Put the lower 32 bits of the ordered integers in, of a field that `OrderedDomain.from_fine` gave."""
    return disorder(order(field) & ~0xFFFFFFFF | low.reshape(field.shape).astype(np.int64), field.dtype)
