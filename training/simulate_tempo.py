"""Simulate what TEMPO measures: tiles with their truth for training, granules in the product's layout for everyone.

    python -m adiabat.training.simulate_tempo OUT.nc --mirror-steps 32 --xtrack 256 --seed 1

Stage: tempo_scene, tempo_radiative and tempo_instrument -> **simulate_tempo** -> tiles, or tempo_granule's file. No
TEMPO radiance is at hand: everything here is simulated and says so. What is, how, and what is left out:
``spec/guide/tempo_simulation.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.training import tempo_granule as layout
from adiabat.training.tempo_blocks import BLOCK, UV, Block, simulate_blocks, tables_of
from adiabat.training.tempo_instrument import BANDS, CHANNELS, ROWS, STEPS, detector, faults, measured
from adiabat.training.tempo_scene import Scene, geometry, random_scene, random_view
from adiabat.training.tempo_spectroscopy import row_tables

Floats = NDArray[np.float32]

START = datetime(2024, 6, 1, 17, 9, 34, tzinfo=UTC)
GASES = ("no2", "o3", "hcho")
BOTH = "both"
BAND_NAMES = {name[5:-3]: (name,) for name in BANDS} | {BOTH: tuple(BANDS)}
MOST_SUN = 80.0  # degrees from the zenith
Say = Callable[[str], None]


def columns(scene: Scene) -> dict[str, Floats]:
    """Vertical columns, molecules cm-2, and cloud fraction of a scene."""
    no2 = scene.no2_stratosphere + scene.no2_troposphere
    named = {"no2": no2, "o3": scene.o3, "hcho": scene.hcho, "cloud_fraction": scene.cloud_fraction,
             "no2_troposphere": scene.no2_troposphere}  # fmt: skip
    return {name: values.astype(np.float32) for name, values in named.items()}


def simulate_tile(
    seed: int,
    number: int,
    *,
    size: int = 64,
    channels: int = CHANNELS,
    band: str = UV,
    spectroscopy: Path | None = None,
) -> dict[str, Floats]:
    """Simulate one tile; see `simulate_tiles`, whose tile `number` this is."""
    rng = np.random.default_rng([seed, number])
    where, rows = random_view(size, rng)
    scene = random_scene(where, rng)
    parts = list(simulate_blocks(where, scene, rows, channels=channels, band=band, spectroscopy=spectroscopy))
    clean = np.concatenate([part.radiance for part in parts], 1) if len(parts) > 1 else parts[0].radiance
    electrons = np.concatenate([part.detector.electrons for part in parts])
    radiance, error = measured(clean, electrons, rng)
    truth = columns(scene)
    slant = {f"{gas}_slant": np.concatenate([part.slant[gas] for part in parts], 1) for gas in GASES}
    return {
        "clean": clean,
        "radiance": radiance,
        "radiance_error": error,
        "wavelength": np.concatenate([part.detector.wavelength for part in parts]).astype(np.float32),
        "irradiance": np.concatenate([part.irradiance * part.detector.gain for part in parts]),
        "row": rows.astype(np.float32),
        **truth,
        **slant,
        "solar_zenith_angle": where.solar_zenith.astype(np.float32),
        "viewing_zenith_angle": where.viewing_zenith.astype(np.float32),
    }


def simulate_tiles(
    count: int,
    *,
    size: int = 64,
    channels: int = CHANNELS,
    seed: int = 0,
    first: int = 0,
    workers: int = 2,
    **options: Any,
) -> dict[str, Floats]:
    """Simulate tiles of places, hours and seasons drawn at random, with noise and without.

    Parameters
    ----------
    count : int
    size : int
        Mirror steps and rows of a tile.
    channels : int
        1028 is what the product has; fewer lie on the same range of wavelengths.
    seed, first : int
        Tile `first + k` of a seed is always the same, however many are asked for.
    workers : int
        Tiles simulated at a time.
    **options
        ``band`` and ``spectroscopy``, as of `simulate_blocks`.

    Returns
    -------
    dict of str to NDArray[np.float32]
        ``radiance`` (with noise), ``clean`` (without), ``radiance_error``: (count, size, size, channels), mirror steps
        first, photons s-1 cm-2 nm-1 sr-1; ``wavelength``, nm, and ``irradiance``, without noise, photons s-1
        cm-2 nm-1: (count, size, channels); ``row`` of the detector (count, size); truth, (count, size, size):
        ``no2``, ``o3``, ``hcho`` vertical, ``no2_troposphere``, ``no2_slant``, ``o3_slant``, ``hcho_slant``,
        molecules cm-2, ``cloud_fraction``, ``solar_zenith_angle``, ``viewing_zenith_angle``, degrees.

    Raises
    ------
    FileNotFoundError
        If the reference spectra are missing.
    ValueError
        If a number is out of range.

    Source
    ------
    ``spec/guide/tempo_simulation.md``

    Examples
    --------
    >>> tiles = simulate_tiles(2, size=8, channels=64, seed=3)  # doctest: +SKIP
    >>> tiles["radiance"].shape  # doctest: +SKIP
    (2, 8, 8, 64)
    """
    if count < 1 or not 2 <= size <= ROWS - 100:
        raise ValueError(f"expected at least 1 tile of 2 to {ROWS - 100} pixels a side, got {count} of {size}")

    def one(number: int) -> dict[str, Floats]:
        return simulate_tile(seed, first + number, size=size, channels=channels, **options)

    tables_of(options.get("band", UV), options.get("spectroscopy"))  # once, before threads want it
    out: dict[str, Floats] = {}
    with ThreadPoolExecutor(workers) as threads:
        for number, tile in enumerate(threads.map(one, range(count))):
            for name, values in tile.items():
                out.setdefault(name, np.empty((count, *values.shape), np.float32))[number] = values
    return out


def simulate_granule(
    path: str | Path,
    *,
    mirror_steps: int = STEPS,
    xtrack: int = ROWS,
    channels: int = CHANNELS,
    seed: int = 0,
    band: str = BOTH,
    spectroscopy: Path | None = None,
    start: datetime = START,
    west: float = -66.0,
    clean: bool = False,
    say: Say | None = None,
) -> Path:
    """Simulate a granule and write it as TEMPO_RAD_L1 is laid out.

    Parameters
    ----------
    path : path
        Of the NetCDF-4 file to make; one that is there is replaced.
    mirror_steps, xtrack, channels : int
        132, 2048 and 1028 is what the product has; fewer rows are those in the middle of the slit.
    seed : int
    band : {"290_490", "540_740", "both"}
    spectroscopy : path, optional
        Folder of reference spectra; by default the one below ``ADIABAT_DATA``.
    start : datetime
        UTC.
    west : float
        Mirror steps of the first exposure west of the satellite's meridian, 91 W.
    clean : bool
        Whether to write radiances without noise too, as ``radiance_clean`` in the group ``simulated_truth/BAND``.
    say : callable, optional
        Told how far it is.

    Returns
    -------
    path

    Raises
    ------
    ValueError
        If a number is out of range or the sun is too low.
    FileNotFoundError
        If the reference spectra are missing.
    """
    import netCDF4

    if band not in BAND_NAMES:
        raise ValueError(f"expected a band of {', '.join(BAND_NAMES)}, got {band!r}")
    if mirror_steps < 1 or not 1 <= xtrack <= ROWS:
        raise ValueError(f"expected at least 1 mirror step and 1 to {ROWS} rows, got {mirror_steps} and {xtrack}")
    rows = np.arange(xtrack) + (ROWS - xtrack) // 2
    steps = np.asarray(west + np.arange(mirror_steps), np.float64)
    south = rows.astype(np.float64)
    where = geometry(steps, south, start)
    highest = where.solar_zenith.max()
    if highest > MOST_SUN:
        raise ValueError(f"expected the sun within {MOST_SUN:g} degrees of the zenith, got {highest:.1f}")
    corners = [geometry(steps + west_by, south + south_by, start) for west_by, south_by in layout.CORNERS]
    scene = random_scene(where, np.random.default_rng([seed, 0]))
    tables = {name: tables_of(name, spectroscopy) for name in BAND_NAMES[band]}  # missing: before a file is begun
    truth = columns(scene)
    command = f"simulate_tempo --mirror-steps {mirror_steps} --xtrack {xtrack} --channels {channels} --seed {seed}"
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        layout.describe(file, product="TEMPO_RAD_L1", start=start, steps=mirror_steps, seed=seed, command=command)
        for number, name in enumerate(tables):
            group = layout.open_band(file, name, xtrack, channels)
            layout.put_geolocation(group, where, corners, scene)
            unnoised = layout.open_clean(file, name, xtrack, channels) if clean else None
            options: Any = {"channels": channels, "band": name, "spectroscopy": spectroscopy}
            for block in simulate_blocks(where, scene, rows, **options):
                _put(group, unnoised, block, truth, np.random.default_rng([seed, 1 + number, block.rows.start]))
                if say is not None:
                    say(f"{name}: {block.rows.stop} of {xtrack} rows")
        layout.put_truth(file, truth, xtrack)
    return Path(path)


def _put(group: Any, unnoised: Any, block: Block, truth: dict[str, Floats], rng: np.random.Generator) -> None:
    """Measure a block and write it, with what it was without noise, and keep its slant columns."""
    radiance, error = measured(block.radiance, block.detector.electrons, rng)
    flags = faults(radiance, error, block.detector.dead, rng)
    layout.put_block(group, block.rows, block.detector, radiance, error, flags)
    if unnoised is not None:
        unnoised[:, block.rows] = block.radiance
    for gas, slant in block.slant.items():
        if np.isfinite(slant).all():  # the band has its wavelength
            truth.setdefault(f"{gas}_slant", np.empty_like(truth[gas]))[:, block.rows] = slant


def simulate_irradiance(
    path: str | Path, *, xtrack: int = ROWS, channels: int = CHANNELS, seed: int = 0, spectroscopy: Path | None = None
) -> Path:
    """Simulate the sun seen by the same rows, and write it as TEMPO_IRR_L1 is laid out; see `simulate_granule`."""
    import netCDF4

    tables = {name: tables_of(name, spectroscopy) for name in BANDS}
    rows = np.arange(xtrack) + (ROWS - xtrack) // 2
    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        layout.describe(file, product="TEMPO_IRR_L1", start=START, steps=1, seed=seed, command="simulate_irradiance")
        for number, (name, fine) in enumerate(tables.items()):
            group = layout.open_band(file, name, xtrack, channels, what="irradiance")
            for first in range(0, xtrack, BLOCK):
                part = slice(first, min(first + BLOCK, xtrack))
                here = detector(rows[part], channels=channels, band=name)
                sun = (row_tables(fine, here.wavelength, here.rows).irradiance * here.gain)[np.newaxis]
                # A sunlit diffuser is about as bright as a cloud: as many electrons, at the same throughput.
                rng = np.random.default_rng([seed, 11 + number, first])
                values, error = measured(sun, here.electrons / np.float32(8), rng)
                flags = np.where(here.dead, np.uint16(3), np.uint16(0))[np.newaxis]
                layout.put_block(group, part, here, values, error, flags, what="irradiance")
    return Path(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate a granule."""
    name = "python -m adiabat.training.simulate_tempo"
    parser = argparse.ArgumentParser(prog=name, description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path, help="NetCDF-4 file to make; replaced if it is there")
    parser.add_argument("--mirror-steps", type=int, default=STEPS)
    parser.add_argument("--xtrack", type=int, default=ROWS, help="rows of the slit, those in its middle")
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--band", choices=list(BAND_NAMES), default=BOTH)
    parser.add_argument("--spectroscopy", type=Path, help="folder of reference spectra; by default below ADIABAT_DATA")
    parser.add_argument("--start", type=datetime.fromisoformat, default=START, help="UTC, as 2024-06-01T17:09:34")
    parser.add_argument("--west", type=float, default=-66.0, help="mirror steps of the first exposure west of 91 W")
    parser.add_argument("--clean", action="store_true", help="write radiances without noise too")
    parser.add_argument("--irradiance", type=Path, help="write the sun's irradiance to this file too")
    options = vars(parser.parse_args(arguments))
    irradiance = options.pop("irradiance")
    shared = {name: options[name] for name in ("xtrack", "channels", "seed", "spectroscopy")}
    try:
        simulate_granule(options.pop("out"), **options, say=lambda text: print(text, file=sys.stderr))
        if irradiance is not None:
            simulate_irradiance(irradiance, **shared)
    except (ValueError, OSError) as error:
        parser.exit(1, f"simulate_tempo: {error}\n")


if __name__ == "__main__":
    main()
