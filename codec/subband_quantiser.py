"""Coefficients -> symbols: the nearest, or a smaller one where it saves more bits than it costs in error.

Stage of `hyperprior`, encoder only: subband_walk -> **subband_quantiser** -> entropy.

Rate-distortion-optimised quantisation, greedy in the order of coding: error^2 / step^2 + lmbda * bits, least of the
nearest symbol, the next one towards zero, and zero.
"""

from __future__ import annotations

import numba
import numpy as np

from adiabat.codec.entropy import REACH


@numba.njit(nogil=True, cache=True)
def quantise(target, mean, context, step, shrink, table_of, raw_bits, lengths, lmbda, symbols):  # type: ignore[no-untyped-def]
    """Symbols of a pass; target: float64, in the integers' units."""
    for t in range(target.size):
        residual = (target[t] - mean[t]) / step
        size = abs(residual)
        nearest = np.int64(np.floor(size + 0.5))
        if nearest == 0:
            symbols[t] = 0
            continue
        c = context[t]
        best, cost = nearest, np.inf
        if raw_bits[c] == 0 and nearest < REACH:
            length = lengths[table_of[c]]
            for less in (0, 1, nearest):
                q = nearest - less
                point = float(q)
                if q:
                    point -= shrink[c, 1 if q > 1 else 0] / 256.0
                signed = q if residual > 0 else -q
                here = (size - point) ** 2 + lmbda * length[REACH + signed]
                if here < cost:
                    best, cost = q, here
        symbols[t] = best if residual > 0 else -best
