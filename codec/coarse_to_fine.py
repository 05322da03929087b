"""The frames of a group, coarse to fine: predict each pass from the coarser ones, code what is left.

The heart of `pyramid`: volume -> **coarse_to_fine** (lattice, integer_net, prediction, entropy) -> stream.
Spec: spec/pyramid.md, sections 3 to 6.

Encoder and decoder walk the same path (`walk`); they differ in where a pass's symbols come from:

    for each spacing, for each pass D, A, B:
        inputs        = gather(known neighbours)
        network       = runner(inputs)
        mean, context = settle(network)
        symbol        = code(...)      encoder: round((target - mean) / step);  decoder: from the words
        known         = mean + symbol * step
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, lattice
from adiabat.codec.entropy import SymbolReader, SymbolWriter
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.prediction import Arithmetic, Integers, Level, Prediction, rebuild
from adiabat.codec.side import Side

MASKED = entropy.CONTEXT_COUNT  # the context of a target that is not coded

Mask = NDArray[np.bool_] | None
Code = Callable[[Prediction], Callable[[slice], Integers]]  # for a pass: band -> its symbols


def walk(
    shape: tuple[int, int, int],
    base: Integers,
    code: Code,
    arithmetic: Arithmetic,
    *,
    wrap: bool,
    side: Side | None = None,
) -> tuple[Integers, NDArray[np.int16]]:
    """Decode frames from their first pixels `base` (frames,) on, asking `code` for the symbols of each pass.

    Returns the decoded values and the clipped symbols, both (frames, y, x).
    """
    frames, height, width = shape
    known = base.reshape(frames, 1, 1)
    symbols, step = np.zeros(known.shape, np.int16), 0
    for spacing in lattice.spacings(height, width):
        now = arithmetic.at(spacing)
        symbols, step = _rescale(symbols, step, now.step), now.step
        view = side.view(spacing, known, now.threads) if side else None
        level = Level(shape, spacing, wrap=wrap, view=view, threads=now.threads)
        level.fill(lattice.C, known, symbols)
        finer = np.empty((frames, level.height, level.width), np.int64)
        finer_symbols = np.empty(finer.shape, np.int16)
        finer[:, ::2, ::2], finer_symbols[:, ::2, ::2] = known, symbols
        for number, rule in enumerate(lattice.PASSES):
            prediction = Prediction(level, number, now)
            code_band, symbol = code(prediction), np.empty(prediction.count, np.int64)
            for band in prediction.bands():
                symbol[band] = code_band(band)
            part, context = finer[:, rule.row :: 2, rule.column :: 2], finer_symbols[:, rule.row :: 2, rule.column :: 2]
            rebuild(prediction.mean, symbol, now.step, part, context)
            if number + 1 < lattice.B:
                level.fill(number + 1, part, context)
        known, symbols = finer, finer_symbols
    return known, symbols


def _rescale(symbols: NDArray[np.int16], before: int, step: int) -> NDArray[np.int16]:
    """Symbols of a coarser lattice, in the steps of this one."""
    if before in (0, step):
        return symbols
    rescaled = (2 * symbols.astype(np.int64) * before + step) // (2 * step)
    return np.clip(rescaled, -lattice.SYMBOL_LIMIT, lattice.SYMBOL_LIMIT).astype(np.int16)


def writing(frames: NDArray[np.float64], mask: Mask, writer: SymbolWriter) -> Code:
    """The encoder's symbols: rounded residuals, handed to the writer."""

    def code(prediction: Prediction) -> Callable[[slice], Integers]:
        target, valid = prediction.targets(frames), None if mask is None else prediction.targets(mask)

        def band(part: slice) -> Integers:
            residual = (target[part] - prediction.mean[part]) / prediction.arithmetic.step
            symbol = np.rint(residual).astype(np.int64)
            if valid is not None:
                symbol[~valid[part]] = 0
            order, starts = _order(prediction, valid, part)
            writer.write(symbol[order], starts, prediction.region)
            return symbol

        return band

    return code


def reading(mask: Mask, symbols: SymbolReader) -> Code:
    """The decoder's symbols: from the reader, 0 where masked."""

    def code(prediction: Prediction) -> Callable[[slice], Integers]:
        valid = None if mask is None else prediction.targets(mask)
        limit = 4 * lattice.LIMIT // prediction.arithmetic.step  # more would leave any target, and in time 64 bits

        def band(part: slice) -> Integers:
            order, starts = _order(prediction, valid, part)
            symbol = np.zeros(part.stop - part.start, np.int64)
            largest = symbols.read(order, starts, prediction.region, symbol)
            if largest > limit:
                raise CorruptStreamError(f"expected symbols up to {limit}, got {largest}")
            return symbol

        return band

    return code


def _order(prediction: Prediction, valid: Mask, part: slice) -> tuple[Integers, Integers]:
    """A band's coded targets, sorted by context, and where each context starts."""
    context = prediction.context[part]
    if valid is not None:
        context[~valid[part]] = MASKED
    order, starts = entropy.group(context, entropy.CONTEXT_COUNT)
    return order, starts
