"""Reference spectra made of bells, in the files and units of the real ones, and a small granule made from them."""

from __future__ import annotations

import numpy as np

from adiabat.training.tempo_spectroscopy import FILES


def bells(grid, seed, scale):
    """A smooth level with some thirty lines on it, all positive."""
    rng = np.random.default_rng(seed)
    out = np.ones_like(grid)
    for middle, width, size in zip(
        rng.uniform(285, 750, 60), rng.uniform(0.3, 3, 60), rng.uniform(0, 0.8, 60), strict=True
    ):
        out += size * np.exp(-0.5 * ((grid - middle) / width) ** 2)
    return scale * out


def write_tables(folder):
    """Write all of FILES into a folder."""
    grid = np.arange(280.0, 760.0, 0.05)
    sun = bells(grid, 1, 3e14)
    ozone = 3e-17 * np.exp(-(grid - 290) / 6.5) + 1e-21
    zeros = np.zeros_like(grid)
    tables = {
        "sun": (grid, sun),
        "ring": (grid, 1e-28 * bells(grid, 2, 1.0)),
        "o3": (grid, 1e20 * ozone / 20, 1e17 * ozone / 20, zeros),
        "no2": (grid, bells(grid, 3, 30.0), zeros - 0.02, zeros),
        "hcho": (grid, bells(grid, 4, 2e-20)),
        "o4": (grid, 2e-46 * np.exp(-0.5 * ((grid - 477) / 3) ** 2)),
    }
    folder.mkdir(exist_ok=True)
    for name, columns in tables.items():
        np.savetxt(folder / FILES[name], np.transpose(columns), header="made of bells")
    return folder
