"""A bound in units of the instrument's noise: how far off each value may be, as the measurement itself says.

Stage: bound. The noise of each value reaches an encoder in a `ChunkContext`; a stream keeps as much of it as decoding
needs, which is how long steps are (`spectral_steps`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from adiabat.codec.bound_profile import Profile
from adiabat.codec.cached import cached_property
from adiabat.codec.exact_error import exceeds

__all__ = ["Noise"]


@dataclass(frozen=True, eq=False)
class Noise:
    """One standard deviation of every value of a chunk, and how many of them a value may be off.

    Parameters
    ----------
    times : float
        The bound, in standard deviations.
    sigma : NDArray[np.floating], shape (frame, y, x)
        Of the field, in its units. Where it is not above zero, or not finite, nobody knows: such values are kept
        exactly.

    Examples
    --------
    >>> noise = Noise.of(0.5, [2.0, np.nan], np.ones((3, 2)), axis=-1)
    >>> noise.limits[0].tolist(), int(noise.unknown.sum())
    ([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], 3)
    """

    times: float
    sigma: NDArray[np.floating]

    @classmethod
    def of(cls, times: float, sigma: ArrayLike, values: NDArray[np.floating], *, axis: int) -> Noise:
        """Spread noise over a chunk's values: one for each, or one for each index along the channels' axis.

        Raises
        ------
        ValueError
            If it fits neither.
        """
        array = np.asarray(sigma)
        if array.dtype.kind not in "fiu":
            raise TypeError(f"expected the noise as numbers, got {array.dtype}")
        along = values.shape[axis] if -values.ndim <= axis < values.ndim else None
        if array.ndim == 1 and values.ndim != 1 and array.size == along:
            place = [1] * values.ndim
            place[axis] = array.size
            array = array.reshape(place)
        elif array.shape != values.shape:
            raise ValueError(
                f"expected the noise of each value {values.shape}, or of each of the {along} channels along axis "
                f"{axis}, got shape {array.shape}"
            )
        from adiabat.codec.frames import frame_shape

        whole = np.broadcast_to(array.astype(np.float64, copy=False), values.shape)
        return cls(times, np.ascontiguousarray(whole).reshape(frame_shape(values.shape)))

    @cached_property
    def limits(self) -> NDArray[np.float64]:
        """How far off each value may be, in float64; 0 where nobody knows."""
        with np.errstate(over="ignore", invalid="ignore"):
            limits = self.times * self.sigma.astype(np.float64)
        return np.where(np.isfinite(limits) & (limits > 0), limits, 0.0)

    @property
    def unknown(self) -> NDArray[np.bool_]:
        """Where values must be kept exactly."""
        exact: NDArray[np.bool_] = self.limits == 0
        return exact

    def outside(self, field: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Where decoded values are off by more than they may; bit by bit where nobody knows how much that is."""
        outside = exceeds(values, field, self.limits)
        bits = f"u{field.dtype.itemsize}"
        outside |= self.unknown & (values.view(bits) != field.view(bits))
        return outside

    def profile(self, shape: tuple[int, ...], axis: int) -> Profile | None:
        """The smallest limit of each channel, for what knows no finer bound; None where there is no limit at all."""
        axis %= len(shape)
        known = np.where(self.limits > 0, self.limits, np.inf).reshape(shape)
        least = known.min(tuple(other for other in range(len(shape)) if other != axis))
        if not np.isfinite(least).any():
            return None
        return Profile.parse(np.where(np.isfinite(least), least, least.min()), axis)
