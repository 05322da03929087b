"""Frames of fine-unit integers <-> bytes: predict each pass from the coarser ones, code what is left.

The heart of `pyramid`: frames -> **coarse_to_fine** (lattice -> integer_net -> entropy) -> stream.
Spec: spec/pyramid.md.

Encoder and decoder walk the same path (`walk`); they differ in where a pass's symbols come from:

    for each spacing, for each pass D, A, B:
        inputs  = gather(known neighbours)
        network = runner(inputs)
        mean, context = settle(network)
        symbol  = code(mean, context)         encoder: round((target - mean) / step);  decoder: from the words
        known   = mean + symbol * step
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.entropy import SymbolReader, SymbolWriter
from adiabat.codec.models import Model, Net
from adiabat.codec.octets import Reader, write_varint

BLOCK = 8192  # targets a worker takes at a time: inputs and activations stay in its second-level cache
GROUP = 1 << 21  # pixels of frames coded together; bounds the memory of large chunks
MASKED = entropy.CONTEXT_COUNT  # the context of a target that is not coded

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_] | None
Code = Callable[["PassState"], Integers]


@dataclass
class Kept:
    """What only training wants to see of a pass."""

    inputs: NDArray[np.float32]  # (inputs, targets)
    scale: Integers
    octave: Integers
    values: Integers  # the padded parts


@dataclass
class PassState:
    """What a pass knows before its symbols: all arrays are flat over (frames, target rows, target columns)."""

    number: int  # 0, 1, 2 for D, A, B
    spacing: int
    shape: tuple[int, int, int]
    mean: Integers
    context: NDArray[np.uint16]
    kept: Kept | None = None

    @property
    def region(self) -> int:
        """Which substitution of tables holds: 1 on the finest lattice, else 0."""
        return int(self.spacing == 1)

    def targets(self, frames: NDArray[Any]) -> NDArray[Any]:
        """This pass's pixels of full-resolution frames, flat."""
        rule = lattice.PASSES[self.number]
        return frames[:, :: self.spacing, :: self.spacing][:, rule.row :: 2, rule.column :: 2].reshape(-1)


@numba.njit(nogil=True, cache=True)  # type: ignore[misc]
def settle(network, base, scale, octave, snap, mean, context):  # type: ignore[no-untyped-def]
    """Predicted value and context of each target from the network's three outputs; spec section 4."""
    top = 4 * 44 + 31
    for t in range(base.size):
        offset = min(max(np.int64(network[0, t]), -4095), 4095)
        value = base[t] + ((scale[t] * offset) >> 8)
        value = (value + (snap >> 1)) & -snap
        mean[t] = min(max(value, -(1 << 38)), 1 << 38)
        index = ((np.int64(network[1, t]) + 2 * octave[t]) >> 2) + 20
        shape = min(max((np.int64(network[2, t]) + 16) >> 5, 0), 2)
        context[t] = min(max(index, 0), top) * 3 + shape


