"""The dyadic lattice of a frame: which pixels a pass predicts, from which neighbours, as integers.

Stage of `pyramid`: frames -> **lattice** -> stencil.  Spec: spec/pyramid.md, sections 2 to 4.

A frame is coded coarse to fine. On the lattice of spacing `s` the pixels whose row and column are both even are
known (part C); three passes fill in the rest:

    C A C A      D  first,  from the diagonal C
    B D B D      A  second, from C and D
    C A C A      B  third,  from C, D and A
    B D B D

All values are int64 in fine units (`bound.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from adiabat.codec.cached import cached_property

PAD = 2  # rows and columns around each part, so that a stencil never leaves it
CONTEXTS = 12  # inputs of the network after the stencil
SIDE_CONTEXTS = 8  # and after those, where references are known
LANES = 8  # inputs, a byte each, to a word; the last word is filled up with zeros
NEAR, WIDE = 4, 12  # the stencil's first entries are averaged to the centre; up to WIDE they count as its surroundings
LIMIT = 1 << 38  # magnitude of any value in fine units; keeps every product below 2**63
LINEAR_BITS = 14  # fraction bits of the linear path's weights
OFFSET_BITS = 8  # the network's offset is in units of scale / 2**OFFSET_BITS
OFFSET_LIMIT = 4095
SYMBOL_LIMIT = 127  # residual symbols are clipped to this where they serve as context
LEVEL_STEP, LEVEL_TOP = 14, 8

C, D, A, B = range(4)
PARITY = ((0, 0), (1, 1), (0, 1), (1, 0))  # row and column of a part, modulo 2


@dataclass(frozen=True)
class Pass:
    """One pass: targets at lattice positions (2 i + row, 2 j + column), and the stencil around each, nearest first.

    Attributes
    ----------
    table : NDArray[np.int64], shape (n, 5)
        For each stencil entry: part, row shift and column shift inside the part, row and column offset on the lattice.
    """

    name: str
    row: int
    column: int
    table: NDArray[np.int64]

    @property
    def stencil(self) -> int:
        """Number of stencil values."""
        return len(self.table)

    @property
    def inputs(self) -> int:
        """Width of the network's input: the stencil, its contexts, and zeros up to a whole word of bytes."""
        return -(-(len(self.table) + CONTEXTS) // LANES) * LANES

    @property
    def side_inputs(self) -> int:
        """The same of the network that sees references too."""
        return -(-(len(self.table) + CONTEXTS + SIDE_CONTEXTS) // LANES) * LANES

    @cached_property
    def taps(self) -> NDArray[np.int64]:
        """Weights of plain cubic interpolation at the stencil, shape (n,), in units of 2**-8."""
        dy, dx = np.abs(self.table[:, 3]), np.abs(self.table[:, 4])
        if self.name == "D":
            cubic = np.array([0, 9, 0, -1])
            return np.asarray(cubic[dy] * cubic[dx])
        along = np.array([0, 72, 0, -8])
        return np.asarray(np.where(dy == 0, along[dx], 0) + np.where(dx == 0, along[dy], 0))


def _pass(name: str, row: int, column: int, *products: tuple[tuple[int, ...], tuple[int, ...]]) -> Pass:
    """A pass whose stencil is the union of the products rows x columns, nearest first, then by row and column."""
    offsets = sorted(
        ((dy, dx) for rows, columns in products for dy in rows for dx in columns),
        key=lambda offset: (offset[0] ** 2 + offset[1] ** 2, offset),
    )
    table = []
    for dy, dx in offsets:
        parity = (row + dy) % 2, (column + dx) % 2
        table.append((PARITY.index(parity), (row + dy - parity[0]) // 2, (column + dx - parity[1]) // 2, dy, dx))
    return Pass(name, row, column, np.array(table, np.int64))


_ODD, _EVEN = (-3, -1, 1, 3), (-2, 0, 2)
PASSES = (
    _pass("D", 1, 1, (_ODD, _ODD)),
    _pass("A", 0, 1, (_EVEN, _ODD), (_ODD, _EVEN)),
    _pass("B", 1, 0, (_EVEN, _ODD), (_ODD, _EVEN), ((-1, 1), (-1, 1))),
)


def spacings(height: int, width: int) -> list[int]:
    """Lattice spacings of a frame, coarsest first; before the first only pixel (0, 0) is known."""
    return [1 << level for level in reversed(range(max(height - 1, width - 1, 0).bit_length()))]


def part_index(length: int, parity: int, rows: int, *, wrap: bool) -> NDArray[np.int64]:
    """Where rows -PAD .. rows-1+PAD of a padded part come from: mirrored about the first and last lattice row.

    Mirroring about a pixel, and a period that is even, keep the parity and so the part.
    """
    position = 2 * np.arange(-PAD, rows + PAD) + parity
    if wrap and length % 2 == 0:
        return (position % length - parity) // 2
    period = max(2 * (length - 1), 1)
    position = np.abs(position) % period
    return np.asarray(np.maximum(np.minimum(position, period - position) - parity, 0) // 2)


@numba.njit(nogil=True, cache=True)
def pad(part, rows, columns, padded):  # type: ignore[no-untyped-def]
    """padded[f, r, c] = part[f, rows[r], columns[c]]; inside, columns follow one another."""
    inside = part.shape[2]
    for f in range(part.shape[0]):
        for r in range(rows.size):
            source, target = part[f, rows[r]], padded[f, r]
            middle = target[PAD : PAD + inside]
            for c in range(inside):
                middle[c] = source[c]
            for c in range(PAD):
                target[c] = source[columns[c]]
            for c in range(PAD + inside, columns.size):
                target[c] = source[columns[c]]
