"""Stands for a trained `DownscalerModel`: the exact velocity of Gaussian data whose covariance is known.

D is a first-order autoregressive field along both axes, correlated by `RHO` from cell to cell, of unit variance: what
the exact flow makes of white noise is `coloured`, but for `EDGE` cells at borders, beyond which there is nothing. M and
log s are simple functions of the inputs.
"""

from __future__ import annotations

import math

import numpy as np

RHO = 0.6
LOG_S = -0.5
EDGE = 24


def spectrum(height, width):
    """Of d, of mean 1 over all waves."""
    down, across = (
        (1 - RHO**2) / (1 + RHO**2 - 2 * RHO * np.cos(2 * np.pi * np.fft.fftfreq(n))) for n in (height, width)
    )
    return down[:, None] * across


def coloured(white):
    """The sample that many steps make of this noise: (..., H, W)."""
    return np.fft.ifft2(np.sqrt(spectrum(*white.shape[-2:])) * np.fft.fft2(white)).real


class StandIn:
    """The methods of a `DownscalerModel`; counts what it is asked for."""

    sha256 = "0" * 64
    factors = (4, 8)
    multiple = 8
    width = 1

    def __init__(self):
        self.evaluations = 0

    def features(self, coarse_inputs):
        return coarse_inputs[:, :1]

    def mean(self, features, fine_inputs):
        m = 0.2 * np.tanh(fine_inputs[:, :1])
        return np.concatenate([m, np.full_like(m, LOG_S)], axis=1)

    def velocity(self, x, t, features, fine_inputs, mean):
        factor = x.shape[-1] // features.shape[-1]
        for given, side in ((fine_inputs, 1), (mean, 1), (features, factor)):
            assert tuple(n * side for n in given.shape[-2:]) == x.shape[-2:]
        assert not any(n % self.multiple for n in x.shape[-2:])
        assert {given.dtype for given in (x, t, features, fine_inputs, mean)} == {np.dtype(np.float32)}
        self.evaluations += 1
        alpha, sigma = math.cos(math.pi / 2 * t[0]), math.sin(math.pi / 2 * t[0])
        padded = np.pad(x, ((0, 0), (0, 0), (0, EDGE), (0, EDGE)))
        known = spectrum(*padded.shape[-2:])
        gain = alpha * known / (alpha**2 * known + sigma**2)
        data = np.fft.ifft2(gain * np.fft.fft2(padded)).real[..., : x.shape[-2], : x.shape[-1]]
        return ((alpha * x - data) / sigma).astype(np.float32)
