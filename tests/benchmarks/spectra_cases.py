"""What `spectra.py` and `slant_columns.py` measure: a simulated granule, sky spectra of 4STAR."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adiabat.training.simulate_tempo import simulate_granule
from adiabat.training.tempo_instrument import ROWS, detector, error_of

BAND = "band_290_490_nm"
SMOOTH = 31  # channels
Array = np.ndarray


@dataclass(frozen=True)
class Granule:
    """Simulated radiances (step, row, channel) with noise, NaN where flagged, and without; one sigma of each."""

    noisy: Array
    sigma: Array
    clean: Array
    clean_sigma: Array
    wavelength: Array  # (row, channel)
    rows: Array  # of the detector


def granule_of(path: Path | None, *, steps: int = 32, xtrack: int = 256, seed: int = 7) -> Granule:
    """Read a simulated granule, or simulate one."""
    from adiabat.formats.sources.tempo import open_tempo

    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            shape = {"mirror_steps": steps, "xtrack": xtrack}
            path = simulate_granule(Path(folder) / "granule.nc", **shape, seed=seed, band="290_490", clean=True)
        with open_tempo(path, bands=(BAND,)) as tree:
            band, truth = tree[BAND], tree[f"simulated_truth/{BAND}"]
            noisy, sigma = (np.asarray(band[name].values, np.float32) for name in ("radiance", "radiance_error"))
            wavelength = np.asarray(band["nominal_wavelength"].values)
            clean = np.asarray(truth["radiance_clean"].values, np.float32)
    rows = np.arange(noisy.shape[1]) + (ROWS - noisy.shape[1]) // 2
    electrons = detector(rows, channels=noisy.shape[2], band=BAND).electrons
    return Granule(noisy, sigma, clean, error_of(clean, electrons), wavelength, rows)


def measured(path: Path) -> dict[str, tuple[Array, Array]]:
    """Spectra (spectrum, channel) of 4STAR and their noise (channel,): rates, radiances, radiances without flagged."""
    from scipy.io import loadmat

    file = loadmat(path)
    rate, light = (np.asarray(file[name], np.float32) for name in ("rate", "skyrad"))
    cases = {
        "count rate": rate,
        "sky radiance": light,
        "sky radiance, flags out": np.where(file["flag"], np.nan, light),
    }
    return {f"{name}, {100 * np.isnan(x).mean():.0f} % missing": (x, noise_of(x)) for name, x in cases.items()}


def noise_of(x: Array) -> Array:
    """One standard deviation of each channel's noise, as the module's docstring says."""
    x = x[np.isfinite(x).any(1)].astype(np.float64)
    second = np.full(x.shape, np.nan)
    second[:, 1:-1] = x[:, :-2] - 2 * x[:, 1:-1] + x[:, 2:]
    sigma = np.full(x.shape[1], np.nan)
    for channel in np.flatnonzero(np.isfinite(second).sum(0) > 8):
        there = np.isfinite(second[:, channel])
        bend, light = second[there, channel], x[there, channel]
        bend -= light * np.median(bend[light != 0] / light[light != 0])
        sigma[channel] = 1.4826 * np.median(np.abs(bend - np.median(bend))) / np.sqrt(6)
    reach = SMOOTH // 2
    sigma = np.where(sigma > 0, sigma, np.nan)
    windows = [sigma[max(0, at - reach) : at + reach + 1] for at in range(len(sigma))]
    smooth = np.array([np.median(part[np.isfinite(part)]) if np.isfinite(part).any() else np.nan for part in windows])
    known = np.flatnonzero(np.isfinite(smooth))
    return np.interp(np.arange(len(smooth)), known, smooth[known]).astype(np.float32)


def filled(z: Array) -> Array:
    """Fill for peers: a share of the mean spectrum, straight along channels; an empty pixel is the nearest step's."""
    flat = np.moveaxis(z, -2, 0).reshape(-1, z.shape[-1]).copy() if z.ndim == 3 else z.copy()
    there, place = np.isfinite(flat), np.arange(z.shape[-1])
    mean = np.where(there, flat, 0).sum(0, dtype=np.float64) / np.maximum(there.sum(0), 1)
    if not (mean > 0).all():  # no share of it
        mean = np.ones_like(mean)
    some = np.flatnonzero(there.any(1))
    for pixel in some[~there[some].all(1)]:
        known, gaps = np.flatnonzero(there[pixel]), np.flatnonzero(~there[pixel])
        flat[pixel, gaps] = mean[gaps] * np.interp(place[gaps], known, flat[pixel, known] / mean[known])
    empty = np.flatnonzero(~there.any(1))
    after = np.clip(np.searchsorted(some, empty), 1, len(some) - 1)
    near = np.where(empty - some[after - 1] <= some[after] - empty, some[after - 1], some[after])
    flat[empty] = flat[near]
    back = np.moveaxis(flat.reshape(z.shape[1], z.shape[0], -1), 0, 1) if z.ndim == 3 else flat
    return np.ascontiguousarray(back, np.float32)


@dataclass(frozen=True)
class Stabilised:
    """Radiance as y with noise of one everywhere: dy = dx / sigma, sigma^2 = a + b x, two numbers for each channel."""

    a: Array
    b: Array

    @classmethod
    def of(cls, x: Array, sigma: Array) -> Stabilised:
        """Fit a and b; noise that does not grow with x keeps b a little above zero."""
        a, b = np.empty(x.shape[-1]), np.empty(x.shape[-1])
        for channel in range(x.shape[-1]):
            light, square = (
                x[..., channel].ravel().astype(np.float64),
                sigma[..., channel].ravel().astype(np.float64) ** 2,
            )
            there = np.isfinite(light) & np.isfinite(square)
            b[channel], a[channel] = np.polyfit(light[there], square[there], 1, w=1 / square[there])
        return cls(a, b)

    def forward(self, x: Array) -> Array:
        """y of x."""
        return 2 / self.b * np.sqrt(np.maximum(self.a + self.b * x.astype(np.float64), 0))

    def back(self, y: Array) -> Array:
        """x of y."""
        return ((y.astype(np.float64) * self.b / 2) ** 2 - self.a) / self.b
