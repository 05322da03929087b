"""The instrument that is simulated: wavelengths, slit width, gains, noise and dead pixels of each detector row.

Stage: beside tempo_scene; both feed tempo_radiative. The detector is the same in every granule, whatever the seed of
the scene. Where each number is from: ``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]

ROWS, STEPS, CHANNELS = 2048, 132, 1028  # of the product
BANDS = {"band_290_490_nm": (292.6, 494.4), "band_540_740_nm": (538.6, 740.4)}  # nm, first and last, slit's middle
NARROW, WIDE = 0.57, 0.62  # nm, full widths at half maximum
EXPONENT = 2.4  # of the super-Gaussian slit
SMILE, TILT = 0.35, 0.12  # nm at the ends of the slit
SEED = 20230407  # of the detector
ELECTRONS = 1.0e-7  # in a radiance of 1 photon s-1 cm-2 nm-1 sr-1, at 440 nm, all co-added frames together
READ = 100.0  # electrons, all frames together
ROW_GAIN, PIXEL_GAIN = 1.0e-3, 5.0e-5  # what calibration leaves: standard deviations by row, and by row and channel
DEAD = 3.0e-4  # share of detector pixels
PACKET, LOST = 16, 2e-3  # rows that go missing together, and how often
COSMIC = 1e-5  # share of values that a particle hit
FULL = 1.6e14  # radiance at which a detector pixel is full
FLAGS = (
    "missing_data", "bad_pixel", "processing_error", "transient_pixel", "rts_pixel", "saturated", "noise_underflow",
    "dark_corr_error", "offset_corr_error", "smear_corr_error", "straylight_corr_error", "nonlinear_range",
)  # fmt: skip
MASKS = {name: np.uint16(1 << bit) for bit, name in enumerate(FLAGS)}  # of pixel_quality_flag
_RESPONSE = ((285, 0.35), (300, 0.5), (320, 0.7), (350, 0.85), (400, 1.0), (500, 1.0), (600, 0.9), (750, 0.7))


@dataclass(frozen=True)
class Detector:
    """Some rows of the detector.

    Attributes
    ----------
    rows : NDArray[np.int64]
        (rows,) Numbers, 0 to 2047.
    wavelength : NDArray[np.float64]
        (rows, channels) nm, strictly increasing.
    gain : NDArray[np.float32]
        (rows, channels) What calibration leaves, about 1.
    electrons : NDArray[np.float32]
        (rows, channels) Per unit of radiance.
    dead : NDArray[np.bool_]
        (rows, channels).
    """

    rows: Rows
    wavelength: Doubles
    gain: Floats
    electrons: Floats
    dead: NDArray[np.bool_]


def detector(rows: Rows, *, channels: int = CHANNELS, band: str = "band_290_490_nm") -> Detector:
    """Describe some rows.

    Parameters
    ----------
    rows : NDArray[np.int64]
        Numbers, 0 to 2047, north to south.
    channels : int
        1028 is what the product has; others lie on the same range of wavelengths.
    band : str
        One of BANDS.

    Raises
    ------
    ValueError
        If there is no such band or row, or fewer than 2 channels.
    """
    if band not in BANDS:
        raise ValueError(f"expected a band of {', '.join(BANDS)}, got {band!r}")
    if channels < 2 or not len(rows) or min(rows) < 0 or max(rows) >= ROWS:
        raise ValueError(f"expected rows within 0 to {ROWS - 1} and 2 channels or more, got {rows} and {channels}")
    first, last = BANDS[band]
    place = (np.asarray(rows) - (ROWS - 1) / 2) / (ROWS / 2)  # -1 to 1 along the slit
    shift = SMILE * (place**2 - 1 / 3) + TILT * place
    wavelength = np.linspace(first, last, channels) + shift[:, np.newaxis]
    kind = list(BANDS).index(band)
    row_gain = _rows(rows, 1, kind, lambda rng: rng.normal(0, ROW_GAIN, 1))
    pixel_gain = _rows(rows, 2, kind, lambda rng: rng.normal(0, PIXEL_GAIN, channels))
    dead = _rows(rows, 3, kind, lambda rng: rng.random(channels)) < DEAD
    response = np.interp(wavelength, *np.transpose(_RESPONSE))
    return Detector(
        np.asarray(rows, np.int64),
        wavelength,
        (1 + row_gain + pixel_gain).astype(np.float32),
        (ELECTRONS * response).astype(np.float32),
        dead,
    )


def widths(rows: Rows) -> Doubles:
    """Where the slit's width of each row lies between NARROW, 0, and WIDE, 1: widest at the ends."""
    place = (np.asarray(rows) - (ROWS - 1) / 2) / (ROWS / 2)
    return np.asarray(np.clip(0.15 + 0.7 * place**2 + 0.1 * place, 0, 1))


