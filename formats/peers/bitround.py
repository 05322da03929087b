"""BitRound and zstd: mantissas rounded to as few bits as the bound allows, then bytes shuffled and packed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array, Mode, Peer, Shape
from adiabat.formats.peers.quantised import pack, unpack

__all__ = ["BITROUND", "round_bits"]

MANTISSA = 23  # bits of a float32 that are stored


def round_bits(field: Array, keepbits: int) -> Array:
    """Round mantissas to so many bits, to nearest, ties to even.

    Examples
    --------
    >>> round_bits(np.array([1.0, 1.2, 3.9], "f4"), 1).tolist()
    [1.0, 1.0, 4.0]
    """
    from numcodecs.bitround import BitRound

    if keepbits >= MANTISSA:
        return field
    rounded = np.asarray(BitRound(keepbits).encode(np.ascontiguousarray(field)))
    out: Array = rounded.view(np.float32).reshape(field.shape)
    return out


def encode(field: Array, bound: float) -> bytes:
    """All bytes with the fewest bits whose largest absolute error is within the bound."""
    return pack(_fewest(field, np.full((), bound)))


def encode_relative(field: Array, bound: float) -> bytes:
    """The same, for an error that is a share of each value."""
    return pack(_fewest(field, bound * np.abs(field.astype(np.float64))))


def decode(data: bytes, shape: Shape) -> NDArray[Any]:
    """The array back."""
    return unpack(data, "<f4", shape)


def _fewest(field: Array, limit: NDArray[np.float64]) -> Array:
    """What holds the limit with the fewest bits: found by halving, since errors shrink with bits."""
    low, high = 0, MANTISSA
    while low < high:
        middle = (low + high) // 2
        within = bool((np.abs(round_bits(field, middle).astype(np.float64) - field) <= limit).all())
        low, high = (low, middle) if within else (middle + 1, high)
    return round_bits(field, low)


BITROUND = Peer(
    "bitround+zstd",
    (),
    "",
    ("numcodecs",),
    bounded=(Mode("bits", encode, decode),),
    relative=(Mode("bits", encode_relative, decode),),
    rmse=(Mode("bits", encode, decode, start=2.0),),
    lossless=(Mode("all bits", lambda field, _: pack(field), decode),),
)
