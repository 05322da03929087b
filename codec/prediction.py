"""One lattice of some frames: its padded parts, and the prediction of a pass from them.

Stage of `pyramid`: lattice -> **prediction** (gather, network, settle) -> coarse_to_fine.  Spec: spec/pyramid.md,
sections 3 and 4.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.models import Model, Net
from adiabat.codec.side import View
from adiabat.codec.stencil import gather
from adiabat.codec.workers import share, workers

BLOCK = 8192  # targets a worker takes at a time: inputs and activations stay in its second-level cache
BAND = 1 << 16  # targets whose symbols are coded together, while workers predict those after them; part of the format
TAPER_BITS = 6
OUTPUT_BITS = 6  # fraction bits of the network's outputs

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Arithmetic:
    """What a walk needs beside the data: quantisation step, spacing of predictions, model, threads, what to keep.

    taper: for each spacing, finest first, its share of the step, in units of 2**-6; the last holds for all coarser.
    """

    step: int
    snap: int
    model: Model
    threads: int = 1
    keep: bool = False
    taper: tuple[int, ...] = ()

    def at(self, spacing: int) -> Arithmetic:
        """What holds on the lattice of this spacing: its step."""
        if not self.taper:
            return self
        share = self.taper[min(spacing.bit_length(), len(self.taper)) - 1]
        return replace(self, step=max(1, self.step * share >> TAPER_BITS), taper=())

    @property
    def steps(self) -> Integers:
        """The step of each spacing, by its logarithm."""
        return np.array([self.at(1 << p).step for p in range(32)])


@dataclass
class Kept:
    """What only training wants to see of a pass."""

    inputs: NDArray[np.uint8]  # (targets, inputs)
    scale: Integers
    octave: Integers


@numba.njit(nogil=True, cache=True)
def settle(network, base, scale, octave, snap, mean, context):  # type: ignore[no-untyped-def]
    """Predicted value and context of each target from the network's outputs (targets, 3)."""
    for t in range(base.size):
        offset = min(max(np.int64(network[t, 0]) >> OUTPUT_BITS, -lattice.OFFSET_LIMIT), lattice.OFFSET_LIMIT)
        value = base[t] + ((scale[t] * offset) >> lattice.OFFSET_BITS)
        value = (value + (snap >> 1)) & -snap
        mean[t] = min(max(value, -lattice.LIMIT), lattice.LIMIT)
        index = (((np.int64(network[t, 1]) >> OUTPUT_BITS) + 2 * octave[t]) >> 2) + entropy.SCALE_ONE
        shape = min(max(((np.int64(network[t, 2]) >> OUTPUT_BITS) + 16) >> 5, 0), entropy.SHAPES - 1)
        context[t] = min(max(index, 0), entropy.SCALE_TOP) * entropy.SHAPES + shape


@numba.njit(nogil=True, cache=True)
def rebuild(mean, symbol, step, values, symbols):  # type: ignore[no-untyped-def]
    """Decoded values and clipped symbols of a pass, both into (frames, rows, columns)."""
    target = 0
    for f in range(values.shape[0]):
        for i in range(values.shape[1]):
            for j in range(values.shape[2]):
                value = mean[target] + symbol[target] * step
                values[f, i, j] = min(max(value, -lattice.LIMIT), lattice.LIMIT)
                symbols[f, i, j] = min(max(symbol[target], -lattice.SYMBOL_LIMIT), lattice.SYMBOL_LIMIT)
                target += 1


