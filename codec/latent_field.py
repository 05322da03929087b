"""One chunk on its way through a latent codec: what is coded of it, and how far a decoding is from it.

Stage of the latent codecs: frames, mask, statics, holes -> **latent_field** -> transform. Spec: spec/hyperprior.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property
from adiabat.codec.domain import Range, cast, clip
from adiabat.codec.frames import Layout, find_wrap
from adiabat.codec.holes import fill_holes
from adiabat.codec.latent_statics import explained, fit_gains
from adiabat.codec.mask import Special, find_special
from adiabat.codec.statics import Static

__all__ = ["LatentField"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LatentField:
    """Frames, which of their pixels are ordinary, and their centre.

    Parameters
    ----------
    frames : NDArray[np.floating], shape (frames, y, x)
        In native byte order.
    layout : Layout
        Of the array they came from.
    fill_value : float or None
        Marks absent pixels.
    limits : tuple of two (float or None)
        Decoded values are clipped to them.
    wrap : bool or None
        None: seen from the data.
    statics : tuple of Static
        With their gains: what they explain is not coded.
    """

    frames: NDArray[np.floating]
    layout: Layout
    fill_value: float | None = None
    limits: Range = (None, None)
    wrap: bool | None = None
    statics: tuple[Static, ...] = ()

    def with_gains(self, statics: tuple[Static, ...]) -> LatentField:
        """The same, less what static fields explain of it."""
        return replace(self, statics=fit_gains(self.frames, self.valid, statics))

    @cached_property
    def explained(self) -> Floats:
        """What the static fields explain, shape (y, x)."""
        return explained(self.statics, (self.frames.shape[1], self.frames.shape[2]))

    @cached_property
    def special(self) -> Special | None:
        """Pixels that are no ordinary number, restored exactly."""
        return find_special(self.frames, *(() if self.fill_value is None else (self.fill_value,)))

    @cached_property
    def valid(self) -> NDArray[np.bool_] | None:
        """Where pixels are ordinary; None for all."""
        return None if self.special is None else self.special.valid

    @cached_property
    def values(self) -> Floats:
        """The ordinary values, flat."""
        flat = self.frames.reshape(-1) if self.valid is None else self.frames[self.valid]
        return flat.astype(np.float64)

    @cached_property
    def unexplained(self) -> Floats:
        """The ordinary values, less what static fields explain."""
        if not self.statics:
            return self.values
        frames = np.broadcast_to(self.explained, self.frames.shape)
        return self.values - (frames.reshape(-1) if self.valid is None else frames[self.valid])

    @cached_property
    def centre(self) -> float:
        """Their mean, as a float32; infinite where float32 has no number for it."""
        values = self.unexplained
        with np.errstate(over="ignore", under="ignore"):
            scale = float(np.abs(values).max(initial=0.0)) or 1.0
            return float(np.float32(np.mean(values / scale) * scale)) if values.size else 0.0

    @cached_property
    def spread(self) -> float:
        """Standard deviation about the centre."""
        return _root_mean_square(self.unexplained - self.centre)

    @cached_property
    def codable(self) -> bool:
        """Whether there is something that a transform can take: neither constant nor beyond float32."""
        finite = math.isfinite(self.centre) and math.isfinite(self.spread)
        return finite and 1e-30 < self.spread < 1e30 and self.values.size > 1

    @cached_property
    def anomaly(self) -> Floats:
        """Frames less the centre, with their holes filled."""
        frames = self.frames if self.valid is None else np.where(self.valid, self.frames, 0.0)
        off = frames.astype(np.float64) - self.explained - self.centre
        return off if self.valid is None else fill_holes(off, self.valid)

    @cached_property
    def wraps(self) -> bool:
        """Whether x closes on itself."""
        if self.wrap is not None:
            return self.wrap
        return find_wrap(self.anomaly, self.valid, 0.1 * self.spread)

    def finished(self, x_hat: Floats) -> NDArray[np.floating]:
        """What a reader gets: the chunk's dtype, in its limits, special pixels restored."""
        values = clip(cast(x_hat, self.frames.dtype), self.limits)
        return values if self.special is None else self.special.restore(values)

    def rmse(self, decoded: NDArray[np.floating]) -> float:
        """Root mean square error over the ordinary values, in float64."""
        flat = decoded.reshape(-1) if self.valid is None else decoded[self.valid]
        with np.errstate(over="ignore"):
            return _root_mean_square(flat.astype(np.float64) - self.values)


def _root_mean_square(values: Floats) -> float:
    """0 where there are none; in units of the largest, whose square may be beyond float64."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0.0 < largest < math.inf:  # a value that is beyond its dtype when decoded is infinitely far off
        return largest
    return largest * math.sqrt(float(np.mean((values / largest) ** 2)))
