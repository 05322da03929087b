"""Fields <-> payloads: the transform, its coefficients quantised and coded in the order of the walk.

Stage of `hyperprior`: wavelet.analyse -> **subband_coder** (subband_walk, subband_quantiser, entropy) -> stream.
Spec: spec/hyperprior.md, section 5.

    x = centre + delta * (integers of `wavelet.synthesise`) / 2**16
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy, wavelet
from adiabat.codec.cached import cached_property
from adiabat.codec.entropy import SymbolReader, SymbolWriter
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.hyperprior_model import HyperpriorModel
from adiabat.codec.lattice import LIMIT
from adiabat.codec.octets import Reader
from adiabat.codec.subband_quantiser import quantise
from adiabat.codec.subband_walk import TOP_CONTEXT, Pass, walk

LMBDA = 0.1  # error, in squared steps, that a bit has to save
TOP_LIMIT = 1 << 21  # steps that a value may lie off the centre: integers stay below lattice.LIMIT

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Analysis:
    """Frames and their coefficients, in the field's units."""

    field: Floats  # (frames, y, x), less the centre
    wrap: bool
    x_first: bool

    @cached_property
    def levels(self) -> list[wavelet.Scale]:
        """The scale levels, finest first."""
        return wavelet.scales(*self.field.shape[1:], x_first=self.x_first)

    @cached_property
    def coefficients(self) -> tuple[Floats, list[dict[int, Floats]]]:
        """LL of the top level and the bands of each."""
        return wavelet.analyse(self.field, self.levels, wrap=self.wrap)

    @cached_property
    def largest(self) -> float:
        """The largest magnitude."""
        return float(np.abs(self.field).max(initial=0.0))


Observe = Callable[[Pass, Floats, Integers], None]


def encode(
    analysis: Analysis,
    delta: float,
    model: HyperpriorModel,
    *,
    lmbda: float = LMBDA,
    threads: int = 1,
    offset: float = 0.0,
    observe: Observe | None = None,
) -> tuple[bytes, Integers]:
    """Payload of some frames at a quantisation step, and what a decoder makes of it: int64, in 2**-16 of the step.

    offset: taken off the whole field; observe: is shown each pass, its targets and its symbols, in training.
    """
    top, details = analysis.coefficients
    writer, unit = SymbolWriter(model.tables, dense=True), wavelet.STEP / delta
    lengths = model.tables.code_lengths

    def code(part: Pass) -> Integers:
        target = part.targets(details[part.level][part.band]) * unit
        symbols = np.empty(target.size, np.int64)
        quantise(
            target, part.mean, part.context, part.step, model.shrink,
            entropy.TABLE_OF, entropy.RAW_BITS, lengths, lmbda, symbols,
        )  # fmt: skip
        order, starts = entropy.group(part.context, entropy.CONTEXT_COUNT)
        writer.write(symbols[order], starts, 0)
        if observe is not None:
            observe(part, target, symbols)
        return symbols

    step = analysis.levels[-1].smooth_step if analysis.levels else wavelet.STEP
    symbols = np.rint((top.reshape(-1) - offset) * unit / step).astype(np.int64)
    writer.write(symbols, _top_starts(symbols.size), 0)
    decoded = walk(
        analysis.field.shape, x_first=analysis.x_first, wrap=analysis.wrap, model=model,
        top=symbols.reshape(top.shape) * step, code=code, threads=threads, keep=observe is not None,
    )  # fmt: skip
    return bytes([analysis.x_first]) + writer.payload(), decoded


def decode(
    payload: bytes, shape: tuple[int, int, int], model: HyperpriorModel, *, wrap: bool, threads: int = 1
) -> Integers:
    """Undo `encode`: int64, shape (frames, y, x).

    Raises
    ------
    CorruptStreamError
    """
    body = Reader(payload)
    x_first = body.u8()
    if x_first > 1:
        raise CorruptStreamError(f"expected 0 or 1 for a first level along x alone, got {x_first}")
    reader = SymbolReader(model.tables, body, dense=True)
    levels = wavelet.scales(*shape[1:], x_first=bool(x_first))
    step = levels[-1].smooth_step if levels else wavelet.STEP

    def code(part: Pass) -> Integers:
        order, starts = entropy.group(part.context, entropy.CONTEXT_COUNT)
        symbols = np.empty(part.mean.size, np.int64)
        reader.read(order, starts, 0, symbols)
        return symbols

    top = np.empty(shape[0], np.int64)
    largest = reader.read(np.arange(shape[0]), _top_starts(shape[0]), 0, top)
    if largest * step > LIMIT:
        raise CorruptStreamError(f"expected a top level of at most {LIMIT}, got {largest * step}")
    decoded = walk(
        shape, x_first=bool(x_first), wrap=wrap, model=model,
        top=top.reshape(-1, 1, 1) * step, code=code, threads=threads,
    )  # fmt: skip
    reader.finish()
    body.end()
    return decoded


def _top_starts(count: int) -> Integers:
    """Where each context starts among symbols that all have that of the top."""
    return np.where(np.arange(entropy.CONTEXT_COUNT + 1) > TOP_CONTEXT, count, 0)
