"""How the elements of a chunk are channels and pixels, and how decoded spectra become values again.

Stage of `paths` before and after `spectral`. Spec: `spec/spectral.md`, "Channels and pixels".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.domain import Range, cast, clip

__all__ = ["Spectra", "finished"]

Scalar = TypeVar("Scalar", bound=np.generic)


@dataclass(frozen=True)
class Spectra:
    """How a chunk's elements are channels and pixels.

    Parameters
    ----------
    before, channels, behind : int
        Elements of the axes before the channels', along it, and behind it.
    columns : int
        Length of the last axis that is not the channels': pixels lie in rows of so many.

    Examples
    --------
    >>> Spectra.of((32, 256, 1028), -1)
    Spectra(before=8192, channels=1028, behind=1, columns=256)
    """

    before: int
    channels: int
    behind: int
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, ...], axis: int) -> Spectra:
        """Along this axis of an array's shape, negative from the end."""
        axis %= len(shape)
        others = shape[:axis] + shape[axis + 1 :]
        before, behind = (int(np.prod(part, dtype=np.int64)) for part in (shape[:axis], shape[axis + 1 :]))
        return cls(before, shape[axis], behind, others[-1] if others else 1)

    @property
    def image(self) -> tuple[int, int]:
        """Rows and columns of pixels."""
        return self.before * self.behind // max(1, self.columns), self.columns

    def pixels(self, frames: NDArray[Scalar]) -> NDArray[Scalar]:
        """Elements in any shape, in C order, as (channel, pixel)."""
        return np.moveaxis(frames.reshape(self.before, self.channels, self.behind), 1, 0).reshape(self.channels, -1)

    def restore(self, pixels: NDArray[Scalar]) -> NDArray[Scalar]:
        """Undo `pixels`, in C order."""
        return np.moveaxis(pixels.reshape(self.channels, self.before, self.behind), 0, 1)


def finished(
    x_hat: NDArray[np.float64], shape: tuple[int, ...], dtype: np.dtype[np.floating], limits: Range
) -> NDArray[np.floating]:
    """Decoded spectra as values (frame, y, x) of a native dtype, within the valid range."""
    return clip(cast(np.ascontiguousarray(x_hat).reshape(shape), dtype), limits)
