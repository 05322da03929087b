"""Fields that a latent codec has to survive, whatever they are; shared by the tests of Hyperprior and VQ."""

from __future__ import annotations

import numpy as np


def smooth(shape=(64, 128), *, seed=0, offset=280.0):
    """A wrapping random field of some waves, float32."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(0, 2 * np.pi, n, endpoint=False) for n in shape), indexing="ij")
    total = np.zeros(shape)
    for _ in range(12):
        total += rng.normal() * np.sin(rng.integers(1, 7) * x + rng.integers(0, 5) * y + rng.uniform(0, 6))
    return (offset + 5 * total).astype(np.float32)


def hard_cases():
    """Name and array of fields unlike all training."""
    rng = np.random.default_rng(1)
    spike = np.zeros((33, 50), np.float32)
    spike[7, 9] = 1e6
    holes = smooth((40, 60))
    holes[5:20, 10:30] = np.nan
    holes[0, 0], holes[1, 1] = np.inf, -np.inf
    return {
        "checkerboard": np.where(np.indices((32, 48)).sum(0) % 2, 300, 200).astype(np.float32),
        "constant": np.full((20, 30), 7.25, np.float32),
        "huge": np.full((16, 16), 1e30, np.float32) * (1 + 0.1 * rng.random((16, 16), np.float32)),
        "tiny": (1e-38 * rng.random((16, 16))).astype(np.float32),
        "spike": spike,
        "noise": rng.normal(size=(40, 40)).astype(np.float32),
        "holes": holes,
        "all missing": np.full((9, 9), np.nan, np.float32),
        "one pixel": np.array([[3.5]], np.float32),
        "one row": smooth((1, 37)),
        "one column": smooth((37, 1)),
        "odd": smooth((7, 13)),
        "empty": np.zeros((0, 5), np.float32),
        "scalar": np.array(2.5),
        "float64": smooth((30, 41)).astype(np.float64) * 1e100,
        "float16": smooth((30, 41)).astype(np.float16),
        "big endian, Fortran": np.asfortranarray(smooth((30, 41))).astype(">f4", order="F"),
        "frames": np.stack([smooth((24, 32), seed=s) for s in range(3)])[:, None],
        "subnormal": (np.arange(64).reshape(8, 8) * 1e-45).astype(np.float32),
    }


def rmse(array, decoded):
    """Over what is finite, in float64."""
    x, y = np.asarray(array, np.float64), np.asarray(decoded, np.float64)
    good = np.isfinite(x)
    return float(np.sqrt(np.mean((x[good] - y[good]) ** 2))) if good.any() else 0.0
