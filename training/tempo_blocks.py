"""A scene -> radiances without noise, some rows of the detector at a time, so that memory stays small.

Stage: tempo_scene, tempo_spectroscopy, tempo_radiative and tempo_instrument -> **tempo_blocks** -> simulate_tempo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from adiabat.training.tempo_instrument import BANDS, CHANNELS, Detector, detector
from adiabat.training.tempo_radiative import GASES, knots, row_spectra, smooth
from adiabat.training.tempo_scene import Geometry, Scene
from adiabat.training.tempo_spectroscopy import Fine, default_folder, fine_tables, row_tables

Floats = NDArray[np.float32]
Fields = TypeVar("Fields", Geometry, Scene)

UV = next(iter(BANDS))
BLOCK = 64  # rows in memory at a time
BEYOND = 1.0  # nm that tables reach beyond the band, for the smile


@dataclass(frozen=True)
class Block:
    """Some rows of a granule, without noise.

    Attributes
    ----------
    rows : slice
        Which, of those simulated.
    detector : Detector
    radiance : NDArray[np.float32]
        (steps, rows, channels) photons s-1 cm-2 nm-1 sr-1.
    slant : dict of str to NDArray[np.float32]
        (steps, rows) Slant columns, molecules cm-2.
    irradiance : NDArray[np.float32]
        (rows, channels) photons s-1 cm-2 nm-1.
    """

    rows: slice
    detector: Detector
    radiance: Floats
    slant: dict[str, Floats]
    irradiance: Floats


def tables_of(band: str, spectroscopy: Path | None = None) -> Fine:
    """Reference spectra of a band, read once.

    Raises
    ------
    ValueError
        If there is no such band.
    FileNotFoundError
        If the reference spectra are missing.
    """
    if band not in BANDS:
        raise ValueError(f"expected a band of {', '.join(BANDS)}, got {band!r}")
    first, last = BANDS[band]
    return fine_tables(Path(spectroscopy or default_folder()), first - BEYOND, last + BEYOND)


def simulate_blocks(
    where: Geometry,
    scene: Scene,
    rows: NDArray[np.int64],
    *,
    channels: int = CHANNELS,
    band: str = UV,
    spectroscopy: Path | None = None,
) -> Iterator[Block]:
    """Simulate a scene without noise, BLOCK rows at a time.

    Parameters
    ----------
    where, scene : Geometry, Scene
        Fields of (steps, rows).
    rows : NDArray[np.int64]
        (rows,) Numbers on the detector.
    channels : int
    band : str
    spectroscopy : path, optional
        Folder of reference spectra; by default the one below ``ADIABAT_DATA``.
    """
    fine = tables_of(band, spectroscopy)
    contrast = np.gradient(np.log(_brightness(scene)), axis=0) if len(where.latitude) > 1 else 0 * where.latitude
    at = knots(np.array(BANDS[band]))
    for start in range(0, len(rows), BLOCK):
        part = slice(start, min(start + BLOCK, len(rows)))
        here = detector(rows[part], channels=channels, band=band)
        tables = row_tables(fine, here.wavelength, here.rows)
        pixels = smooth(_flat(where, part), _flat(scene, part), at, contrast[:, part].T.ravel())
        steps, count = len(where.latitude), len(here.rows)
        radiance = np.empty((steps, count, channels), np.float32)
        slant = {gas: np.empty((steps, count), np.float32) for gas in GASES}
        for row in range(count):
            light, columns = row_spectra(tables, row, pixels.part(slice(row * steps, (row + 1) * steps)), at)
            np.multiply(light, here.gain[row], out=radiance[:, row])
            for gas, values in columns.items():
                slant[gas][:, row] = values
        yield Block(part, here, radiance, slant, tables.irradiance)


def _brightness(scene: Scene) -> NDArray[np.float64]:
    """Roughly, of a pixel at 440 nm, for the shift of the slit's middle where it changes."""
    ground = scene.brightness * (scene.surface @ np.array([0.07, 0.03, 0.1, 0.09, 0.86]))
    return np.asarray(0.15 + (1 - scene.cloud_fraction) * ground + scene.cloud_fraction * scene.cloud_albedo)


def _flat(fields_of: Fields, part: slice) -> Fields:
    """The same with (rows x steps,) of some rows in place of (steps, rows)."""
    values: dict[str, Any] = {}
    for field in fields(fields_of):
        value = getattr(fields_of, field.name)
        if isinstance(value, np.ndarray):
            value = value[:, part].swapaxes(0, 1)
            values[field.name] = value.reshape(-1, *value.shape[2:])
    return replace(fields_of, **values)
