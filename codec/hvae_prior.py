"""Latents of `hvae` <-> symbols: prediction and spread of each from all decoded before it; integers only.

Stage of `hvae`: hvae_transform -> **hvae_prior** (hvae_lattice, integer_net, entropy) -> stream. Spec: spec/hvae.md,
section 3.

Channel after channel, each over a dyadic lattice of places from coarse to fine. A latent is predicted linearly from
four places of its own channel and from what was not foreseen of the channels before it at its place; a small integer
network says how far off that will be. All numbers are integers of 2**-8 quantisation steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec import entropy
from adiabat.codec.cached import cached_property
from adiabat.codec.entropy import SymbolReader, SymbolWriter, Tables
from adiabat.codec.hvae_lattice import (
    EDGES,
    FINE,
    INPUTS,
    LIMIT,
    NEIGHBOURS,
    PASSES,
    add_activity,
    gather,
    neighbours_of,
    scale_of,
    settle_place,
)
from adiabat.codec.integer_net import INPUT_ZERO, Layer, Runner, numpy_runner, prove_range, runner
from adiabat.codec.octets import Reader
from adiabat.codec.prediction import settle
from adiabat.codec.subband_quantiser import quantise

__all__ = ["Place", "Prior", "read_latents", "walk", "write_latents"]

LMBDA = 0.1  # error, in squared steps, that a bit has to save
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Prior:
    """Everything about latents that encoder and decoder share.

    Parameters
    ----------
    linear : NDArray[np.int16], shape (passes, z, 4 + z)
        Weights of the four neighbours and of the channels before, in units of 2**-12.
    scales : NDArray[np.int32], shape (passes, z)
        Usual magnitude of what is not foreseen, in 2**-8 of the gain of the channel.
    layers : tuple of Layer
        The network, INPUTS to 3.
    frequencies : NDArray[np.uint32], shape (tables, letters)
    key : str
        Unique to the network, such as its package's hash; empty where nobody else has it, and NumPy runs it.

    Raises
    ------
    ValueError
        If shapes or numbers are not as said.
    """

    linear: NDArray[np.int16]
    scales: NDArray[np.int32]
    layers: tuple[Layer, ...]
    frequencies: NDArray[np.uint32]
    key: str = ""

    def __post_init__(self) -> None:
        passes, z = self.scales.shape
        if passes != len(PASSES) or self.linear.shape != (passes, z, NEIGHBOURS + z):
            raise ValueError(f"expected scales ({len(PASSES)}, z), weights for each, got {self.scales.shape}, "
                             f"{self.linear.shape}")  # fmt: skip
        if (self.scales < 1).any():
            raise ValueError("scales: expected numbers of at least 1")
        prove_range(self.layers)
        sizes = self.layers[0].weight.shape[0], self.layers[-1].weight.shape[1]
        if sizes != (INPUTS, 3):
            raise ValueError(f"expected a network of {INPUTS} inputs and 3 outputs, got {sizes}")
        self.tables  # noqa: B018  # refuses frequencies that are none

    @cached_property
    def tables(self) -> Tables:
        """The frequency tables ready for coding."""
        return Tables(self.frequencies)

    @property
    def channels(self) -> int:
        """Latent channels."""
        return int(self.scales.shape[1])

    def run(self) -> Runner:
        """How this process runs the network."""
        return runner(f"{self.key}/prior", self.layers) if self.key else numpy_runner(self.layers)


@dataclass(frozen=True)
class Place:
    """The targets of one pass of one channel, flat over (frames, rows, columns)."""

    channel: int
    number: int
    before: Integers  # the linear mean
    mean: Integers
    context: NDArray[np.uint16]
    inputs: NDArray[np.uint8]
    scale: Integers
    octave: Integers

    def targets(self, latents: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pick them of latents (frames, z, rows, columns)."""
        by, row, column = PASSES[self.number]
        return latents[:, self.channel, row::by, column::by].reshape(-1)


Code = Callable[[Place], Integers]


