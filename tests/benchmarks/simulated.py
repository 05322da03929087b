"""Simulated fields of the benchmarks: temperatures at rest, and what moves and changes through time."""

from __future__ import annotations

import numpy as np

SLOPE = -(5 / 3 + 1) / 2  # of amplitudes, for -5/3 in energy: on a ring, that is amplitude squared times its length
STEEP = -(3 + 1) / 2  # for -3, as of large scales


def spectral(shape: tuple[int, int] = (721, 1440), seed: int = 0) -> np.ndarray:
    """A temperature in K whose spectrum falls with -5/3, on its mean by latitude; periodic in x."""
    rng = np.random.default_rng(seed)
    wavenumber = _wavenumber(2 * shape[0], shape[1])  # twice as high: no seam at the poles
    phase = np.exp(2j * np.pi * rng.random(wavenumber.shape))
    field = np.fft.irfft2((1 + wavenumber) ** SLOPE * phase, s=(2 * shape[0], shape[1]))[: shape[0]]
    temperature: np.ndarray = (mean(shape[0]) + 8 * field / field.std()).astype("f4")
    return temperature


def moving(
    shape: tuple[int, int, int], *, drift: float, lifetime: float, closed: bool = True, seed: int = 0
) -> np.ndarray:
    """Anomalies of variance 1 whose spectrum falls with -3: waves drift along x and turn at paces of their own.

    drift: pixels a frame; lifetime: frames until the longest waves have become others, as smaller ones have sooner;
    closed: periodic in x.
    """
    rng, (length, height, width) = np.random.default_rng(seed), shape
    columns = width if closed else 2 * width
    wavenumber = _wavenumber(2 * height, columns)
    wave = (1 + wavenumber) ** STEEP * np.exp(2j * np.pi * rng.random(wavenumber.shape))
    pace = rng.normal(size=wavenumber.shape) * (1 + wavenumber) ** (2 / 3) / lifetime
    pace -= 2 * np.pi * drift * np.fft.rfftfreq(columns)
    field = np.empty(shape)
    for time in range(length):
        field[time] = np.fft.irfft2(wave * np.exp(1j * pace * time), s=(2 * height, columns))[:height, :width]
    anomalies: np.ndarray = field / field.std()
    return anomalies


def mean(rows: int) -> np.ndarray:
    """Temperature by latitude, (rows, 1): it falls towards the poles."""
    by_latitude: np.ndarray = 288 - 40 * np.sin(np.linspace(-np.pi / 2, np.pi / 2, rows))[:, None] ** 2
    return by_latitude


def _wavenumber(rows: int, columns: int) -> np.ndarray:
    """Of each coefficient of `irfft2`, in waves around the domain."""
    number: np.ndarray = np.hypot(np.fft.fftfreq(rows)[:, None] * rows, np.fft.rfftfreq(columns) * columns)
    return number