class _Level:
    """The padded parts C, D, A of one spacing, and how to predict a pass from them."""

    def __init__(self, shape: tuple[int, int, int], spacing: int, *, wrap: bool) -> None:
        frames, height, width = shape
        self.spacing, self.wrap = spacing, wrap and width % (2 * spacing) == 0
        self.height, self.width = -(-height // spacing), -(-width // spacing)
        rows, columns = (self.height + 1) // 2, (self.width + 1) // 2
        padded = (3, frames, rows + 2 * lattice.PAD, columns + 2 * lattice.PAD)
        self.rows, self.columns, self.frames = rows, columns, frames
        self.values, self.symbols = np.empty(padded, np.int64), np.empty(padded, np.int16)

    def fill(self, part: int, values: Integers, symbols: NDArray[np.int16]) -> None:
        """Set a part; a part without a pixel reads as C."""
        if values.size == 0:
            self.values[part], self.symbols[part] = self.values[lattice.C], self.symbols[lattice.C]
            return
        row, column = ((0, 0), (1, 1), (0, 1))[part]
        rows = lattice.part_index(self.height, row, self.rows, wrap=False)
        columns = lattice.part_index(self.width, column, self.columns, wrap=self.wrap)
        lattice.pad(values, rows, columns, self.values[part])
        lattice.pad(symbols, rows, columns, self.symbols[part])

    def predict(self, number: int, net: Net, step: int, snap: int, pool: ThreadPoolExecutor | None, keep: bool) -> PassState:
        """Mean and context of every target of a pass."""
        rule = lattice.PASSES[number]
        height, width = (self.height - rule.row + 1) // 2, (self.width - rule.column + 1) // 2
        count = self.frames * height * width
        state = PassState(number, self.spacing, (self.frames, height, width), np.empty(count, np.int64), np.empty(count, np.uint16))
        if keep:
            inputs = np.empty((rule.inputs, count), np.float32)
            state.kept = Kept(inputs, np.empty(count, np.int64), np.empty(count, np.int64), self.values)
        level = lattice.LEVEL_STEP * min(self.spacing.bit_length() - 1, lattice.LEVEL_TOP)
        run = net.runner()

        def block(first: int, last: int) -> None:
            size = (last - first) * width
            inputs = np.empty((rule.inputs, size), np.float32)
            base, scale, octave = np.empty((3, size), np.int64)
            lattice.gather(
                self.values, self.symbols, rule.table, net.linear, step, level, height, width, first, last, inputs, base, scale, octave
            )
            part = slice(first * width, last * width)
            settle(run(inputs), base, scale, octave, snap, state.mean[part], state.context[part])
            if state.kept is not None:
                state.kept.inputs[:, part], state.kept.scale[part], state.kept.octave[part] = inputs, scale, octave

        if count:
            size = max(1, BLOCK // width)
            starts = range(0, self.frames * height, size)
            spans = [(start, min(start + size, self.frames * height)) for start in starts]
            if pool is None or len(spans) == 1:
                for span in spans:
                    block(*span)
            else:
                list(pool.map(lambda span: block(*span), spans))
        return state


def walk(shape: tuple[int, int, int], base: Integers, code: Code, model: Model, *, step: int, snap: int, wrap: bool,
          pool: ThreadPoolExecutor | None, keep: bool = False) -> Integers:
    """Decode all frames from their first pixels `base` (frames,) on, asking `code` for the symbols of each pass."""
    frames, height, width = shape
    known = base.reshape(frames, 1, 1)
    symbols = np.zeros(known.shape, np.int16)
    for spacing in lattice.spacings(height, width):
        level = _Level(shape, spacing, wrap=wrap)
        level.fill(lattice.C, known, symbols)
        finer = np.empty((frames, level.height, level.width), np.int64)
        finer_symbols = np.empty(finer.shape, np.int16)
        finer[:, ::2, ::2], finer_symbols[:, ::2, ::2] = known, symbols
        for number, rule in enumerate(lattice.PASSES):
            state = level.predict(number, model.net(number, spacing), step, snap, pool, keep)
            symbol = code(state)
            part = np.clip(state.mean + symbol * step, -lattice.LIMIT, lattice.LIMIT).reshape(state.shape)
            context = np.clip(symbol, -lattice.SYMBOL_LIMIT, lattice.SYMBOL_LIMIT).astype(np.int16).reshape(state.shape)
            finer[:, rule.row :: 2, rule.column :: 2], finer_symbols[:, rule.row :: 2, rule.column :: 2] = part, context
            if number + 1 < lattice.B:
                level.fill(number + 1, part, context)
        known, symbols = finer, finer_symbols
    return known


def encode_frames(
    target: NDArray[np.float64],
    *,
    valid: NDArray[np.bool_] | None,
    step: int,
    snap: int,
    wrap: bool,
    model: Model,
    threads: int | None = None,
) -> tuple[bytes, Integers]:
    """Code frames so that every decoded value lies within step / 2 of its target.

    Parameters
    ----------
    target : NDArray[np.float64], shape (frames, y, x)
        In fine units, magnitudes up to LIMIT / 2; whatever stands where `valid` is False is not coded.
    valid : NDArray[np.bool_] or None, shape (frames, y, x)
        None: all are.
    step, snap : int
        Quantisation step, and the spacing of values a prediction is rounded to (a power of two), in fine units.
    wrap : bool
        Whether the last axis is periodic.
    threads : int, optional
        Workers; None: one for each core.

    Returns
    -------
    payload : bytes
    decoded : NDArray[np.int64], shape (frames, y, x)
        What `decode_frames` will return, by the same arithmetic.
    """
    payload, decoded = [], np.empty(target.shape, np.int64)
    for part in _frame_groups(target.shape):
        frames, mask = target[part], None if valid is None else valid[part]
        writer = SymbolWriter(model.tables)

        def code(state: PassState, frames: NDArray[np.float64] = frames, mask: Mask = mask, writer: SymbolWriter = writer) -> Integers:
            symbol = np.rint((state.targets(frames) - state.mean) / step).astype(np.int64)
            if mask is not None:
                symbol[~state.targets(mask)] = 0
            order, starts = _order(state, mask)
            writer.write(symbol[order], starts, state.region)
            return symbol

        base = _base_symbols(frames, mask, step)
        payload.append(_write_base(base, writer))
        first = np.cumsum(base) * step
        decoded[part] = walk(frames.shape, first, code, model, step=step, snap=snap, wrap=wrap, pool=workers(threads))
        payload.append(writer.payload())
    return b"".join(payload), decoded


def decode_frames(
    payload: bytes,
    shape: tuple[int, int, int],
    *,
    valid: NDArray[np.bool_] | None,
    step: int,
    snap: int,
    wrap: bool,
    model: Model,
    threads: int | None = None,
) -> Integers:
    """Undo `encode_frames`; the arguments must be the same.

    Raises
    ------
    CorruptStreamError
        If the payload was not written for this shape, mask and model.
    """
    reader, decoded = Reader(payload), np.empty(shape, np.int64)
    for part in _frame_groups(shape):
        mask = None if valid is None else valid[part]
        base_context, first = reader.varint(limit=entropy.CONTEXT_COUNT - 1), _read_signed(reader)
        symbols = SymbolReader(model.tables, reader)

        def code(state: PassState, mask: Mask = mask, symbols: SymbolReader = symbols) -> Integers:
            order, starts = _order(state, mask)
            symbol = np.zeros(len(state.mean), np.int64)
            symbol[order] = symbols.read(starts, state.region)
            return symbol

        part_shape = decoded[part].shape
        base = _read_base(base_context, first, part_shape[0], symbols)
        first_pixels = np.cumsum(base) * step
        decoded[part] = walk(part_shape, first_pixels, code, model, step=step, snap=snap, wrap=wrap, pool=workers(threads))
        symbols.finish()
    reader.end()
    return decoded


def _frame_groups(shape: tuple[int, ...]) -> list[slice]:
    """Frames that are coded together: as many as have GROUP pixels, at least one."""
    size = max(1, GROUP // max(shape[1] * shape[2], 1))
    return [slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]


def _order(state: PassState, mask: Mask) -> tuple[Integers, Integers]:
    """Targets that are coded, sorted by context, and where each context starts."""
    if mask is not None:
        state.context[~state.targets(mask)] = MASKED
    order, starts = entropy.group(state.context, entropy.CONTEXT_COUNT)
    return order, starts


def _base_symbols(target: NDArray[np.float64], mask: Mask, step: int) -> Integers:
    """Steps from each frame's first pixel to the next frame's.

    A masked first pixel is given the frame's first valid value, rounded so coarsely that a second encoding agrees.
    """
    pixels = np.rint(target[:, 0, 0] / step)
    if mask is not None:
        flat, coarse = mask.reshape(len(mask), -1), step * 4096.0
        somewhere = target.reshape(len(mask), -1)[np.arange(len(mask)), flat.argmax(1)]
        filled = np.where(flat.any(1), np.rint(somewhere / coarse) * 4096.0, 0.0)
        pixels = np.where(mask[:, 0, 0], pixels, filled)
    return np.diff(pixels.astype(np.int64), prepend=0)


def _base_starts(context: int, count: int) -> Integers:
    starts = np.zeros(entropy.CONTEXT_COUNT + 1, np.int64)
    starts[context + 1 :] = count
    return starts


def _write_base(base: Integers, writer: SymbolWriter) -> bytes:
    """First pixel in full; the differences of the others under the table that suits their mean size."""
    spread = float(np.abs(base[1:]).mean()) if len(base) > 1 else 0.0
    index = round(4 * math.log2(max(spread, 2.0**-5))) + entropy.SCALE_ONE
    context = min(index, entropy.SCALE_TOP) * entropy.SHAPES + 1
    writer.write(base[1:], _base_starts(context, len(base) - 1), 0)
    first = int(base[0])
    return write_varint(context) + write_varint(2 * first if first >= 0 else -2 * first - 1)


def _read_signed(reader: Reader) -> int:
    zigzag = reader.varint(limit=1 << 41)
    return -(zigzag + 1) // 2 if zigzag & 1 else zigzag // 2


def _read_base(context: int, first: int, frames: int, symbols: SymbolReader) -> Integers:
    return np.concatenate([np.array([first]), symbols.read(_base_starts(context, frames - 1), 0)])


_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def workers(threads: int | None) -> ThreadPoolExecutor | None:
    """This process's pool of so many threads, None for one; a pool does not survive a fork, so it is kept by process."""
    count = threads or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads or os.cpu_count() or 1
    if count == 1:
        return None
    return _pools.setdefault((os.getpid(), count), ThreadPoolExecutor(count, "adiabat"))
