"""What a latent codec aims at: a root mean square error, or a ratio; and the search for the step that meets it.

Beside the latent codecs (`hyperprior`, `vq`). Spec: spec/hyperprior.md, section 6.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Point", "Target", "search"]

KINDS = ("rmse", "ratio")
CLOSE = 0.002  # a step is good enough where it meets the target to this share
TRIES = 14
SMALLEST, LARGEST = 1e-300, 1e38  # of a step, which streams hold as float32; an error may be infinite

Made = TypeVar("Made")
Tried = tuple[float, float]  # logarithms of a step and of what is left from it to the target


@dataclass(frozen=True)
class Target:
    """A target of one chunk.

    Parameters
    ----------
    kind : {"rmse", "ratio"}
        "rmse": at most this root mean square error, over the chunk, unweighted, in float64. "ratio": at most this
        share of bytes, of the array as float32 over all of the stream.
    size : float

    Examples
    --------
    >>> Target.parse({"ratio": 300}).config()
    {'ratio': 300.0}
    """

    kind: str
    size: float

    @classmethod
    def parse(cls, target: object) -> Target:
        """Check what a user gave; ValueError or TypeError saying what was expected and got."""
        wanted = 'expected target={"rmse": x} or {"ratio": r}'
        if not isinstance(target, Mapping) or len(target) != 1 or next(iter(target)) not in KINDS:
            raise ValueError(f"{wanted}, got {target!r}")
        kind, size = next(iter(target.items()))
        if isinstance(size, bool) or not isinstance(size, int | float):
            raise TypeError(f"{wanted} with a number, got {target!r}")
        if not 0 < size <= sys.float_info.max:  # an integer may be larger than any float
            raise ValueError(f"{wanted} with a finite number above zero, got {target!r}")
        return cls(kind, float(size))

    def config(self) -> dict[str, float]:
        """The target as JSON."""
        return {self.kind: self.size}

    def met(self, size: int, rmse: float, values: int) -> float:
        """How far a stream of so many bytes and this error is from the target: at most 1 where it is met."""
        if self.kind == "rmse":
            return rmse / self.size
        return size * self.size / (4 * values) if values else 0.0


@dataclass(frozen=True)
class Point(Generic[Made]):
    """One step tried: what was made with it, its bytes and its error."""

    step: float
    made: Made
    size: int
    rmse: float


def search(
    make: Callable[[float], Point[Made]], target: Target, values: int, *, start: float, finer: float = 0.0
) -> Point[Made] | None:
    """The coarsest step found that meets an error, or the finest that meets a ratio; None where none does.

    Secants on logarithms, inside a bracket once there is one: bytes and error are smooth in the step but for rounding.
    Ends within CLOSE of the target, or two bytes, if the tries suffice; real fields take four on average.

    Parameters
    ----------
    make : function of a step
    values : int
        Number of values that a ratio counts.
    start : float
        The first step to try.
    finer : float
        No step below it is tried.
    """
    usual = 0.7 if target.kind == "rmse" else -0.9  # an error grows with the step, bytes fall
    least, most = math.log(max(finer, SMALLEST)), math.log(LARGEST)
    good: Tried | None = None
    bad: Tried | None = None
    before: Tried | None = None
    best: Point[Made] | None = None
    at = min(math.log(max(start, finer)), most)
    for _ in range(TRIES):
        point = make(math.exp(at))
        left = math.log(min(max(target.met(point.size, point.rmse, values), 1e-30), LARGEST))
        if left <= 0:
            good, best = (at, left), point
            if left > -max(CLOSE, 2 / point.size if target.kind == "ratio" else 0.0):
                break
        else:
            bad = (at, left)
        following = _between(good, bad) if good and bad else at + _move((at, left), before, usual)
        following = min(max(following, least), most)
        flat = before is not None and left == before[1] and abs(at - before[0]) > 1  # coarser or finer is all the same
        if flat or abs(following - at) < 1e-5:
            break
        at, before = following, (at, left)
    return best


def _move(last: Tried, before: Tried | None, usual: float) -> float:
    """How far to go, as a logarithm, with all tries on one side: to the target by the slope between the last two."""
    slope = usual
    if before is not None and abs(last[0] - before[0]) > 1e-3:
        slope = (last[1] - before[1]) / (last[0] - before[0])
        slope = min(max(slope / usual, 0.4), 2.5) * usual
    return min(max((-CLOSE / 2 - last[1]) / slope, -3.0), 3.0)


def _between(good: Tried, bad: Tried) -> float:
    """The next step to try inside a bracket, as a logarithm."""
    share = (-CLOSE / 2 - good[1]) / (bad[1] - good[1])
    return good[0] + min(max(share, 0.03), 0.97) * (bad[0] - good[0])
