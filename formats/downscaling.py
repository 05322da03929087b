"""The fine field of a coarse one: its expected value, or samples, of any region, as the networks give it.

Stage: block_means, conditions, noise_field -> sampler -> stitching -> **downscaling** -> generated, generated_view.

    coarse --conditions--> base, sigma, inputs --networks--> m, s
    noise  --sampler-----> d     base + sigma m + gains(sigma s d) --approach, project--> fine

A field is laid out in fixed tiles, each sampled with a halo; a region is blended from those that have a share of it,
so that it equals the same part of the whole.
Spec: spec/generated.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.block_means import approach, project, repeat
from adiabat.formats.conditions import Grain
from adiabat.formats.noise_field import noise
from adiabat.formats.octave_gains import Gains, shaped
from adiabat.formats.sampler import sample
from adiabat.formats.stitching import Tile, fuse, tiles
from adiabat.formats.tile_inputs import Networks, Prepared, prepare

__all__ = ["Downscaling", "Draw", "Settings"]

Fine = NDArray[np.float64]
Floats = NDArray[np.float32]
Region = tuple[slice, slice]

LEAST = 4  # coarse cells along a side of a field


@dataclass(frozen=True)
class Settings:
    """What decides the fine field of a variable, besides the networks.

    Attributes
    ----------
    factor : int
        Fine cells along a side of a coarse one.
    scale : float
        The `roughness` of the whole variable.
    seed : int
    steps : int
        Evaluations of the network for a sample.
    wrap : bool
        Whether the last column lies beside the first.
    non_negative : bool
    persistence : int, optional
        Of the noise, see `noise_field.noise`.
    grain : tuple of two float, optional
        Of the variable on its fine grid, see `grain.grain`; None where nobody knows.
    gains : tuple of two float, optional
        Of what samples add to the mean, see `octave_gains`.
    """

    factor: int
    scale: float
    seed: int = 0
    steps: int = 20
    wrap: bool = False
    non_negative: bool = False
    persistence: int | None = 0
    grain: Grain | None = None
    gains: Gains | None = None

    def __post_init__(self) -> None:
        if self.factor < 2 or self.steps < 1:
            raise ValueError(f"expected a factor from 2 and steps from 1, got {self.factor} and {self.steps}")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ValueError(f"expected a finite scale above 0, got {self.scale}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"expected a seed from 0 to 2**64 - 1, got {self.seed}")
        if self.persistence is not None and self.persistence < 0:
            raise ValueError(f"expected a persistence of 0 or more frames, or None, got {self.persistence}")


@dataclass(frozen=True)
class Draw:
    """Which sample: a member of the ensemble, a time and, where there are levels or the like, one of the stack."""

    member: int = 0
    time_index: int = 0
    stack: int = 0


class Downscaling:
    """The fine field of one coarse field.

    Parameters
    ----------
    coarse : NDArray, shape (h, w)
        Cells that are not finite are handed on as whole blocks.
    model : Networks
    settings : Settings
    patch, stride : int, optional
        Evaluate tiles in patches of so many fine cells, so many apart (half a patch if not given): for networks that
        take no larger ones, or to spare memory.

    Raises
    ------
    ValueError
        If the model does not know the factor, the field is too small, or patches do not fit the model.

    Examples
    --------
    >>> from adiabat.formats.conditions import roughness
    >>> class Flat:  # stands for a trained model: m = 0, s = 1, white noise
    ...     factors, multiple = (4,), 8
    ...     features = staticmethod(lambda coarse: coarse)
    ...     mean = staticmethod(lambda features, fine: 0 * fine)
    ...     velocity = staticmethod(lambda x, t, features, fine, mean: 0 * x)
    >>> coarse = np.add.outer(np.arange(10.0), np.arange(12.0))
    >>> fine = Downscaling(coarse, model=Flat(), settings=Settings(4, roughness(coarse), seed=7))
    >>> fine.shape, fine.sample((slice(0, 8), slice(10, 30))).shape
    ((40, 48), (8, 20))
    """

    def __init__(
        self,
        coarse: NDArray[Any],
        *,
        model: Networks,
        settings: Settings,
        patch: int | None = None,
        stride: int | None = None,
    ) -> None:
        height, width = coarse.shape
        factor = settings.factor
        self.unit = math.lcm(factor, model.multiple)
        if factor not in model.factors:
            raise ValueError(f"expected a factor of {', '.join(map(str, model.factors))} for this model, got {factor}")
        if min(height, width) < LEAST:
            raise ValueError(f"expected at least {LEAST} x {LEAST} coarse cells, got {height} x {width}")
        if patch is not None and (patch % self.unit or (stride or patch) % self.unit):
            raise ValueError(f"expected patches and strides of multiples of {self.unit}, got {patch} and {stride}")
        self.coarse, self.model, self.settings = np.asarray(coarse, np.float64), model, settings
        self.patch = None if patch is None else (patch, stride or max(self.unit, patch // 2 // self.unit * self.unit))
        self.shape = (height * factor, width * factor)
        self.down, self.across = tiles(self.shape[0]), tiles(self.shape[1], wrap=settings.wrap)
        self._prepared = lru_cache(maxsize=4)(self._prepare)
        self._tile = lru_cache(maxsize=2 * len(self.across) + 2)(self._generate)  # regions in rows share tiles

    def mean(self, region: Region) -> Floats:
        """The expected field.

        Parameters
        ----------
        region : tuple of slice
            Fine rows and columns; start and stop within the field, step 1.

        Returns
        -------
        NDArray[np.float32], shape of the region
            Its block means are the coarse values.
        """
        return self._region(region, None)

    def sample(self, region: Region, member: int = 0, time_index: int = 0, stack: int = 0) -> Floats:
        """A sample of the field: for the same seed, member, time and place of a stack always the same.

        Parameters
        ----------
        region : tuple of slice
            As of `mean`.
        member, time_index, stack : int
            As of `noise_field.noise`.

        Returns
        -------
        NDArray[np.float32], shape of the region
            Its block means are the coarse values.
        """
        return self._region(region, Draw(member, time_index, stack))

    def _region(self, region: Region, draw: Draw | None) -> Floats:
        """Blend the tiles that have a share of a region, in whole blocks, and finish."""
        factor = self.settings.factor
        cells = [part.indices(size) for part, size in zip(region, self.shape, strict=True)]
        if any(step != 1 for _, _, step in cells):
            raise ValueError(f"expected a region without steps, got {region}")
        if any(stop <= start for start, stop, _ in cells):
            return np.empty([max(0, stop - start) for start, stop, _ in cells], np.float32)
        rows, columns = (slice(start // factor, -(-stop // factor)) for start, stop, _ in cells)
        blocks = tuple(slice(part.start * factor, part.stop * factor) for part in (rows, columns))
        fine = self._finish(self._blend(blocks[0], blocks[1], draw), (rows, columns))
        inner = tuple(slice(c[0] - b.start, c[1] - b.start) for c, b in zip(cells, blocks, strict=True))
        return fine[inner]

    def _blend(self, rows: slice, columns: slice, draw: Draw | None) -> Fine:
        found = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
        turn = self.shape[1]
        for i, down in enumerate(self.down):
            inside = _shared(down, rows, 0)
            for j, across in enumerate(self.across) if inside else ():
                for shift in (-turn, 0, turn) if self.settings.wrap else (0,):
                    beside = _shared(across, columns, shift)
                    if inside and beside:
                        weights = down.weights[inside[1], None] * across.weights[beside[1]]
                        found[inside[0], beside[0]] += weights * self._tile(i, j, draw)[inside[1], beside[1]]
        return found

    def _finish(self, fine: Fine, blocks: Region) -> Floats:
        """Project onto the coarse field; blocks that have no value there, or one below zero, are flat."""
        coarse = self.coarse[blocks]
        good = np.isfinite(coarse)
        if self.settings.non_negative:
            good &= coarse >= 0
        factor = self.settings.factor
        whole = np.where(good, coarse, 0.0)
        kept = np.where(repeat(good, factor), fine, 0.0)
        moved = project(kept, whole, factor, non_negative=self.settings.non_negative)
        return np.where(repeat(good, factor), moved, repeat(coarse, factor)).astype(np.float32)

    def _generate(self, i: int, j: int, draw: Draw | None) -> Fine:
        """One tile of the field, before projection; zeros where the coarse field has nothing at all."""
        down, across = self.down[i], self.across[j]
        ready = self._prepared(i, j)
        inner = tuple(slice(part.start - part.first, part.stop - part.first) for part in (down, across))
        if ready is None:
            return np.zeros((down.stop - down.start, across.stop - across.start))
        fine = np.asarray(ready.base + ready.sigma * ready.mean[0, 0])
        if draw is not None:
            fine = fine + shaped(ready.sigma * self._draw(ready, draw), self.settings.gains)
        return approach(fine, ready.coarse, self.settings.factor)[inner]  # projected alone, blocks would show

    def _draw(self, ready: Prepared, draw: Draw) -> Floats:
        """S d of one tile with its halo."""
        settings = self.settings
        drawn = noise(
            settings.seed,
            draw.member,
            draw.time_index,
            ready.rows,
            ready.columns,
            wrap=self.shape[1] if settings.wrap else None,
            persistence=settings.persistence,
            stack=draw.stack,
        )
        d = self._solve(ready, drawn.astype(np.float32)[None, None])
        return np.asarray(np.exp(ready.mean[0, 1]) * d)

    def _solve(self, ready: Prepared, drawn: Floats) -> Floats:
        """Turn noise to a sample of d: (1, 1, H, W) -> (H, W)."""
        d = sample(lambda x, t: self._velocity(ready, x, t), drawn, self.settings.steps)
        return np.asarray(d[0, 0])

    def _velocity(self, ready: Prepared, x: Floats, t: float) -> Floats:
        """Evaluate the network on a tile, or on its patches."""
        inputs, factor, when = ready.fine_inputs[None], self.settings.factor, np.full(1, t, np.float32)

        def on(rows: slice, columns: slice) -> Floats:
            down, across = (slice(part.start // factor, part.stop // factor) for part in (rows, columns))
            near = (slice(None), slice(None), rows, columns)
            features = ready.features[:, :, down, across]
            return self.model.velocity(x[near], when, features, inputs[near], ready.mean[near])

        height, width = x.shape[-2:]
        if self.patch is None:
            return on(slice(0, height), slice(0, width))
        return fuse(on, (height, width), *self.patch)

    def _prepare(self, i: int, j: int) -> Prepared | None:
        settings = self.settings
        return prepare(
            self.coarse,
            (self.down[i], self.across[j]),
            model=self.model,
            factor=settings.factor,
            scale=settings.scale,
            grain=settings.grain,
            wrap=settings.wrap,
        )


def _shared(tile: Tile, region: slice, shift: int) -> tuple[slice, slice] | None:
    """The part of a region that a tile, moved by a turn of the field, has a share of: within the one and the other."""
    start, stop = max(tile.start + shift, region.start), min(tile.stop + shift, region.stop)
    if start >= stop:
        return None
    begin = tile.start + shift
    return slice(start - region.start, stop - region.start), slice(start - begin, stop - begin)
