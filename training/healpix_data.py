"""Train Hyperprior's networks on strips of HEALPix faces: what `adiabat.healpix` lays out, global fields regridded.

Beside subband_train, whose networks, loss and recipe these are; what differs is the views. Global fields become strips
by spherical harmonics; all others stay on their own grids, so that there are data enough. Needs the extra healpix.

    python -m adiabat.training.healpix_data --data DIR ... --out codec/models/hyperprior_healpix.zip
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.codec.healpix_strips import to_strips
from adiabat.codec.subband_coder import Analysis
from adiabat.formats.healpix_rings import ring_index, rings_of
from adiabat.formats.healpix_transform import LatLonGrid, harmonic_to_cells
from adiabat.formats.spectrum import ring_geometry
from adiabat.training import data
from adiabat.training.data import Fields
from adiabat.training.subband_samples import FRAMES, THINNED, WHOLE, SubbandView
from adiabat.training.subband_train import SubbandConfig, SubbandTrainer

LARGE = 128  # nside of a large grid
X_FIRST = 0.3  # how often the first level halves x alone
Floats = NDArray[np.float64]
Axes = tuple[Floats, Floats]
DEFAULT_AXES: dict[tuple[int, ...], Axes] = {
    (721, 1440): (np.linspace(90, -90, 721), np.arange(1440) / 4)
}  # of files without coordinates


def nside_for(rows: int) -> int:
    """The power of two whose cells are about as many as a grid's points: 256 of 721 rows, 32 of 64.

    Examples
    --------
    >>> [nside_for(rows) for rows in (721, 361, 64, 32)]
    [256, 128, 32, 16]
    """
    return int(2 ** round(np.log2(rows / 2.4)))


def axes_of(folders: Sequence[Path]) -> dict[str, Axes]:
    """Latitudes and longitudes, degrees, of the NetCDF fields under some folders, by the names of `data.load`."""
    out: dict[str, Axes] = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*.nc*")):
        with xr.open_dataset(path, decode_times=False, decode_cf=False) as dataset:
            known = [
                next((dataset[name].values for name in names if name in dataset.variables), np.zeros(0))
                for names in (("latitude", "lat"), ("longitude", "lon"))
            ]
            if all(axis.ndim == 1 and axis.size > 1 for axis in known):
                out |= {f"{path.stem}/{name}": (known[0], known[1]) for name in dataset.data_vars}
    return out


def as_strips(field: Fields, axes: Axes | None) -> Fields | None:
    """A global field without holes as strips (frame, 4, 3 nside, nside); None of any other.

    Parameters
    ----------
    field : Fields
    axes : latitudes and longitudes, degrees, or None where not known
    """
    latitude, longitude = axes or DEFAULT_AXES.get(field.grid, (np.zeros(0), np.zeros(0)))
    if (latitude.size, longitude.size) != field.grid:
        return None
    geometry, nside = ring_geometry(latitude, longitude), nside_for(latitude.size)
    frames = field.values.reshape(-1, *field.grid)
    frames = frames[np.isfinite(frames).all((1, 2))]
    if geometry not in ("CC", "GL") or nside < data.MIN_SIDE or not len(frames):
        return None
    if geometry == "CC":
        cells = harmonic_to_cells(frames, LatLonGrid(latitude, longitude), nside)
    else:
        cells = np.stack([_gaussian(frame, latitude, longitude, nside) for frame in frames])
    return Fields(f"{field.name}/nside {nside}", to_strips(cells.astype(np.float32)))


def _gaussian(frame: NDArray[Any], latitude: Floats, longitude: Floats, nside: int) -> Floats:
    """Cells of a field on a Gaussian grid of eastward longitudes."""
    import ducc0

    if latitude[0] < latitude[-1]:
        frame = frame[::-1]
    top, mean = frame.shape[0] - 1, frame.mean(dtype=np.float64)
    anomaly, start = np.ascontiguousarray(frame - mean)[None], np.radians(float(longitude[0]) % 360)
    alm = ducc0.sht.analysis_2d(map=anomaly, spin=0, lmax=top, mmax=top, geometry="GL", phi0=start, nthreads=1)
    made = ducc0.sht.synthesis(alm=alm, spin=0, lmax=top, mmax=top, nthreads=1, **rings_of(nside))
    cells: Floats = made[0][ring_index(nside)] + mean
    return cells


def split(fields: Sequence[Fields], axes: Mapping[str, Axes]) -> tuple[list[Fields], list[Fields]]:
    """Global fields as strips, and all others as they are; axes: by the fields' names."""
    made = [(field, as_strips(field, axes.get(field.name))) for field in fields]
    return [strips for _, strips in made if strips is not None], [field for field, strips in made if strips is None]


def strip_views(strips: Sequence[Fields], others: Sequence[Fields], rng: np.random.Generator) -> Iterator[SubbandView]:
    """Endless random views: whole spheres of the large grids, and windows of everything."""
    large = [each for each in strips if each.grid[1] >= LARGE]
    windows = data.views([*strips, *others], rng)
    while True:
        if large and rng.random() < WHOLE:
            sphere = large[rng.integers(len(large))].values
            frames = _vary(sphere[rng.integers(len(sphere))], rng)
        else:
            frames = next(windows).frames[:FRAMES]
        if min(frames.shape[1:]) < data.MIN_SIDE or not np.isfinite(frames).all():
            continue
        values = frames.astype(np.float64)
        values -= values.mean()
        spread = float(values.std())
        if 1e-30 < spread < 1e30:
            yield SubbandView(Analysis(values, False, bool(rng.random() < X_FIRST)), spread)


def _vary(frames: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Strips (4, y, x) mirrored, negated, thinned, at random."""
    for axis in (1, 2):
        if rng.random() < 0.5:
            frames = np.flip(frames, axis)
    if rng.random() < THINNED:
        by = int(rng.choice([2, 3]))
        frames = frames[:, int(rng.integers(by)) :: by, int(rng.integers(by)) :: by]
    return -frames if rng.random() < 0.5 else frames


class HealpixTrainer(SubbandTrainer):
    """State of a training run on strips.

    Parameters
    ----------
    strips, others : list of Fields
        As `split` gives them.
    config : SubbandConfig
    checkpoint : Path
    """

    def __init__(self, strips: list[Fields], others: list[Fields], config: SubbandConfig, checkpoint: Path) -> None:
        super().__init__([*strips, *others], config, checkpoint)
        self.strips, self.others = strips, others

    def _views(self) -> Iterator[SubbandView]:
        return strip_views(self.strips, self.others, self.rng)


def train(
    target: Path,
    folders: Sequence[Path],
    config: SubbandConfig,
    *,
    leave_out: Sequence[str] = (),
    progress: Callable[[str], None] = print,
) -> str:
    """Train on the files under `folders` and write the package; returns its SHA-256."""
    strips, others = split(data.load(folders, leave_out=leave_out), axes_of(folders))
    large = sum(each.grid[1] >= LARGE for each in strips)
    progress(f"{len(strips)} global variables as strips, {large} of them large; {len(others)} others")
    trainer = HealpixTrainer(strips, others, config, target.with_name(target.name + ".checkpoint"))
    trainer.run(progress)
    return trainer.write(target, "hyperprior_healpix", leave_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train by the recipe of the shipped weights."""
    parser = argparse.ArgumentParser(prog="python -m adiabat.training.healpix_data", description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="folder; repeatable")
    parser.add_argument("--leave-out", action="append", default=[], help="part of paths used for nothing; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="the package")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    print(train(options.out, options.data, SubbandConfig(seed=options.seed), leave_out=options.leave_out))


if __name__ == "__main__":
    main()
