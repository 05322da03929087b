"""Pairs of coarse and fine fields: random crops, coarse by block means, what was last in time kept apart.

First of four: **downscale_data** -> downscale_net -> downscale -> downscale_export.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import Conditions, Grain, conditions, roughness
from adiabat.formats.grain import grain
from adiabat.training.data import Fields

__all__ = ["CROP", "Pairs", "Records", "grain_of", "last_in_time", "pairs", "records", "scale_of"]

CROP = 64  # fine cells along a side
MULTIPLE = 8
HALVED = 0.3  # of the crops of large grids: from a field of half its resolution
FRAMES = 6  # along each axis, that a field's roughness is taken from
REACH = 12.0  # largest residual that is learnt, in local scales
NEXT = 0.5  # of the batches of stage 1: the next step, where fields follow one another
HIDDEN = (0.1, 0.5)  # of the cells, in the others

UNKNOWN = 0.3  # of the crops: their grain is not told

Floats = NDArray[np.float32]
Key = tuple[int, ...]
Crops = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Pairs:
    """A batch of one crop size and factor: `residual` is (fine - base) / sigma, (b, 1, H, W)."""

    conditions: Conditions
    residual: Floats


@dataclass(frozen=True)
class Records:
    """A batch of stage 1: inputs (b, channels, h, w), the mask of hidden cells last; wanted and weight (b, 1, h, w)."""

    inputs: Floats
    wanted: Floats
    weight: Floats


def last_in_time(fields: Sequence[Fields], *, kept: bool) -> list[Fields]:
    """The last quarter of each series of four frames and more (`kept`), or what is before it and a gap of an eighth.

    Shorter series are for training alone.
    """
    parts = []
    for each in fields:
        count = len(each.values)
        if count < 4:
            parts += [] if kept else [each]
            continue
        last = max(1, count // 4)
        part = each.values[count - last :] if kept else each.values[: count - last - max(1, count // 8)]
        parts.append(replace(each, values=part))
    return parts


def pairs(fields: Sequence[Fields], rng: np.random.Generator, *, batch: int, factors: Sequence[int]) -> Iterator[Pairs]:
    """Endless batches; fields are drawn by `Fields.weight`, those of a batch share one grid."""
    draw = _Draw(fields, rng)
    while True:
        factor = int(rng.choice(factors))
        fine, scales, grains = draw.crops(batch, factor)
        coarse = block_means(fine, factor)
        grains[rng.random(len(grains)) < UNKNOWN] = np.nan
        found = conditions(coarse, factor=factor, scale=scales[:, None, None], grain=grains)
        residual = np.clip((fine - found.base) / found.sigma, -REACH, REACH).astype(np.float32)
        yield Pairs(found, residual[:, None])


def records(
    fields: Sequence[Fields], rng: np.random.Generator, *, batch: int, factors: Sequence[int]
) -> Iterator[Records]:
    """Endless batches of the coarse record alone, for stage 1."""
    draw = _Draw(fields, rng)
    while True:
        factor = int(rng.choice(factors))
        following = draw.series and rng.random() < NEXT
        fine, scales, _ = draw.crops(batch, factor, frames=2 if following else 1)
        coarse = block_means(fine, factor)
        now = coarse[:, 0] if following else coarse
        found = conditions(now, factor=factor, scale=scales[:, None, None])
        inputs, wanted = found.coarse_inputs, found.coarse_inputs[:, :1].copy()
        if following:
            local = np.exp(2 * inputs[:, 1]) * scales[:, None, None]
            wanted = np.clip((coarse[:, 1] - now) / local, -REACH, REACH).astype(np.float32)[:, None]
            hidden = np.zeros_like(wanted)
            weight = np.ones_like(wanted)
        else:
            hidden = (rng.random(wanted.shape) < rng.uniform(*HIDDEN)).astype(np.float32)
            inputs = np.concatenate([inputs[:, :1] * (1 - hidden), inputs[:, 1:]], 1)
            weight = hidden
        yield Records(np.concatenate([inputs, hidden], 1), wanted, weight)


def scale_of(fields: Fields, level: int, factor: int, thin: int = 1) -> float:
    """Roughness of the coarse fields of a level, from a few frames; `thin`: of fine fields that are means already."""
    some = fields.values[:: max(1, len(fields.values) // FRAMES), level]
    return roughness(block_means(_trimmed(some, factor * thin), factor * thin))


def grain_of(frames: Floats, scale: float, thin: int = 1) -> Grain:
    """Grain of frames (..., y, x), or of their means; NaN where nothing tells it."""
    return grain(block_means(_trimmed(frames, thin), thin), scale) or (np.nan, np.nan)


def _trimmed(frames: Floats, factor: int) -> Floats:
    height, width = (side // factor * factor for side in frames.shape[-2:])
    return frames[..., :height, :width]


class _Draw:
    """Random crops of fields of one grid."""

    def __init__(self, fields: Sequence[Fields], rng: np.random.Generator) -> None:
        usable = [each for each in fields if _has_room(each.values[0, 0], _sides(each.grid))]
        if not usable:
            raise ValueError(
                f"expected fields with windows of {CROP} cells, or of all they have, without missing values"
            )
        grids: dict[tuple[int, ...], list[Fields]] = {}
        for each in usable:
            grids.setdefault(each.grid, []).append(each)
        self.rng, self.grids = rng, list(grids.values())
        self.odds = np.array([sum(each.weight for each in group) for group in self.grids])
        self.scales: dict[Key, float] = {}
        self.grains: dict[Key, Grain] = {}
        self.series = any(len(each.values) > 2 for each in usable)

    def crops(self, batch: int, factor: int, frames: int = 1) -> Crops:
        """Crops (b, H, W), or (b, frames, H, W) that follow one another; roughness and grain of what they are of."""
        odds = self.odds * [frames == 1 or any(len(each.values) > frames for each in group) for group in self.grids]
        group = self.grids[self.rng.choice(len(self.grids), p=odds / odds.sum())]
        group = [each for each in group if len(each.values) > frames or frames == 1]
        sides = _sides(group[0].grid)
        half = min(group[0].grid) >= 4 * CROP and self.rng.random() < HALVED
        weights = np.array([each.weight for each in group])
        count = max(2, batch * CROP * CROP // (sides[0] * sides[1]))
        made, scales, grains = [], [], []
        for chosen in self.rng.choice(len(group), count, p=weights / weights.sum()):
            fields = group[chosen]
            for _ in range(20):  # missing cells are left to others
                time = int(self.rng.integers(len(fields.values) - frames + 1))
                level = int(self.rng.integers(fields.values.shape[1]))
                crop = self._crop(fields.values[time : time + frames, level], sides, 2 if half else 1)
                if np.isfinite(crop).all():
                    made.append(self._turn(crop if frames > 1 else crop[0]))
                    scale, told = self._measure(fields, time, level, factor, 2 if half else 1)
                    scales.append(scale)
                    grains.append(told)
                    break
        if not made:
            return self.crops(batch, factor, frames)
        crops = np.stack(made)
        if self.rng.random() < 0.5 and crops.shape[-1] == crops.shape[-2]:
            crops = np.swapaxes(crops, -1, -2)
        return crops, np.array(scales), np.array(grains)

    def _measure(self, fields: Fields, time: int, level: int, factor: int, thin: int) -> tuple[float, Grain]:
        """Scale of a level, and grain of one of its frames."""
        key = id(fields), level, factor, thin
        if key not in self.scales:
            self.scales[key] = scale_of(fields, level, factor, thin)
        if (*key, time) not in self.grains:
            self.grains[*key, time] = grain_of(fields.values[time, level], self.scales[key], thin)
        return self.scales[key], self.grains[*key, time]

    def _crop(self, frames: Floats, sides: list[int], thin: int) -> NDArray[np.float64]:
        h, w = (thin * side for side in sides)
        y, x = (int(self.rng.integers(whole - side + 1)) for whole, side in zip(frames.shape[1:], (h, w), strict=True))
        return block_means(frames[:, y : y + h, x : x + w].astype(np.float64), thin)

    def _turn(self, crop: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in (-2, -1):
            if self.rng.random() < 0.5:
                crop = np.flip(crop, axis)
        return crop


def _sides(grid: tuple[int, ...]) -> list[int]:
    """Of the crops of a grid."""
    return [min(CROP, side // MULTIPLE * MULTIPLE) for side in grid]


def _has_room(frame: Floats, sides: list[int]) -> bool:
    """Whether some window of a frame has no missing value."""
    missing = np.pad(np.cumsum(np.cumsum(~np.isfinite(frame), 0), 1), ((1, 0), (1, 0)))
    h, w = sides
    inside = missing[h:, w:] - missing[:-h, w:] - missing[h:, :-w] + missing[:-h, :-w]
    return bool((inside == 0).any())
