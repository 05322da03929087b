"""Frequency tables: a formula to begin with, then what the networks' contexts really held.

Source of the shapes: two-sided exponential, a mixture of two of them, and the normal distribution.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from adiabat.codec import entropy
from adiabat.training.pyramid import probabilities

PRIOR = 30.0  # letters' worth of the formula in each counted table


def parametric() -> NDArray[np.float64]:
    """Probabilities by formula: float64 (tables, letters)."""
    q = torch.arange(-entropy.REACH, entropy.REACH + 1, dtype=torch.float64)
    rows = []
    for scale in range(entropy.SCALES):
        b = torch.full_like(q, 2.0 ** ((scale - entropy.SCALE_ONE) / 4))
        for p in probabilities(q, b):
            rows.append(torch.cat([p, (1 - p.sum()).clamp(min=1e-7)[None]]).numpy())
    return _normal(np.stack(rows))


def counted(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities from weighted counts (tables, letters), symmetric, the formula as a prior."""
    body = counts[:, : entropy.ESCAPE]
    symmetric = np.concatenate([(body + body[:, ::-1]) / 2, counts[:, entropy.ESCAPE :]], 1)
    return _normal(symmetric + PRIOR * parametric())


def to_frequencies(probability: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Integers of at least 1 that sum to 2**24 in each row."""
    total, count = 1 << entropy.PRECISION, probability.shape[1]
    whole = np.floor(probability * (total - count)).astype(np.int64) + 1
    whole[np.arange(len(whole)), whole.argmax(1)] += total - whole.sum(1)
    return np.asarray(whole.astype(np.uint32))


def _normal(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(counts / counts.sum(1, keepdims=True))