class Level:
    """The lattice of one spacing: its parts C, D and A with their symbols, padded; with references, less their mean."""

    def __init__(
        self, shape: tuple[int, int, int], spacing: int, *, wrap: bool, view: View | None = None, threads: int = 1
    ) -> None:
        self.frames, height, width = shape
        self.threads = threads
        self.spacing, self.wrap, self.view = spacing, wrap and width % (2 * spacing) == 0, view
        self.height, self.width = -(-height // spacing), -(-width // spacing)
        self.rows, self.columns = (self.height + 1) // 2, (self.width + 1) // 2
        padded = (3, self.frames, self.rows + 2 * lattice.PAD, self.columns + 2 * lattice.PAD)
        self.values, self.symbols = np.empty(padded, np.int64), np.empty(padded, np.int16)
        if view is not None:
            self.mean, self.change, self.marks = (np.empty(padded, kind) for kind in (np.int64, np.int64, np.int16))

    def fill(self, part: int, values: Integers, symbols: NDArray[np.int16]) -> None:
        """Set a part; a part without a pixel reads as C."""
        row, column = lattice.PARITY[part]
        pairs: list[tuple[NDArray[Any], NDArray[Any]]] = [(values, self.values), (symbols, self.symbols)]
        if self.view is not None:
            here = slice(None), slice(row, None, 2), slice(column, None, 2)
            mean = self.view.mean[here]
            pairs = [(values - mean, self.values), (mean, self.mean), (self.view.change[here], self.change),
                     (self.view.marks[here], self.marks), (symbols, self.symbols)]  # fmt: skip
        if values.size == 0:
            for _, padded in pairs:
                padded[part] = padded[lattice.C]
            return
        rows = lattice.part_index(self.height, row, self.rows, wrap=False)
        columns = lattice.part_index(self.width, column, self.columns, wrap=self.wrap)
        tasks = [partial(lattice.pad, source, rows, columns, padded[part]) for source, padded in pairs]
        share(tasks, self.threads if values.size > BLOCK else 1)


class Prediction:
    """Mean and context of every target of a pass; flat over (frames, target rows, target columns).

    Attributes
    ----------
    mean : NDArray[np.int64], shape (targets,)
    context : NDArray[np.uint16], shape (targets,)
        Both filled band by band, see `bands`.
    region : int
        Which substitution of tables holds: 1 on the finest lattice, else 0.
    """

    def __init__(self, level: Level, number: int, arithmetic: Arithmetic) -> None:
        self.level, self.number, self.arithmetic = level, number, arithmetic
        self.rule = lattice.PASSES[number]
        self.net: Net = arithmetic.model.net(number, level.spacing, side=level.view is not None)
        self.inputs = self.rule.inputs if level.view is None else self.rule.side_inputs
        self.region = int(level.spacing == 1)
        self.height = (level.height - self.rule.row + 1) // 2
        self.width = (level.width - self.rule.column + 1) // 2
        self.count = level.frames * self.height * self.width
        self.mean, self.context = np.empty(self.count, np.int64), np.empty(self.count, np.uint16)
        self.kept: Kept | None = None
        if arithmetic.keep:
            scale, octave = np.empty((2, self.count), np.int64)
            self.kept = Kept(np.empty((self.count, self.inputs), np.uint8), scale, octave)

    def targets(self, frames: NDArray[Any]) -> NDArray[Any]:
        """Pick the pass's pixels of full-resolution frames, flat."""
        spacing = self.level.spacing
        return frames[:, ::spacing, ::spacing][:, self.rule.row :: 2, self.rule.column :: 2].reshape(-1)

    def known(self, at: Integers) -> Integers:
        """The references' mean at some of the targets; 0 without references."""
        view = self.level.view
        if view is None:
            return np.zeros(len(at), np.int64)
        return view.mean[:, self.rule.row :: 2, self.rule.column :: 2].reshape(-1)[at]

    def bands(self) -> Iterator[slice]:
        """Predict, and yield BAND targets after the other as soon as they are ready.

        This thread takes blocks as the workers do, until its next band is complete; they go on while it codes that.
        """
        blocks = deque(range(-(-self.count // BLOCK)))
        done = [threading.Event() for _ in blocks]
        pool, helpers = workers(self.arithmetic.threads), min(self.arithmetic.threads, len(blocks)) - 1
        running = [pool.submit(self._take, blocks, done) for _ in range(helpers)] if pool else []
        for start in range(0, self.count, BAND):
            stop = min(start + BAND, self.count)
            needed = done[start // BLOCK : -(-stop // BLOCK)]
            while blocks and not all(event.is_set() for event in needed):
                self._take(blocks, done, limit=1)
            for event in needed:
                event.wait()
            yield slice(start, stop)
        for future in running:
            if not future.cancel():  # a helper that never started, the pool being busy, is not waited for
                future.result()

    def _take(self, blocks: deque[int], done: list[threading.Event], limit: int = 1 << 62) -> None:
        """Predict blocks, the first that nobody has taken yet, until there are none or `limit` are done."""
        for _ in range(limit):
            try:
                number = blocks.popleft()
            except IndexError:
                return
            try:
                self._block(slice(number * BLOCK, min((number + 1) * BLOCK, self.count)))
            finally:
                done[number].set()

    def _block(self, part: slice) -> None:
        level, view, rule, size = self.level, self.level.view, self.rule, part.stop - part.start
        words = np.empty((size, self.inputs // lattice.LANES), np.int64)
        base, scale, octave = np.empty((3, size), np.int64)
        depth = lattice.LEVEL_STEP * min(level.spacing.bit_length() - 1, lattice.LEVEL_TOP)
        side = None if view is None else (
            level.mean, level.change, level.marks, view.mean, view.change, view.marks,
            rule.taps, rule.row, rule.column, view.trust, view.distance,
        )  # fmt: skip
        gather(
            level.values, level.symbols, side, rule.table, self.net.linear, self.arithmetic.step, depth,
            self.height, self.width, part.start, part.stop, words, base, scale, octave,
        )  # fmt: skip
        inputs = words.astype("<i8", copy=False).view(np.uint8)
        network = self.net.runner()(inputs)
        settle(network, base, scale, octave, self.arithmetic.snap, self.mean[part], self.context[part])
        if self.kept is not None:
            self.kept.inputs[part], self.kept.scale[part], self.kept.octave[part] = inputs, scale, octave
