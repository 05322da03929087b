"""What peers are given of a field: no holes, and of a relative bound the logarithms, with an absolute one.

Stage: evaluation, between `compare` and `best`. Where values are missing is kept beside, as packed bits under zstd, and
counted; so are signs and zeros beside logarithms. Holes are filled smoothly, so that they cost a peer little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.formats.peers.peer import Array

__all__ = ["Domain", "logarithmic", "plain"]

Back = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class Domain:
    """A field as peers take it, and the way back.

    Attributes
    ----------
    field : NDArray[np.float32]
        Without holes.
    bound : float
        Absolute, of `field`.
    side : int
        Bytes of what is kept beside.
    back : callable
        From what a peer decoded to the user's field, holes and all.
    """

    field: Array
    bound: float
    side: int
    back: Back


def plain(field: Array, bound: float = 0.0) -> Domain:
    """The field itself, its holes filled.

    Examples
    --------
    >>> domain = plain(np.array([[1.0, np.nan, 3.0, 3.0]], "f4"), 0.1)
    >>> domain.field.tolist(), domain.side > 0, domain.back(domain.field).tolist()
    ([[1.0, 1.0, 3.0, 3.0]], True, [[1.0, nan, 3.0, 3.0]])
    """
    valid = np.isfinite(field)
    if valid.all():
        return Domain(field, bound, 0, lambda decoded: decoded)
    odd = field[~valid]

    def back(decoded: NDArray[Any]) -> NDArray[Any]:
        out = np.array(decoded)
        out[~valid] = odd
        return out

    side = _packed(valid) + (0 if np.isnan(odd).all() else _zstd(np.isinf(odd) * np.sign(odd)))
    return Domain(_filled(field, valid), bound, side, back)


def logarithmic(field: Array, bound: float) -> Domain:
    """Logarithms of magnitudes to base 2, whose absolute error keeps a relative one of the field.

    Parameters
    ----------
    field : NDArray[np.float32]
    bound : float
        Relative: a share of each value's magnitude.

    Returns
    -------
    Domain
        Its bound is smaller than log2(1 + bound) by what rounding of logarithms may take.

    Source
    ------
    Liang et al., An efficient transformation scheme for lossy data compression with point-wise relative error bound,
    IEEE CLUSTER 2018.
    """
    valid, magnitude = np.isfinite(field), np.abs(field.astype(np.float64))
    some = valid & (magnitude > 0)
    logs = np.zeros(field.shape)
    np.log2(magnitude, out=logs, where=some)
    y = _filled(logs.astype(np.float32), some)
    negative = np.signbit(field)

    def back(decoded: NDArray[Any]) -> NDArray[Any]:
        x = np.exp2(decoded.astype(np.float64)).astype(np.float32)
        return np.where(some, np.where(negative, -x, x), field)  # the rest was kept as it is

    side = 0 if some.all() else _packed(some)
    side += 0 if valid.all() else _packed(valid)
    side += _packed(negative[some]) if negative[some].any() else 0
    slack = float(np.spacing(np.float32(np.abs(y).max()))) + 2.0**-23
    return Domain(y, max(float(np.log2(1 + bound)) - slack, float(np.log2(1 + bound)) / 2), side, back)


def _filled(field: Array, valid: NDArray[np.bool_]) -> Array:
    from adiabat.codec.holes import fill_holes

    if valid.all():
        return field
    frames = field.reshape(-1, *field.shape[-2:]).astype(np.float64)
    filled = fill_holes(frames, valid.reshape(frames.shape)).reshape(field.shape).astype(np.float32)
    return np.where(valid, field, filled)


def _packed(flags: NDArray[np.bool_]) -> int:
    """Bytes of flags as bits."""
    return _zstd(np.packbits(flags))


def _zstd(values: NDArray[Any]) -> int:
    from numcodecs import Zstd

    return len(Zstd(level=9).encode(np.ascontiguousarray(values)))
