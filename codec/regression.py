"""How the encoder finds what helps: ordered axis, number of references, their weights, gains of static fields.

Stage of `pyramid`, of the encoder only: order -> **regression** -> side. All by least squares on detail, which is what
is left of a pixel after its interpolation from neighbours: only that has to be coded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.order import Group, Order
from adiabat.codec.side import LATTICES, WEIGHT_BITS, Decoded, Side, View, Weights
from adiabat.codec.target import Fine

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_] | None

REACHES = (2, 4, 8)
WORTH = 0.01  # bits a value that references must save to be used
WEIGHED = 0.3  # what is saved is estimated low, since detail is not all: so is the cost of weights
LEAST_SIDE = 8  # pixels of a lattice that is fitted
FIRST_TRUST = 112  # of 127; coarse lattices, which nothing is known of, follow their references nearly wholly
LEAST_TRUST = 4  # of 127; below, a lattice is coded without references
SAMPLE = 1 << 15  # pixels of a lattice that a fit looks at
SAMPLE_FRAMES = 6
LEAST_SAMPLE = 48
RIDGE = 1e-3
TAPS = ((1, 9 / 32), (3, -1 / 32))  # cubic interpolation along both axes, averaged


def detail(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each inner pixel less its interpolation from the pixels one and three away along both axes."""
    height, width = frames.shape[1:]
    out = frames[:, 3:-3, 3:-3].copy()
    for distance, weight in TAPS:
        for shift in (-distance, distance):
            out -= weight * frames[:, 3 + shift : height - 3 + shift, 3:-3]
            out -= weight * frames[:, 3:-3, 3 + shift : width - 3 + shift]
    return out


