"""Frames of fine-unit integers <-> bytes: predict each pass from the coarser ones, code what is left.

The heart of `pyramid`: frames -> **coarse_to_fine** (lattice, integer_net, prediction, entropy) -> stream.
Spec: spec/pyramid.md.

Encoder and decoder walk the same path (`walk`); they differ in where a pass's symbols come from:

    for each spacing, for each pass D, A, B:
        inputs        = gather(known neighbours)
        network       = runner(inputs)
        mean, context = settle(network)
        symbol        = code(...)      encoder: round((target - mean) / step);  decoder: from the words
        known         = mean + symbol * step
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.entropy import SymbolReader, SymbolWriter
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.models import Model
from adiabat.codec.octets import Reader, write_varint
from adiabat.codec.prediction import Arithmetic, Integers, Level, Prediction, cores, rebuild

GROUP = 1 << 21  # pixels of frames coded together; bounds the memory of large chunks
MASKED = entropy.CONTEXT_COUNT  # the context of a target that is not coded

Mask = NDArray[np.bool_] | None
Code = Callable[[Prediction], Callable[[slice], Integers]]  # for a pass: band -> its symbols


def walk(shape: tuple[int, int, int], base: Integers, code: Code, arithmetic: Arithmetic, *, wrap: bool) -> Integers:
    """Decode all frames from their first pixels `base` (frames,) on, asking `code` for the symbols of each pass."""
    frames, height, width = shape
    known = base.reshape(frames, 1, 1)
    symbols = np.zeros(known.shape, np.int16)
    for spacing in lattice.spacings(height, width):
        level = Level(shape, spacing, wrap=wrap)
        level.fill(lattice.C, known, symbols)
        finer = np.empty((frames, level.height, level.width), np.int64)
        finer_symbols = np.empty(finer.shape, np.int16)
        finer[:, ::2, ::2], finer_symbols[:, ::2, ::2] = known, symbols
        for number, rule in enumerate(lattice.PASSES):
            prediction = Prediction(level, number, arithmetic)
            code_band, symbol = code(prediction), np.empty(prediction.count, np.int64)
            for band in prediction.bands():
                symbol[band] = code_band(band)
            part, context = finer[:, rule.row :: 2, rule.column :: 2], finer_symbols[:, rule.row :: 2, rule.column :: 2]
            rebuild(prediction.mean, symbol, arithmetic.step, part, context)
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
    arithmetic = Arithmetic(step, snap, model, cores(threads))
    for part in _frame_groups(target.shape):
        frames, mask = target[part], None if valid is None else valid[part]
        writer = SymbolWriter(model.tables)
        base = _base_symbols(frames, mask, step)
        payload.append(_write_base(base, writer))
        first_pixels = np.cumsum(base) * step
        decoded[part] = walk(frames.shape, first_pixels, _writing(frames, mask, writer), arithmetic, wrap=wrap)
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
    arithmetic = Arithmetic(step, snap, model, cores(threads))
    for part in _frame_groups(shape):
        mask = None if valid is None else valid[part]
        part_shape = decoded[part].shape
        context, first = reader.varint(limit=entropy.CONTEXT_COUNT - 1), _read_signed(reader)
        symbols = SymbolReader(model.tables, reader)
        base = np.concatenate([np.array([first]), symbols.read(_base_starts(context, part_shape[0] - 1), 0)])
        first_pixels = np.cumsum(base) * step
        if np.abs(base).max() > lattice.LIMIT or np.abs(first_pixels).max() > lattice.LIMIT:
            raise CorruptStreamError(f"expected first pixels up to {lattice.LIMIT}, got {np.abs(first_pixels).max()}")
        decoded[part] = walk(part_shape, first_pixels, _reading(mask, symbols), arithmetic, wrap=wrap)
        symbols.finish()
    reader.end()
    return decoded


def _writing(frames: NDArray[np.float64], mask: Mask, writer: SymbolWriter) -> Code:
    """The encoder's symbols: rounded residuals, handed to the writer."""

    def code(prediction: Prediction) -> Callable[[slice], Integers]:
        target, valid = prediction.targets(frames), None if mask is None else prediction.targets(mask)

        def band(part: slice) -> Integers:
            symbol = np.rint((target[part] - prediction.mean[part]) / prediction.arithmetic.step).astype(np.int64)
            if valid is not None:
                symbol[~valid[part]] = 0
            order, starts = _order(prediction, valid, part)
            writer.write(symbol[order], starts, prediction.region)
            return symbol

        return band

    return code


def _reading(mask: Mask, symbols: SymbolReader) -> Code:
    """The decoder's symbols: from the reader, 0 where masked."""

    def code(prediction: Prediction) -> Callable[[slice], Integers]:
        valid = None if mask is None else prediction.targets(mask)
        limit = 4 * lattice.LIMIT // prediction.arithmetic.step  # more would leave any target, and in time 64 bits

        def band(part: slice) -> Integers:
            order, starts = _order(prediction, valid, part)
            symbol = np.zeros(part.stop - part.start, np.int64)
            coded = symbols.read(starts, prediction.region)
            if coded.size and max(coded.max(), -coded.min()) > limit:
                raise CorruptStreamError(f"expected symbols up to {limit}, got {max(coded.max(), -coded.min())}")
            symbol[order] = coded
            return symbol

        return band

    return code


def _frame_groups(shape: tuple[int, ...]) -> list[slice]:
    """Frames that are coded together: as many as have GROUP pixels, at least one."""
    size = max(1, GROUP // max(shape[1] * shape[2], 1))
    return [slice(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]


def _order(prediction: Prediction, valid: Mask, part: slice) -> tuple[Integers, Integers]:
    """A band's coded targets, sorted by context, and where each context starts."""
    context = prediction.context[part]
    if valid is not None:
        context[~valid[part]] = MASKED
    order, starts = entropy.group(context, entropy.CONTEXT_COUNT)
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
    return np.asarray(np.diff(pixels.astype(np.int64), prepend=0), np.int64)


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
