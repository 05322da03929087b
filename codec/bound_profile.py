"""A bound for each index along one axis, and the domain that keeps it: every value in units of its own bound.

Used by `bound`; the axis is found again by every chunk. Spec: `spec/bounds.md`, "profile".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.domain import ABS_BITS, cast, choose_shave, shaved_unit
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import pack, shuffle, unpack, unshuffle

__all__ = ["Profile", "ProfileDomain"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Profile:
    """Absolute bounds along one axis: of pressure levels, or of the channels of a spectrum.

    Parameters
    ----------
    sizes : NDArray[np.float64], one axis
        One bound for each index, in the field's units.
    axis : int or None
        Of the chunk's array, negative from the end; None: the only axis of that length.
    inner : int
        Elements from one index to the next in row-major order; set by `on`.

    Examples
    --------
    >>> profile = Profile.parse([0.1, 0.2, 0.4])
    >>> profile.config()
    {'abs': [0.1, 0.2, 0.4]}
    >>> profile.on((2, 3, 5)).axis
    1
    """

    sizes: NDArray[np.float64]
    axis: int | None = None
    inner: int = 1

    @classmethod
    def parse(cls, sizes: object, axis: object = None) -> Profile:
        """Read a list or array of bounds and the axis they lie along; TypeError or ValueError where they are none."""
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int | np.integer)):
            raise TypeError(f"expected an integer for 'axis', got {axis!r}")
        try:
            array = np.array(sizes)
        except ValueError:
            raise ValueError(f"expected one list of bounds, got {sizes!r}") from None
        if array.size and array.dtype.kind not in "iuf":
            raise TypeError(f"expected numbers for the bounds along an axis, got {sizes!r}")
        with np.errstate(over="ignore", under="ignore"):
            wide = array.astype(np.float64)
        if array.ndim != 1 or not array.size or not (np.isfinite(wide) & (wide > 0)).all():
            raise ValueError(f"expected one list of positive finite bounds, got {sizes!r}")
        wide.flags.writeable = False
        return cls(wide, None if axis is None else int(axis))

    def config(self) -> dict[str, object]:
        """Return it as JSON, as a codec's bound."""
        return {"abs": self.sizes.tolist()} | ({} if self.axis is None else {"axis": self.axis})

    def on(self, shape: tuple[int, ...]) -> Profile:
        """Find the axis of an array's shape.

        Raises
        ------
        ValueError
            If no axis has as many indices as there are bounds, or several have and none is named.
        """
        count, rank, axis = len(self.sizes), len(shape), self.axis
        fit = [place for place, length in enumerate(shape) if length == count and axis in (None, place, place - rank)]
        if len(fit) != 1:
            wanted = f"one axis of length {count}" if axis is None else f"axis {axis} to have length {count}"
            advice = "name it: 'axis'" if fit else "the axis must be one chunk"
            raise ValueError(f"expected {wanted}, one for each bound, got a chunk of shape {shape}: {advice}")
        return replace(self, axis=fit[0], inner=math.prod(shape[fit[0] + 1 :]))

    def view(self, frames: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return frames of the chunk as (before, along, behind) the axis, a view."""
        return frames.reshape(-1, len(self.sizes), self.inner)

    def write(self) -> bytes:
        """Return section "bounds"."""
        return pack(shuffle(self.sizes))

    @classmethod
    def read(cls, data: bytes, shape: tuple[int, ...], axis: int) -> Profile:
        """Parse section "bounds" of a chunk of this shape; CorruptStreamError if it is none."""
        sizes = unshuffle(unpack(data, 8 * shape[axis]), np.dtype(np.float64))
        if not (np.isfinite(sizes) & (sizes > 0)).all():
            raise CorruptStreamError("expected positive finite bounds along the axis")
        return cls(sizes, axis).on(shape)


@dataclass(frozen=True, eq=False)
class ProfileDomain:
    """Multiples of a unit of each index along the profile's axis: 256 of them are one step.

    Parameters
    ----------
    profile : Profile
        On the chunk's shape.
    shave : int
        The unit is 2 * bound * (1 - 2**-shave) / 256.

    Examples
    --------
    >>> domain = ProfileDomain(Profile.parse([1.0, 2.0]).on((2, 1)), 1)
    >>> fine = domain.to_fine(np.array([[[3.0], [3.0]]]))
    >>> fine.tolist(), domain.from_fine(fine.astype(np.int64), np.dtype("f4")).tolist()
    ([[[768.0], [384.0]]], [[[3.0], [3.0]]])
    """

    profile: Profile
    shave: int
    step = 1 << ABS_BITS
    snap = 1

    @cached_property
    def units(self) -> NDArray[np.float64]:
        """Fine units along the axis, shape (n, 1)."""
        return shaved_unit(self.profile.sizes, self.shave)[:, None]

    @property
    def unit(self) -> float:
        """Their geometric mean: the unit that costs as many bits."""
        return float(np.exp(np.log(self.units).mean()))

    def to_fine(self, field: NDArray[np.floating]) -> NDArray[np.float64]:
        """Divide each value by its unit."""
        target: NDArray[np.float64] = np.divide(self.profile.view(field), self.units, dtype=np.float64)
        return target.reshape(field.shape)

    def from_fine(self, fine: NDArray[np.int64], dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        """Multiply by the units in float64, then round to the dtype."""
        with np.errstate(over="ignore"):
            values = np.multiply(self.profile.view(fine), self.units, dtype=np.float64)
        return cast(values.reshape(fine.shape), dtype)

    def parameters(self) -> tuple[str | float | int, ...]:
        """("profile", shave)."""
        return "profile", self.shave

    @classmethod
    def fit(
        cls, field: NDArray[np.floating], valid: NDArray[np.bool_] | None, profile: Profile
    ) -> ProfileDomain | None:
        """Choose the shave, one for all bounds; None where the dtype or the range is none for one of them."""
        values, where = profile.view(field), True if valid is None else profile.view(valid)
        high = values.max((0, 2), initial=0, where=where).astype(np.float64)
        low = values.min((0, 2), initial=0, where=where).astype(np.float64)
        shave = choose_shave(np.maximum(high, -low), profile.sizes, field.dtype)
        return None if shave is None else cls(profile, shave)
