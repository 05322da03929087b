"""Texture for a bounded reconstruction: what its codec smoothed away is made up again, within a bound.

Stage: beside downscaling. The reconstruction is taken for a sample that noise of the size of its error hides: noise of
that size, and a little more, is added, and taken away by the denoiser (Meng et al. 2021, arXiv 2108.01073). The result
is clipped to within the bound of the reconstruction: coded at half a bound, it keeps the whole.
Spec: spec/generated.md, "Texture".
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.downscaling import Downscaling, Region, Settings
from adiabat.formats.sampler import begin, sample
from adiabat.formats.tile_inputs import Networks, Prepared

__all__ = ["Texture", "starting_time"]

SPREAD = 0.3  # of a typical d, in units of the variable's roughness
LIMIT = 6.0  # of a d that the reconstruction tells
GAIN = 1.1  # of the noise: the variance that a codec smoothed away is missing from the d that it tells
LATEST = 0.9  # after this time hardly anything of the reconstruction would be left


def starting_time(bound: float, scale: float) -> float:
    """Return the time at which noise is to data what the error of a reconstruction is to its texture.

    Parameters
    ----------
    bound : float
        Of the reconstruction; errors are thought to be spread evenly within.
    scale : float
        The `roughness` of the variable's block means.

    Examples
    --------
    >>> round(starting_time(0.1, 1.0), 3), starting_time(100.0, 1.0)
    (0.121, 0.9)
    """
    return min(LATEST, 2 / math.pi * math.atan(bound / math.sqrt(3) / (SPREAD * scale)))


class Texture(Downscaling):
    """A bounded reconstruction with texture.

    Parameters
    ----------
    x_hat : NDArray of float, shape (H, W)
        Cells that are not finite stay as they are.
    model : Networks
    settings : Settings
        Scale: the `roughness` of the variable's block means. A field whose columns are no multiple of the factor is
        not made to go round.
    bound : float
        Above zero: of the reconstruction, and of how far the result may lie from it. So the result lies within twice
        the bound of what was compressed.
    start : float, optional
        Time from which noise is taken away; `starting_time` if not given.

    Examples
    --------
    >>> from adiabat.formats.conditions import roughness
    >>> class Flat:  # stands for a trained model: m = 0, s = 1, white noise
    ...     factors, multiple = (4,), 8
    ...     features = staticmethod(lambda coarse: coarse)
    ...     mean = staticmethod(lambda features, fine: 0 * fine)
    ...     velocity = staticmethod(lambda x, t, features, fine, mean: 0 * x)
    >>> x_hat = np.add.outer(np.arange(30.0), np.arange(41.0)).astype(np.float32)
    >>> texture = Texture(x_hat, model=Flat(), settings=Settings(4, 4.0, seed=7), bound=0.25)
    >>> y = texture.sample((slice(0, 30), slice(0, 41)))
    >>> bool(0 < np.abs(y - x_hat).max() <= 0.25)
    True
    """

    def __init__(
        self,
        x_hat: NDArray[Any],
        *,
        model: Networks,
        settings: Settings,
        bound: float,
        start: float | None = None,
    ) -> None:
        if not (math.isfinite(bound) and bound > 0):
            raise ValueError(f"expected a finite bound above 0, got {bound}")
        if x_hat.dtype.kind != "f":
            raise ValueError(f"expected a reconstruction of floats, got {x_hat.dtype}")
        factor = settings.factor
        settings = replace(settings, wrap=settings.wrap and x_hat.shape[1] % factor == 0)
        beyond = [(0, -size % factor) for size in x_hat.shape]
        self.x_hat, self.bound = np.pad(x_hat.astype(x_hat.dtype.newbyteorder("=")), beyond, mode="edge"), bound
        super().__init__(_finite_means(self.x_hat, factor), model=model, settings=settings)
        self.start = starting_time(bound, settings.scale) if start is None else start
        self.shape = (x_hat.shape[0], x_hat.shape[1])

    def mean(self, region: Region) -> NDArray[Any]:
        """Return the reconstruction itself, which is the best guess: texture makes errors larger."""
        return self.x_hat[: self.shape[0], : self.shape[1]][region]

    def _solve(self, ready: Prepared, drawn: NDArray[np.float32]) -> NDArray[np.float32]:
        """Begin from what the reconstruction tells of d."""
        rows = np.minimum(np.arange(ready.rows.start, ready.rows.stop), self.x_hat.shape[0] - 1)
        columns = np.arange(ready.columns.start, ready.columns.stop)
        columns = columns % self.shape[1] if self.settings.wrap else np.minimum(columns, self.x_hat.shape[1] - 1)
        rest = (self.x_hat[np.ix_(rows, columns)] - ready.base) / ready.sigma
        told = np.clip((rest - ready.mean[0, 0]) / np.exp(ready.mean[0, 1]), -LIMIT, LIMIT)
        told = np.where(np.isfinite(told), told, 0)[None, None]
        state = begin(told, GAIN * drawn, self.start).astype(np.float32)
        found = sample(lambda x, t: self._velocity(ready, x, t), state, self.settings.steps, start=self.start)
        return np.asarray(found[0, 0])

    def _finish(self, fine: NDArray[np.float64], blocks: Region) -> NDArray[Any]:
        """Clip to the bound, rounding towards the reconstruction."""
        factor = self.settings.factor
        x_hat = self.x_hat[tuple(slice(part.start * factor, part.stop * factor) for part in blocks)]
        wide = x_hat.astype(np.float64)
        low = np.nextafter((wide - self.bound).astype(x_hat.dtype), np.inf, dtype=x_hat.dtype)
        high = np.nextafter((wide + self.bound).astype(x_hat.dtype), -np.inf, dtype=x_hat.dtype)
        if self.settings.non_negative:
            low = np.maximum(low, 0)
        low, high = np.minimum(low, x_hat), np.maximum(high, x_hat)
        told = np.isfinite(x_hat) & np.isfinite(fine)
        return np.asarray(np.where(told, np.clip(fine.astype(x_hat.dtype), low, high), x_hat))


def _finite_means(x_hat: NDArray[Any], factor: int) -> NDArray[np.float64]:
    """Block means of what is finite; NaN where nothing is."""
    height, width = x_hat.shape
    blocks = x_hat.astype(np.float64).reshape(height // factor, factor, width // factor, factor)
    good = np.isfinite(blocks)
    count = good.sum((1, 3))
    total = np.where(good, blocks, 0).sum((1, 3))
    return np.asarray(np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0))