class Learner(Side):
    """The encoder's side: a lattice's weights are fitted to what is decoded, on the next coarser lattice.

    Fine detail follows the references as coarse detail does, nearly; and a second encoding, which decodes the same,
    finds the same weights. The coarsest lattices, which have nothing to be fitted to, take the nearest two in equal
    parts.

    Parameters
    ----------
    side : Side
    mask : NDArray[np.bool_] or None, shape (frames, y, x)
        Pixels of the group that are coded; None: all.
    """

    def __init__(self, side: Side, mask: Mask) -> None:
        super().__init__(side.decoded, side.marks, side.group, side.statics)
        self.mask = mask
        size = min(self.decoded.shape[1:])
        rows = sum(-(-size // (2 << row)) >= LEAST_SIDE for row in range(LATTICES - 1))
        values, trust = np.zeros((rows + 1, self.columns), np.int8), np.zeros(rows + 1, np.uint8)
        if self.references.shape[1]:
            values[-1, :2], trust[-1] = (1 << WEIGHT_BITS) // 2, FIRST_TRUST
        self.weights = Weights(values, trust)

    def view(self, spacing: int, known: Integers, threads: int = 1) -> View | None:
        """The references on the lattice of this spacing, weighted by what `known`, the coarser one, tells of them."""
        row = spacing.bit_length() - 1
        if row < len(self.weights.trust) - 1:
            self._fit(row, known)
        return super().view(spacing, known, threads)

    def _fit(self, row: int, known: Integers) -> None:
        valid = None if self.mask is None else self.mask[_lattice(2 << row)]
        samples = _details(known, valid, self.known(2 << row))
        values, trust = self.weights.values, self.weights.trust
        if samples is None:
            values[row], trust[row] = values[row + 1], trust[row + 1]
            return
        weight, explained = solve(samples)
        helps = 127 * explained >= LEAST_TRUST
        values[row], trust[row] = weight * helps, int(127 * explained) * helps


def choose(target: Fine | Decoded, valid: Mask, axes: tuple[int, ...], step: int) -> tuple[int | None, int]:
    """The leading axis along which neighbours explain a sample of frames best, and how many of them are worth having.

    Returns (None, 0) where they explain next to nothing, or less than their weights cost.
    """
    best = WORTH
    chosen: tuple[int | None, int] = (None, 0)
    for axis, length in enumerate(axes):
        for reach in REACHES:
            if length < 2 or reach > length:
                break
            order = Order.along(axes, axis, reach)
            groups = order.groups(target.shape[1] * target.shape[2])
            saved = _saved(target, valid, groups, step) - _cost(target.shape, len(groups), reach)
            if saved > best:
                best, chosen = saved, (axis, reach)
    return chosen


def _cost(shape: tuple[int, ...], groups: int, reach: int) -> float:
    """Bits a value that the weights of all groups take."""
    lattices = min(LATTICES, max(1, (min(shape[1:]) // LEAST_SIDE).bit_length()))
    return WEIGHED * 8 * groups * lattices * (reach + 1) / math.prod(shape)


def _saved(target: Fine | Decoded, valid: Mask, groups: Sequence[Group], step: int) -> float:
    """Bits a value that references save, by a sample of the last stage's frames."""
    last = [group for group in groups if group.distance == 1]
    frames = np.concatenate([group.frames for group in last])
    references = np.concatenate([group.references for group in last])
    some = np.linspace(0, len(frames) - 1, min(len(frames), SAMPLE_FRAMES)).astype(np.intp)
    rows = max(64, SAMPLE // target.shape[2])
    start = max(0, target.shape[1] - rows) // 2
    band = slice(start, start + rows)

    def pick(number: Integers) -> NDArray[np.float64]:
        part = np.asarray(target[number, band], np.float64)
        return part if valid is None else np.where(valid[number, band], part, np.nan)

    sample = pick(frames[some])
    noise = np.random.default_rng(0).uniform(-step / 2, step / 2, sample.shape[1:])
    known = [pick(numbers) + np.roll(noise, k, 1) for k, numbers in enumerate(references[some].T)]
    saved = 0.0
    for row in range(LATTICES):
        here = _lattice(1 << row)
        samples = _details(sample[here], None, [frames[here] for frames in known])
        if samples is None:
            break
        variance, floor = float(np.mean(samples[0] ** 2)), step**2 / 12
        left = variance * (1 - solve(samples)[1])
        saved += 0.75 / 4**row * 0.5 * math.log2((variance + floor) / (left + floor))
    return saved


def static_gains(target: Fine, valid: Mask, statics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fine units for a unit of each static field (statics, y, x), by its detail in a few frames; 0: it is of no use.

    Powers of two, so that a second encoding finds the same; the weights of each lattice do the rest.
    """
    some = np.linspace(0, len(target) - 1, min(len(target), SAMPLE_FRAMES)).astype(np.intp)
    frames, mask = target[some], None if valid is None else valid[some]
    known = [np.broadcast_to(static, frames.shape) for static in statics]
    best = np.zeros(len(statics))
    for row in range(LATTICES):
        here = _lattice(1 << row)
        samples = _details(frames[here], None if mask is None else mask[here], [static[here] for static in known])
        if samples is None:
            break
        y, x = samples[0], samples[1:]
        gains = np.linalg.lstsq(x.T, y, rcond=1e-6)[0]
        left = y - gains @ x
        if float(left @ left) < (1 - LEAST_TRUST / 127) * float(y @ y):
            best = np.where(np.abs(gains) > np.abs(best), gains, best)
    return np.asarray(np.sign(best) * 2.0 ** np.rint(np.log2(np.where(best == 0, 1, np.abs(best)))))


def solve(samples: NDArray[np.float64]) -> tuple[Integers, float]:
    """Regress the first row of (1 + references, samples) on the others: weights, and the share that they explain."""
    moments = np.einsum("ik,jk->ij", samples, samples)  # no BLAS: its threads would take the cores from ours
    normal, along, whole = moments[1:, 1:], moments[1:, 0], float(moments[0, 0])
    ridge = RIDGE * (np.trace(normal) / len(normal) + 1e-9) * np.eye(len(normal))
    weight = np.clip(np.rint(np.linalg.solve(normal + ridge, along) * (1 << WEIGHT_BITS)), -127, 127)
    left = samples[0] - np.einsum("k,kj->j", weight / (1 << WEIGHT_BITS), samples[1:])
    return weight.astype(np.int64), max(0.0, 1 - float(np.einsum("j,j->", left, left)) / whole) if whole > 0 else 0.0


def _lattice(spacing: int) -> tuple[slice, slice, slice]:
    """Where the pixels of a lattice stand in (frames, y, x)."""
    return slice(None), slice(None, None, spacing), slice(None, None, spacing)


def _details(target: NDArray[Any], valid: Mask, known: Sequence[NDArray[Any]]) -> NDArray[np.float64] | None:
    """Detail of a sample of a lattice, and of each reference on it: (1 + references, samples); None where few."""
    count, height, width = target.shape
    if min(height, width) < LEAST_SIDE:
        return None
    rows = max(8, min(height, SAMPLE // (count * width)))
    start = (height - rows) // 2
    band = slice(None, None, 1 + count * rows * width // (2 * SAMPLE)), slice(start, start + rows)
    first = detail(target[band].astype(np.float64) if valid is None else np.where(valid[band], target[band], np.nan))
    details = np.stack([first, *(detail(frames[band].astype(np.float64)) for frames in known)])
    samples = details[:, np.isfinite(details).all(0)]
    return samples if samples.shape[1] >= LEAST_SAMPLE * len(known) else None
