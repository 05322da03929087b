"""A tile: some hundred targets that are handled together, row by row of scratch, so that every loop becomes SIMD.

Stage of `pyramid`: lattice -> **tile** -> stencil, side_lattice. Spec: spec/pyramid.md, section 3.

Every loop runs over the whole tile, whose length is known when it is compiled; what lies beyond the last target is
computed too and left alone.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adiabat.codec.integer_net import INPUT_ZERO
from adiabat.codec.lattice import PAD

TILE = 192  # targets; scratch rows of so many stay in the first-level cache


def _bit_length(typing: Any, value: Any) -> Any:
    """Number of bits of a value in 0 .. 2**63-1; an instruction of most CPUs, which numba does not name."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zeros = builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))
        return builder.sub(ir.Constant(ir.IntType(64), 64), zeros)

    return types.int64(types.int64), generate


bit_length: Any = intrinsic(_bit_length)


@numba.njit(inline="always")
def log8(value):  # type: ignore[no-untyped-def]
    """Eight times the logarithm to base 2, linear between powers of two; value >= 1."""
    exponent = bit_length(value) - 1
    return 8 * exponent + (((value << 3) >> exponent) & 7)


@numba.njit(inline="always")
def to_input(value):  # type: ignore[no-untyped-def]
    """A value, clipped to what an input can be, as the network reads it."""
    return numba.uint8(min(max(value, -127), 127) + INPUT_ZERO)


@numba.njit(inline="always")
def over(value, shift, inverse):  # type: ignore[no-untyped-def]
    """An input: the value over a scale that `invert` has turned round, in units of 1 / 32."""
    return to_input(((value >> shift) * inverse + (1 << 26)) >> 27)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def invert(scale, shift, inverse):  # type: ignore[no-untyped-def]
    """Shift and inverse such that x / scale is nearly ((x >> shift) * inverse) >> 32."""
    for j in range(TILE):
        shift[j] = max(bit_length(scale[j]) - 16, 0)
    for j in range(TILE):  # exact although in float64: the quotient's distance from the next integer is > 2**-17
        inverse[j] = numba.int64(4294967296.0 / numba.float64(scale[j] >> shift[j]))


@numba.njit(nogil=True, cache=True)
def put_log(values, lane):  # type: ignore[no-untyped-def]
    """The logarithm of some values >= 1, as an input."""
    for j in range(TILE):
        lane[j] = to_input(log8(numba.int64(values[j])))


@numba.njit(nogil=True, cache=True)
def cut(target, width, height, columns, runs):  # type: ignore[no-untyped-def]
    """The runs of targets in a row that a tile consists of: frame, row, column, place in the tile, length of each."""
    count, place = 0, 0
    while place < width:
        row, left = (target + place) // columns, (target + place) % columns
        length = min(columns - left, width - place)
        runs[count, 0], runs[count, 1], runs[count, 2] = row // height, row % height, left
        runs[count, 3], runs[count, 4] = place, length
        place += length
        count += 1
    return count


@numba.njit(inline="always")
def load(parts, table, k, runs, count, values):  # type: ignore[no-untyped-def]
    """What stands at the k-th entry of the stencil for each target of a tile."""
    part, dr, dc = table[k, 0], table[k, 1] + PAD, table[k, 2] + PAD
    for run in range(count):
        f, r, c, place, length = runs[run, 0], runs[run, 1] + dr, runs[run, 2] + dc, runs[run, 3], runs[run, 4]
        source, target = parts[part, f, r, c : c + length], values[place : place + length]
        for j in range(length):
            target[j] = source[j]
