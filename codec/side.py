"""What frames known before say about a group's frames: a weighted mean on each lattice, and how far to trust it.

Stage of `pyramid`: order -> **side** -> coarse_to_fine. Spec: spec/pyramid.md, section 2.

The encoder finds the weights (`regression.py`) and stores them. Each lattice has its own, since fine detail is
forgotten sooner than coarse; where no reference helps, a lattice is coded without.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec import lattice
from adiabat.codec.errors import CorruptStreamError
from adiabat.codec.octets import Reader
from adiabat.codec.order import Group
from adiabat.codec.workers import share

Integers = NDArray[np.int64]
Decoded = NDArray[np.signedinteger]  # of 32 or 64 bits

WEIGHT_BITS = 6  # fraction bits of a weight
LARGE = 1 << 15  # pixels that are worth sharing among threads
LATTICES = 6  # lattices with weights of their own, finest first; the last one's hold for all that are coarser


@dataclass(frozen=True)
class Weights:
    """How a group uses its references.

    Attributes
    ----------
    values : NDArray[np.int8], shape (lattices, references)
        In units of 2**-6, finest lattice first.
    trust : NDArray[np.uint8], shape (lattices,)
        Share of the detail that the references explain, of 127; 0: the lattice is coded without them.
    """

    values: NDArray[np.int8]
    trust: NDArray[np.uint8]

    def write(self) -> bytes:
        """Number of lattices, then trust and weights of each."""
        table = np.concatenate([self.trust[:, None], self.values.view(np.uint8)], 1)
        return bytes([len(table)]) + table.tobytes()

    @classmethod
    def read(cls, reader: Reader, references: int) -> Weights:
        """Undo `write`.

        Raises
        ------
        CorruptStreamError
            If there are no lattices, too many, or more trust than there is.
        """
        count = reader.u8()
        if not 1 <= count <= LATTICES:
            raise CorruptStreamError(f"expected weights of 1 to {LATTICES} lattices, got {count}")
        table = np.frombuffer(reader.take(count * (references + 1)), np.uint8).reshape(count, references + 1)
        if table[:, 0].max() > 127:
            raise CorruptStreamError(f"expected a trust up to 127, got {table[:, 0].max()}")
        return cls(table[:, 1:].view(np.int8), table[:, 0])

    def row(self, spacing: int) -> int:
        """Which lattice's weights hold at a spacing."""
        return min(spacing.bit_length() - 1, len(self.trust) - 1)


@dataclass(frozen=True)
class View:
    """The references of a group's frames on one lattice.

    Attributes
    ----------
    mean, change : NDArray[np.int64], shape (frames, rows, columns)
        Weighted mean of the references; nearest after less nearest before.
    marks : NDArray[np.int16], shape (frames, rows, columns)
        Magnitudes of the symbols that the nearest two were coded with, added.
    trust, distance : int
        As inputs of the network.
    """

    mean: Integers
    change: Integers
    marks: NDArray[np.int16]
    trust: int
    distance: int


class Side:
    """Everything known about a group's frames before they are coded.

    Parameters
    ----------
    decoded : NDArray[np.int32] or NDArray[np.int64], shape (frames, y, x)
        All frames of the chunk; only references are looked at.
    marks : NDArray[np.uint8], shape (frames, y, x)
        Magnitudes of their symbols, clipped.
    group : Group
    statics : NDArray[np.int64], shape (statics, y, x)
        Static fields, in fine units.

    Attributes
    ----------
    weights : Weights
        At first, that nothing helps.
    """

    def __init__(self, decoded: Decoded, marks: NDArray[np.uint8], group: Group, statics: Integers) -> None:
        self.decoded, self.marks, self.group, self.statics = decoded, marks, group, statics
        self.references, self.distance = group.references, group.distance
        self.weights = Weights(np.zeros((1, self.columns), np.int8), np.zeros(1, np.uint8))

    @property
    def columns(self) -> int:
        """Number of weights of a lattice."""
        return int(self.references.shape[1]) + len(self.statics)

    def view(self, spacing: int, known: Integers, threads: int = 1) -> View | None:
        """The references on the lattice of this spacing, `known` being the coarser one; None where they do not help."""
        row = self.weights.row(spacing)
        trust = int(self.weights.trust[row])
        if not trust:
            return None
        rows, columns = (-(-length // spacing) for length in self.decoded.shape[1:])
        shape = (len(self.references), rows, columns)
        mean, change, marks = np.empty(shape, np.int64), np.empty(shape, np.int64), np.empty(shape, np.int16)
        weights = self.weights.values[row].astype(np.int64)
        task = self.decoded, self.marks, self.references, self.statics, weights, spacing, mean, change, marks
        bands = 4 if mean.size >= LARGE else 1
        ends = [rows * band // bands for band in range(bands + 1)]
        share([partial(combine, *task, *pair) for pair in pairwise(ends)], threads)
        depth = lattice.LEVEL_STEP * min(self.distance.bit_length() - 1, lattice.LEVEL_TOP)
        return View(mean, change, marks, trust, depth)

    def corner(self) -> Integers | None:
        """The weighted mean at each frame's first pixel, on the coarsest lattice; None where references do not help."""
        if not self.weights.trust[-1]:
            return None
        pixels = [self.decoded[self.references, 0, 0], np.tile(self.statics[:, 0, 0], (len(self.references), 1))]
        total = np.concatenate(pixels, 1) @ self.weights.values[-1].astype(np.int64)
        mean = (total + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS
        return np.asarray(np.clip(mean, -lattice.LIMIT, lattice.LIMIT))

    def known(self, spacing: int = 1) -> list[NDArray[Any]]:
        """Each reference of the group's frames, then each static field, on the lattice of this spacing."""
        here = slice(None, None, spacing), slice(None, None, spacing)
        frames = [self.decoded[(each, *here)] for each in self.references.T]
        statics = self.statics[(slice(None), *here)]
        return [*frames, *(np.broadcast_to(static, (len(self.references), *static.shape)) for static in statics)]


@numba.njit(nogil=True, cache=True)
def combine(  # type: ignore[no-untyped-def]
    decoded, marks, references, statics, weights, spacing, mean, change, activity, first, last
):
    """Weighted mean, change and marks of the references on some rows of a lattice; spec section 2."""
    reach, width = references.shape[1], mean.shape[2]
    for f in range(mean.shape[0]):
        for i in range(first, last):
            y, total, moved, pulse = i * spacing, mean[f, i], change[f, i], activity[f, i]
            total[:] = np.int64(1) << (WEIGHT_BITS - 1)
            for k in range(reach):  # every loop runs along a row, so that it becomes SIMD
                row, weight = decoded[references[f, k], y, ::spacing], weights[k]
                for j in range(width):
                    total[j] += weight * row[j]
            for k in range(statics.shape[0]):
                fixed, weight = statics[k, y, ::spacing], weights[reach + k]
                for j in range(width):
                    total[j] += weight * fixed[j]
            for j in range(width):
                total[j] = min(max(total[j] >> WEIGHT_BITS, -lattice.LIMIT), lattice.LIMIT)
            moved[:], pulse[:] = 0, 0
            for k in range(min(reach, 2)):
                row, marked = decoded[references[f, k], y, ::spacing], marks[references[f, k], y, ::spacing]
                for j in range(width):
                    moved[j] += (2 * k - 1) * np.int64(row[j])
                    pulse[j] += marked[j]
