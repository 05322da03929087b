"""The walk from the coarsest scale level to the field, the same for encoder and decoder.

Stage of `hyperprior`: subband -> **subband_walk** (gather, network, settle, code, rebuild) -> wavelet.synthesise.
Spec: spec/hyperprior.md, section 4.

    LL of the top level
    for each level from the coarsest:  for each pass:  inputs -> h_s -> mean, context -> symbols -> coefficients
                                       LL, HL, LH, HH -> LL of the next finer level
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice, wavelet
from adiabat.codec.hyperprior_model import HyperpriorModel
from adiabat.codec.prediction import settle
from adiabat.codec.subband import INPUTS, OTHERS, PAD, PASSES, fill_border, gather
from adiabat.codec.workers import share

BLOCK = 8192  # targets a worker takes at a time
TOP_CONTEXT = (entropy.SCALE_ONE + 16) * entropy.SHAPES  # of LL of the top level
SHRINK_BITS = 8

Integers = NDArray[np.int64]


@dataclass
class Pass:
    """One pass of a level: its targets, flat over (frames, rows, columns), with mean and context of each."""

    level: int  # from the finest, 0
    band: int
    number: int
    step: int
    shape: tuple[int, int, int]
    mean: Integers
    context: NDArray[np.uint16]
    inputs: NDArray[np.uint8] | None = None  # kept where training asks for them
    scale: Integers | None = None
    octave: Integers | None = None
    depth: int = 0  # of its level, as `wavelet.Scale` has it

    def targets(self, band: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pick the pass's coefficients of a band, flat."""
        row, column, _ = PASSES[self.number]
        return band[:, row::2, column::2].reshape(-1)


Code = Callable[[Pass], Integers]


@numba.njit(nogil=True, cache=True)
def rebuild(mean, symbol, context, shrink, step, parity, size, first, last, values, symbols):  # type: ignore[no-untyped-def]
    """Coefficients and clipped symbols of rows first..last of a pass, into every second row and column of a band.

    Rows are counted over frames and rows of the pass; size: (rows, columns) of the pass. values, symbols: padded.
    """
    height, width = size
    for line in range(first, last):
        f, i = line // height, PAD + parity[0] + 2 * (line % height)
        row, marks = values[f, i, PAD + parity[1] :], symbols[f, i, PAD + parity[1] :]
        for j in range(width):
            target = line * width + j
            q = symbol[target]
            value = mean[target] + q * step
            if q != 0:
                less = (shrink[context[target], min(abs(q), 2) - 1] * step) >> SHRINK_BITS
                value += less if q < 0 else -less
            row[2 * j] = min(max(value, -lattice.LIMIT), lattice.LIMIT)
            marks[2 * j] = min(max(q, -lattice.SYMBOL_LIMIT), lattice.SYMBOL_LIMIT)


@numba.njit(nogil=True, cache=True)
def enter(values, padded):  # type: ignore[no-untyped-def]
    """Set LL of a level, inside its padding, to values within the limit."""
    for f in range(values.shape[0]):
        for i in range(values.shape[1]):
            source, out = values[f, i], padded[f, PAD + i, PAD:]
            for j in range(source.size):
                out[j] = min(max(source[j], -lattice.LIMIT), lattice.LIMIT)


