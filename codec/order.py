"""In which order the frames of a chunk are coded, and from which coded frames each may be predicted.

Stage of `pyramid`: frames -> **order** -> side -> coarse_to_fine. Spec: spec/pyramid.md, section 1.

Along one leading axis of the chunk, the *ordered* one (time, or level), frames are coded in dyadic order: 0, then
the odd multiples of the largest power of two below the length, of half of that, and so on:

    position   0   1   2   3   4   5   6   7   8
    stage      0   4   3   4   2   4   3   4   1

All frames of a stage, whatever their position on the other leading axes, are coded together, in groups of bounded
size. So any frame needs about as many others as the length has bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

GROUP = {1: 1 << 21, 2: 1 << 20}  # by version: pixels of frames coded together; bounds memory, and what one frame costs
MAX_REACH = 8


@dataclass(frozen=True)
class Group:
    """Frames that are coded together.

    Attributes
    ----------
    frames : NDArray[np.int64], shape (n,)
        Numbers of the frames, ascending.
    references : NDArray[np.int64], shape (n, reach)
        For each the frames it may be predicted from: the nearest before, the nearest after, the next before, the next
        after ...; the nearest before stands in for one that does not exist. No column in the first stage.
    distance : int
        From a frame to the nearest of its references, along the ordered axis; 0 in the first stage.
    """

    frames: Integers
    references: Integers
    distance: int = 0


@dataclass(frozen=True)
class Order:
    """The frames of a chunk as (outer, length, inner), ordered along the middle.

    Parameters
    ----------
    outer, length, inner : int
        Frame number (o * length + t) * inner + i stands at position t.
    reach : int
        Number of references, 0 to MAX_REACH, even.

    Raises
    ------
    ValueError
        If the reach is none.

    Examples
    --------
    >>> [group.frames.tolist() for group in Order(1, 6, 1, reach=2).groups(pixels=100)]
    [[0], [4], [2], [1, 3, 5]]
    >>> Order(1, 6, 1, reach=2).groups(pixels=100)[-1].references.tolist()
    [[0, 2], [2, 4], [4, 4]]
    """

    outer: int
    length: int
    inner: int
    reach: int

    def __post_init__(self) -> None:
        if not (0 <= self.reach <= MAX_REACH and self.reach % 2 == 0):
            raise ValueError(f"expected an even reach up to {MAX_REACH}, got {self.reach}")

    @classmethod
    def along(cls, axes: tuple[int, ...], axis: int | None, reach: int = 2) -> Order:
        """Order frames along one of the leading axes, of these lengths; None: all frames in the first stage."""
        if axis is None:
            return cls(math.prod(axes), 1, 1, 0)
        return cls(math.prod(axes[:axis]), axes[axis], math.prod(axes[axis + 1 :]), reach)

    def groups(self, pixels: int, version: int = 2) -> list[Group]:
        """All groups in the order of coding, for frames of so many pixels."""
        size = max(1, GROUP[version] // max(pixels, 1))
        out = self._stage(np.zeros(1, np.int64), 0, size)
        distance = (1 << (self.length - 1).bit_length()) // 2
        while distance:
            out += self._stage(np.arange(distance, self.length, 2 * distance), distance, size)
            distance //= 2
        return out

    def _stage(self, positions: Integers, distance: int, size: int) -> list[Group]:
        references = self._references(positions, distance)
        outer, inner = np.arange(self.outer)[:, None, None], np.arange(self.inner)[None, None, :]
        frames = ((outer * self.length + positions[None, :, None]) * self.inner + inner).reshape(-1)
        around = ((outer[..., None] * self.length + references[None, :, None, :]) * self.inner) + inner[..., None]
        around = around.reshape(frames.size, references.shape[1])
        return [
            Group(frames[start : start + size], around[start : start + size], distance)
            for start in range(0, frames.size, size)
        ]

    def _references(self, positions: Integers, distance: int) -> Integers:
        """Positions of the references: (positions, reach)."""
        if not distance:
            return np.empty((len(positions), 0), np.int64)
        steps = np.arange(1, self.reach, 2).repeat(2) * np.tile([-1, 1], self.reach // 2)
        around = positions[:, None] + distance * steps
        inside = (around >= 0) & (around < self.length)
        return np.where(inside, around, positions[:, None] - distance)


def needed(groups: list[Group], frames: Integers) -> list[Group]:
    """The groups that must be decoded for some frames, in the order of coding."""
    wanted, out = set(frames.tolist()), []
    for group in reversed(groups):
        if wanted.intersection(group.frames.tolist()):
            out.append(group)
            wanted.update(group.references.reshape(-1).tolist())
    return out[::-1]


def stages(groups: list[Group]) -> list[list[Group]]:
    """Groups, in the order of coding, in runs of which none waits for another."""
    return [list(run) for _, run in groupby(groups, key=lambda group: group.distance)]
