"""Which regions of a variable are looked at: whole frames spread over it, and windows through levels and times.

Stage: report, before anything is read. All of what is small; otherwise at most `VALUES` values in whole frames, and
windows beside them. Frames that are read cost the stored frames they are predicted from, windows no less, so that the
windows lie in few stored chunks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from adiabat.formats.report.axes import Axes

__all__ = ["VALUES", "Box", "choose_boxes"]

VALUES = 3_200_000  # in whole frames: three of 721 x 1440
SIDE = 96  # of a window
LEVELS, TIMES = 40, 48  # of windows through the others, at most
CHUNKS = 12  # that windows through levels lie in, at most
PLACES = (0.1, 0.9)

Region = tuple[slice, ...]


@dataclass(frozen=True)
class Box:
    """A region of a variable; whether it holds whole frames (or parts of frames too large), or windows of some."""

    region: Region
    whole: bool = True

    @property
    def values(self) -> int:
        """How many."""
        return math.prod(part.stop - part.start for part in self.region)

    @property
    def start(self) -> tuple[int, ...]:
        """Its first corner."""
        return tuple(part.start for part in self.region)


def choose_boxes(axes: Axes, chunks: Sequence[int] | None = None, *, values: int = VALUES) -> list[Box]:
    """Choose disjoint regions to look at, the middle of the variable first.

    Parameters
    ----------
    axes : Axes
    chunks : sequence of int, optional
        Of the store, along all axes.
    values : int
        In whole frames, at most.

    Returns
    -------
    list of Box

    Examples
    --------
    >>> boxes = choose_boxes(Axes((100, 721, 1440), (1, 2), 0, None))
    >>> [(box.region[0].start, box.region[0].stop) for box in boxes if box.whole]
    [(49, 51), (10, 11)]
    """
    shape = axes.shape
    if math.prod(shape) <= values:
        return [Box(tuple(slice(0, length) for length in shape))] if math.prod(shape) else []
    sizes = [1] * len(shape)
    for axis in axes.frame:
        sizes[axis] = shape[axis]
    cut = _cut(sizes, axes.frame, values // 3)
    room = max(1, values // math.prod(sizes))
    if axes.profile is not None and 4 * shape[axes.profile] <= room:
        sizes[axes.profile] = shape[axes.profile]
        room //= shape[axes.profile]
    along = _stretched(axes, sizes)
    many = room if along is None else min(room, shape[along])
    middle = many if along is None else max(min(2, many), many // 3)
    boxes = [_box(shape, sizes, along, middle, 0.5)]
    rest = [each for each in _halves(many - middle) if each] if along is not None or cut else []
    for place, length in zip(PLACES, rest if along is not None else [1, 1], strict=False):
        _add(boxes, _box(shape, sizes, along, length, place))
    own = tuple(chunks) if chunks is not None and len(chunks) == len(shape) else shape
    for window in (*_times(axes, boxes[0], own), *_levels(axes, boxes[0], own)):
        _add(boxes, window)
    return boxes


def _halves(count: int) -> tuple[int, int]:
    return count - count // 2, count // 2


def _stretched(axes: Axes, sizes: Sequence[int]) -> int | None:
    """The axis along which several neighbouring frames are taken."""
    if axes.time is not None:
        return axes.time
    rest = [axis for axis in axes.leading if sizes[axis] < axes.shape[axis]]
    return max(rest, key=lambda axis: axes.shape[axis], default=None)


def _cut(sizes: list[int], frame: Sequence[int], room: int) -> bool:
    """Shorten the axes of a frame that is too large; tell whether it was."""
    too_large = math.prod(sizes) > room
    while math.prod(sizes) > room:
        longest = max(frame, key=lambda axis: sizes[axis])
        sizes[longest] = math.ceil(sizes[longest] / 2)
    return too_large


def _box(shape: Sequence[int], sizes: Sequence[int], along: int | None, length: int, place: float) -> Box:
    own = [min(length, shape[axis]) if axis == along else size for axis, size in enumerate(sizes)]
    starts = [round(place * (whole - size)) for whole, size in zip(shape, own, strict=True)]
    return Box(tuple(slice(start, start + size) for start, size in zip(starts, own, strict=True)))


def _add(boxes: list[Box], box: Box) -> None:
    """Nothing is looked at twice."""
    if all(
        any(a.stop <= b.start or b.stop <= a.start for a, b in zip(box.region, other.region, strict=True))
        for other in boxes
    ):
        boxes.append(box)


def _window(axes: Axes, box: Box) -> list[slice]:
    """The middle of a box's frames."""
    region = list(box.region)
    for axis in axes.frame:
        middle = (region[axis].start + region[axis].stop) // 2
        start = max(region[axis].start, middle - SIDE // 2)
        region[axis] = slice(start, min(start + SIDE, region[axis].stop))
    return region


def _times(axes: Axes, box: Box, chunks: Sequence[int]) -> list[Box]:
    """A window that goes on in time where the box ends, or before it, in the stored chunk where it lies."""
    axis = axes.time
    if axis is None or box.region[axis].stop - box.region[axis].start >= TIMES // 2:
        return []
    part, region = box.region[axis], _window(axes, box)
    low = part.start // chunks[axis] * chunks[axis]
    high = min(low + chunks[axis], axes.shape[axis])
    if high - part.stop < part.start - low:
        region[axis] = slice(max(low, part.start - TIMES), part.start)
    else:
        region[axis] = slice(part.stop, min(high, part.stop + TIMES))
    for other in axes.leading:  # of levels in the box, one
        if other != axis:
            middle = (region[other].start + region[other].stop) // 2
            region[other] = slice(middle, middle + 1)
    return [Box(tuple(region), whole=False)] if region[axis].start < region[axis].stop else []


def _levels(axes: Axes, box: Box, chunks: Sequence[int]) -> list[Box]:
    """Windows at other levels, at the time at which the box begins."""
    axis = axes.profile
    if axis is None or box.region[axis].stop - box.region[axis].start > 1:
        return []
    region, length = _window(axes, box), axes.shape[axis]
    if axes.time is not None:
        region[axes.time] = slice(region[axes.time].start, region[axes.time].start + 1)
    most = max(2, min(LEVELS, CHUNKS * chunks[axis], length))
    found = sorted({round(number * (length - 1) / (most - 1)) for number in range(most)})
    return [
        Box(tuple(slice(at, at + 1) if k == axis else part for k, part in enumerate(region)), whole=False)
        for at in found
    ]
