"""Random fields of a known spectrum."""

from __future__ import annotations

import numpy as np


def rough_field(slope, shape, seed=0, size=512):
    """A crop of a periodic field whose power by wave falls as k^-slope."""
    rng = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    k[0, 0] = np.inf
    full = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * k ** (-slope / 2)).real
    return full[: shape[0], : shape[1]] / full.std()