def error_of(radiance: Floats, electrons: Floats) -> Floats:
    """Standard deviation of the noise of a radiance: sqrt(read^2 + electrons) electrons, as radiance.

    Examples
    --------
    >>> error_of(np.float32([1.5e13]), np.float32([1e-7])) / 1.5e13  # 1 / signal-to-noise
    array([0.00081921], dtype=float32)
    """
    counted = np.maximum(radiance, np.float32(0))
    counted *= electrons
    counted += np.float32(READ**2)
    np.sqrt(counted, out=counted)
    counted /= electrons
    return np.asarray(counted)


def measured(clean: Floats, electrons: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Add shot and read noise to radiances, and state the error that the instrument sees: that of what it measured.

    Parameters
    ----------
    clean : NDArray[np.float32]
        (steps, rows, channels) photons s-1 cm-2 nm-1 sr-1.
    electrons : NDArray[np.float32]
        (rows, channels), of `Detector`.
    rng : numpy.random.Generator

    Returns
    -------
    radiance, error : NDArray[np.float32]
        (steps, rows, channels).
    """
    radiance, error = np.empty_like(clean), np.empty_like(clean)
    for light, out, sigma in zip(clean, radiance, error, strict=True):  # a step at a time stays in the cache
        rng.standard_normal(out=out, dtype=np.float32)
        out *= error_of(light, electrons)
        out += light
        sigma[...] = error_of(out, electrons)
    return radiance, error


def faults(radiance: Floats, error: Floats, dead: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Flag dead and full pixels and lost packets, and let particles hit some (in place), which is flagged too.

    Parameters
    ----------
    radiance, error : NDArray[np.float32]
        (steps, rows, channels), of `measured`; particles are added to the radiance.
    dead : NDArray[np.bool_]
        (rows, channels).
    rng : numpy.random.Generator

    Returns
    -------
    NDArray[np.uint16]
        (steps, rows, channels) of MASKS.
    """
    flags = np.zeros(radiance.shape, np.uint16)
    hits = rng.integers(0, radiance.size, rng.poisson(COSMIC * radiance.size))
    radiance.reshape(-1)[hits] += (200 * error.reshape(-1)[hits] * rng.random(len(hits))).astype(np.float32)
    flags.reshape(-1)[hits] |= MASKS["transient_pixel"]
    flags[:, dead] |= MASKS["bad_pixel"] | MASKS["missing_data"]
    flags[radiance > FULL] |= MASKS["saturated"]
    packets = rng.random((len(radiance), -(-radiance.shape[1] // PACKET))) < LOST
    flags[np.repeat(packets, PACKET, 1)[:, : radiance.shape[1]]] |= MASKS["missing_data"]
    return flags


def _rows(rows: Rows, what: int, kind: int, draw: Callable[[np.random.Generator], Doubles]) -> Doubles:
    """Random numbers that belong to a row, whichever rows are asked for."""
    return np.stack([draw(np.random.default_rng([SEED, what, kind, int(row)])) for row in rows])
