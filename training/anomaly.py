"""What CP factors model: values, perhaps their logarithm, less a climatology and an offset a day, over one scale.

Stage: values -> **anomaly** -> cp_als -> formats.low_rank. `remove` and `restore` are inverse up to rounding for every
finite value. What is kept to restore with lies in the store (spec/low_rank.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Transform = Literal["none", "log"]
Index = Sequence[Any]

FLOOR = 0.25  # of the median of positive values: below, the logarithm goes on as its tangent
TURNS = 5  # base and offset are means over each other's leftovers
SHRINK = 2.0  # observations' worth of zero in each offset: a day of one pixel does not move all others


@dataclass(frozen=True)
class Anomaly:
    """What is removed before a fit and restored after it.

    Parameters
    ----------
    transform : "none" or "log"
        ``log`` takes ``log(values / floor)`` from `floor` upwards and its tangent ``values / floor - 1`` below, so zero
        and negative values, which noisy retrievals have, are modelled and come back.
    base : float32 (n1, ..., nk)
        Climatology: the mean over the first axis, transformed; the mean of all where nothing was observed.
    scale : float
        Standard deviation of what is left on observed cells; 1 where they are all equal.
    offset : float32 (n0,), optional
        What is common to all cells at one index of the first axis (a day), transformed.
    floor : float
        In the values' units; unused without ``log``.
    """

    transform: Transform
    base: NDArray[np.float32]
    scale: float
    offset: NDArray[np.float32] | None = None
    floor: float = 1.0

    def __post_init__(self) -> None:
        if self.transform not in ("none", "log"):
            raise ValueError(f"expected transform 'none' or 'log', got {self.transform!r}")
        for name, number in (("scale", self.scale), ("floor", self.floor)):
            if not (math.isfinite(number) and number > 0):
                raise ValueError(f"expected a {name} above 0, got {number}")
        if not np.isfinite(self.base).all() or not (self.offset is None or np.isfinite(self.offset).all()):
            raise ValueError("expected a finite base and offset, got NaN or infinity among them")

    @classmethod
    def of(
        cls,
        values: NDArray[Any],
        observed: NDArray[np.bool_] | None = None,
        *,
        transform: Transform = "none",
        offset: bool = False,
        floor: float | None = None,
    ) -> Anomaly:
        """Learn base, offset and scale from the observed cells.

        Parameters
        ----------
        values : (n0, n1, ..., nk)
            In any unit; what lies where nothing was observed is ignored.
        observed : bool, same shape, optional
            By default the finite cells.
        transform, floor
            As above; the default floor is a quarter of the median of the positive values.
        offset : bool
            Whether each index of the first axis has an offset.

        Raises
        ------
        ValueError
            If nothing was observed, or no observed value is positive under ``log``.
        """
        observed = _observed(values, observed)
        if transform == "log":
            floor = _floor(values, observed) if floor is None else floor
        plain = cls(transform, np.zeros(values.shape[1:], np.float32), 1.0, None, floor or 1.0)
        base, offsets = _means(plain, values, observed, offset)
        centred = cls(transform, base, 1.0, offsets, plain.floor)
        return cls(transform, base, _scale(centred, values, observed), offsets, plain.floor)

    def remove(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values (n0, n1, ..., nk) as anomalies of standard deviation about 1; NaN stays NaN."""
        out = np.empty(values.shape, np.float32)
        for day, value in enumerate(values):
            left = self._forward(value) - self.base
            out[day] = (left if self.offset is None else left - float(self.offset[day])) / self.scale
        return out

    def restore(self, anomalies: NDArray[Any], index: Index | None = None) -> NDArray[np.float32]:
        """Anomalies as values.

        Parameters
        ----------
        anomalies : (n0, n1, ..., nk), or the part of it that `index` selects
        index : a slice or integer array for each axis, optional
            Selected independently along each axis, as in ``numpy.ix_``.
        """
        base, offset = self.base, self.offset
        if index is not None:
            for axis, part in enumerate(index[1:]):
                base = base[(slice(None),) * axis + (part,)]
            offset = None if offset is None else offset[index[0]]
        out = np.empty(anomalies.shape, np.float32)
        for day, anomaly in enumerate(anomalies):
            shift = base if offset is None else base + np.float64(offset[day])
            out[day] = self.backward(np.asarray(anomaly, np.float64) * self.scale + shift)
        return out

    def _forward(self, values: NDArray[Any]) -> NDArray[np.float64]:
        x = np.asarray(values, np.float64)
        if self.transform == "none":
            return x
        over = x / self.floor
        return np.asarray(np.where(over < 1, over - 1, np.log(np.maximum(over, 1))))

    def backward(self, transformed: NDArray[np.float64]) -> NDArray[np.float64]:
        """Undo the transform alone."""
        if self.transform == "none":
            return transformed
        grown = np.exp(np.maximum(transformed, 0))
        return np.asarray(self.floor * np.where(transformed < 0, 1 + transformed, grown))


def _observed(values: NDArray[Any], observed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Cells observed and finite."""
    if values.ndim < 2:
        raise ValueError(f"expected an array of at least 2 axes, got {values.ndim}")
    if observed is None:
        observed = np.isfinite(values)
    elif observed.shape != values.shape or observed.dtype != bool:
        raise ValueError(f"expected a bool mask of shape {values.shape}, got {observed.dtype} of {observed.shape}")
    else:
        observed = observed & np.isfinite(values)
    if not observed.any():
        raise ValueError("expected observed cells, got none that are finite")
    return observed


def _floor(values: NDArray[Any], observed: NDArray[np.bool_]) -> float:
    seen = values[observed]
    seen = seen[seen > 0]
    if not seen.size:
        raise ValueError("expected positive values for transform 'log', got none")
    return FLOOR * float(np.median(seen))


def _means(
    plain: Anomaly, values: NDArray[Any], observed: NDArray[np.bool_], offset: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Climatology, and offsets if asked: each the mean of what the other leaves."""
    counts, offsets = observed.sum(0), np.zeros(len(values))
    base = np.zeros(values.shape[1:])
    for _ in range(TURNS if offset else 1):
        total = np.zeros(values.shape[1:])
        for day, (value, seen) in enumerate(zip(values, observed, strict=True)):
            total += np.where(seen, plain._forward(value) - offsets[day], 0)
        base = np.divide(total, counts, out=np.zeros(total.shape), where=counts > 0)
        base[counts == 0] = float(total.sum() / counts.sum())
        if offset:
            for day, (value, seen) in enumerate(zip(values, observed, strict=True)):
                left = np.where(seen, plain._forward(value) - base, 0)
                offsets[day] = float(left.sum() / (seen.sum() + SHRINK))
    return base.astype(np.float32), offsets.astype(np.float32) if offset else None


def _scale(centred: Anomaly, values: NDArray[Any], observed: NDArray[np.bool_]) -> float:
    total, count = 0.0, int(observed.sum())
    for day, seen in enumerate(observed):
        left = centred._forward(values[day][seen]) - centred.base[seen]
        left -= 0.0 if centred.offset is None else float(centred.offset[day])
        total += float(left @ left)
    scale = math.sqrt(total / count)
    return scale if scale > 1e-6 * float(np.abs(centred.base).max(initial=0)) else 1.0