class Level:
    """One scale level: LL and the three bands with their symbols, padded; unknown coefficients are zero."""

    def __init__(self, frames: int, size: tuple[int, int], wrap: bool) -> None:
        self.size, self.wrap = size, wrap
        padded = (frames, size[0] + 2 * PAD, size[1] + 2 * PAD)
        self.values, self.symbols = np.zeros((3, *padded), np.int64), np.zeros((3, *padded), np.int16)
        self.smooth = np.empty(padded, np.int64)

    def border(self, array: NDArray[np.signedinteger], size: tuple[int, int]) -> None:
        """Set the padding of one array whose own size is given."""
        fill_border(array, *size, self.wrap and size[1] == self.size[1])

    def rebuild(self, part: Pass, symbols: Integers, shrink: Integers, threads: int) -> None:
        """Take a pass's coefficients."""
        row, column, band = PASSES[part.number]
        frames, height, width = part.shape
        lines = max(1, BLOCK // width)
        fixed = (part.mean, symbols, part.context, shrink, part.step, (row, column), (height, width))
        values, marks, count = self.values[band], self.symbols[band], frames * height
        share(
            [
                partial(rebuild, *fixed, start, min(start + lines, count), values, marks)
                for start in range(0, count, lines)
            ],
            threads,
        )


def walk(
    shape: tuple[int, int, int],
    *,
    x_first: bool,
    wrap: bool,
    model: HyperpriorModel,
    top: Integers,
    code: Code,
    threads: int = 1,
    keep: bool = False,
) -> Integers:
    """Go from the top LL to the field: int64, shape (frames, y, x).

    top: LL of the coarsest level. code: gives the symbols of a pass.
    """
    levels = wavelet.scales(*shape[1:], x_first=x_first)
    smooth, above = top, Level(shape[0], (1, 1), False)
    for number in range(len(levels) - 1, -1, -1):
        scale = levels[number]
        here = Level(shape[0], scale.smooth, wrap and scale.size[1] % 2 == 0)
        enter(smooth, here.smooth)
        here.border(here.smooth, here.size)
        bands = dict(scale.bands())
        for turn, (row, column, band) in enumerate(PASSES):
            if band not in bands or bands[band][0] <= row or bands[band][1] <= column:
                continue
            predicted = _predict(here, above, scale, number, turn, bands[band], x_first, model, threads, keep)
            here.rebuild(predicted, code(predicted), model.shrink, threads)
            here.border(here.values[band], bands[band])
            here.border(here.symbols[band], bands[band])
        decoded = {band: _inside(here.values[band], size) for band, size in bands.items()}
        smooth = wavelet.synthesise(_inside(here.smooth, here.size), decoded, scale, wrap=wrap, threads=threads)
        above = here
    return smooth


def _inside(padded: Integers, size: tuple[int, int]) -> Integers:
    """Without the padding."""
    return padded[:, PAD : PAD + size[0], PAD : PAD + size[1]]


def _predict(
    here: Level, above: Level, scale: wavelet.Scale, level: int, number: int, band_size: tuple[int, int], x_first: bool,
    model: HyperpriorModel, threads: int, keep: bool,
) -> Pass:  # fmt: skip
    row, column, band = PASSES[number]
    frames = len(here.smooth)
    size = (band_size[0] + 1 - row) // 2, (band_size[1] + 1 - column) // 2
    count = frames * size[0] * size[1]
    mean, context = np.empty(count, np.int64), np.empty(count, np.uint16)
    step = scale.step(band)
    out = Pass(level, band, number, step, (frames, *size), mean, context, depth=scale.depth)
    run = model.net(number, scale.depth).runner()
    if keep:
        out.inputs = np.empty((count, INPUTS), np.uint8)
        out.scale, out.octave = np.empty(count, np.int64), np.empty(count, np.int64)

    def block(start: int) -> None:
        stop = min(start + BLOCK, count)
        words = np.empty((stop - start, INPUTS // lattice.LANES), np.int64)
        spread, octave = np.empty((2, stop - start), np.int64)
        gather(
            here.smooth, here.values, here.symbols, above.values, above.symbols, band, (row, column), size, step,
            scale.depth, x_first, start, stop, OTHERS, words, spread, octave,
        )  # fmt: skip
        part, inputs = slice(start, stop), words.astype("<i8", copy=False).view(np.uint8)
        settle(run(inputs), np.zeros(stop - start, np.int64), spread, octave, 1, mean[part], context[part])
        if out.inputs is not None and out.scale is not None and out.octave is not None:
            out.inputs[part], out.scale[part], out.octave[part] = inputs, spread, octave

    share([partial(block, start) for start in range(0, count, BLOCK)], threads)
    return out