def walk(prior: Prior, shape: tuple[int, int, int], step: float, code: Code) -> Integers:
    """Go through all passes of all channels; `code` gives the symbols of each.

    Parameters
    ----------
    prior : Prior
    shape : tuple of three int
        Frames, rows and columns of latents.
    step : float
        Of the stream, over the channels' gains.

    Returns
    -------
    NDArray[np.int64], shape (frames, z, rows, columns)
        Latents in 2**-8 steps.
    """
    z, run = prior.channels, prior.run()
    values, surprises = np.zeros((2, z, *shape), np.int64)
    activity, around = np.zeros((2, *shape), np.int64)
    near = [neighbours_of(number, *shape[1:]) for number in range(len(PASSES))]
    for channel in range(z):
        sizes = np.zeros(shape, np.int64)
        for number, place in enumerate(PASSES):
            rows, columns = near[number]
            count = shape[0] * rows.shape[1] * columns.shape[1]
            if not count:
                continue
            base = scale_of(int(prior.scales[number, channel]), step)
            predicted = _predict(
                prior, run, channel, number, count, base,
                (values[channel], sizes, surprises, activity, around, place, rows, columns),
            )  # fmt: skip
            symbols = code(predicted)
            settle_place(
                place, predicted.mean, symbols, predicted.before, base, values[channel], sizes, surprises[channel]
            )
        add_activity(sizes, activity, around)
    return np.ascontiguousarray(values.swapaxes(0, 1))


def _predict(
    prior: Prior, run: Runner, channel: int, number: int, count: int, base: int, known: tuple[Any, ...]
) -> Place:
    """Mean, context and what else of a pass."""
    octave = 2 * (int(np.searchsorted(EDGES, base, "right")) - int(np.searchsorted(EDGES, FINE, "right")))
    level, kind = (number + 2) // 3, (number + 2) % 3 if number else 3
    flags = [octave, 25 * (level - 2), 60 * (kind == 0) - 60 * (kind == 3), 60 * (kind == 1) - 60 * (kind == 2),
             128 * channel // prior.channels]  # fmt: skip
    stored = np.array([min(max(flag, -127), 127) + INPUT_ZERO for flag in flags], np.uint8)
    before, inputs = np.empty(count, np.int64), np.empty((count, INPUTS), np.uint8)
    linear = prior.linear[number, channel].astype(np.int64)
    arguments: tuple[Any, ...] = (*known, linear, base, channel, stored, EDGES, before, inputs)
    gather(*arguments)
    scale, octaves = np.full(count, base, np.int64), np.full(count, octave, np.int64)
    mean, context = np.empty(count, np.int64), np.empty(count, np.uint16)
    settle(run(inputs), before, scale, octaves, 1, mean, context)
    return Place(channel, number, before, mean, context, inputs, scale, octaves)


Observe = Callable[[Place, NDArray[np.float64], Integers], None]


def write_latents(
    prior: Prior, latents: NDArray[np.float64], step: float, *, lmbda: float = LMBDA, observe: Observe | None = None
) -> tuple[bytes, Integers]:
    """Payload of latents, and what a decoder makes of it.

    Parameters
    ----------
    latents : NDArray[np.float64], shape (frames, z, rows, columns)
        In steps, below 2**20.
    step : float
        Over the channels' gains.
    observe : function, optional
        Is shown each pass, its targets in units and its symbols.
    """
    writer, lengths = SymbolWriter(prior.tables, dense=True), prior.tables.code_lengths
    whole = np.zeros((entropy.CONTEXT_COUNT, 2), np.int64)

    def code(place: Place) -> Integers:
        target = place.targets(latents) * FINE
        symbols = np.empty(target.size, np.int64)
        quantise(
            target, place.mean, place.context, FINE, whole, entropy.TABLE_OF, entropy.RAW_BITS, lengths, lmbda, symbols
        )
        order, starts = entropy.group(place.context, entropy.CONTEXT_COUNT)
        writer.write(symbols[order], starts, 0)
        if observe is not None:
            observe(place, target, symbols)
        return symbols

    frames, _, rows, columns = latents.shape
    decoded = walk(prior, (frames, rows, columns), step, code)
    return writer.payload(), decoded


def read_latents(prior: Prior, payload: bytes, shape: tuple[int, int, int], step: float) -> Integers:
    """Undo `write_latents`; CorruptStreamError where it cannot be."""
    body = Reader(payload)
    reader = SymbolReader(prior.tables, body, dense=True)

    def code(place: Place) -> Integers:
        order, starts = entropy.group(place.context, entropy.CONTEXT_COUNT)
        symbols = np.empty(place.mean.size, np.int64)
        reader.read(order, starts, 0, symbols)
        return np.clip(symbols, -LIMIT, LIMIT)

    decoded = walk(prior, shape, step, code)
    reader.finish()
    body.end()
    return decoded
