"""Low bits of symbols of large scale, written as they are.

Part of `entropy`. Spec: spec/entropy.md, "From a letter to a symbol".
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def raw_bytes(counts: Integers, raw_bits: Integers) -> int:
    """Bytes of a band's raw bits: those of each context, lowest bit first, are filled up to a byte."""
    return int(((counts * raw_bits + 7) >> 3).sum())


def raw_count(counts: Integers, raw_bits: Integers) -> int:
    """Raw bits of a band."""
    return int((counts * raw_bits).sum())


@numba.njit(nogil=True, cache=True)
def split_raw(symbols, starts, raw_bits, raw, dense):  # type: ignore[no-untyped-def]
    """Move the low bits of each symbol into `raw`, and leave the nearest multiple of 2**bits, divided by it.

    dense: a byte of `raw` for each bit, contexts in a row; else eight bits to a byte, and a new byte for each context.
    """
    byte, bit_of_all = 0, 0
    for c in range(raw_bits.size):
        bits, position = raw_bits[c], 0
        if bits == 0 or starts[c] == starts[c + 1]:
            continue
        for t in range(starts[c], starts[c + 1]):
            shifted = symbols[t] + (np.int64(1) << (bits - 1))
            symbols[t] = shifted >> bits
            for bit in range(bits):
                if dense:
                    raw[bit_of_all] = (shifted >> bit) & 1
                    bit_of_all += 1
                else:
                    raw[byte + (position >> 3)] |= np.uint8(((shifted >> bit) & 1) << (position & 7))
                    position += 1
        byte += (position + 7) >> 3


@numba.njit(nogil=True, cache=True)
def join_raw(symbols, order, starts, raw_bits, raw, dense):  # type: ignore[no-untyped-def]
    """Undo `split_raw`, of symbols that stand where the order says."""
    byte, bit_of_all = 0, 0
    for c in range(raw_bits.size):
        bits, position = raw_bits[c], 0
        if bits == 0 or starts[c] == starts[c + 1]:
            continue
        for t in range(starts[c], starts[c + 1]):
            low = np.int64(0)
            for bit in range(bits):
                if dense:
                    low |= np.int64(raw[bit_of_all]) << bit
                    bit_of_all += 1
                else:
                    low |= np.int64((raw[byte + (position >> 3)] >> (position & 7)) & 1) << bit
                    position += 1
            symbols[order[t]] = (symbols[order[t]] << bits) + low - (np.int64(1) << (bits - 1))
        byte += (position + 7) >> 3
