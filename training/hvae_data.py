"""Tiles of spectra to train `HVAE` on: simulated, or cut out of granules; normalised by what the training part says.

Beside hvae_train. Every fifth granule is held out before any statistics are taken (a simulated tile is a granule of its
own: no two share a place or an hour). Tiles are neither turned nor mirrored: a push-broom's rows and steps differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.codec.hvae_transform import TILE, Normalisation

__all__ = ["FLOOR", "TARGETS", "Tiles", "normalisation", "open_granules", "simulated", "target_norm"]

Floats = NDArray[np.float32]
Say = Callable[[str], None]

FLOOR = 1.0  # photons s-1 cm-2 nm-1 sr-1
CLIP = 10.0
HELD_OUT = 5  # every fifth granule
PER_GRANULE = 64  # tiles of one at most
TARGETS = ("no2", "o3", "hcho", "cloud_fraction")
MAD = 1.4826


@dataclass
class Tiles:
    """Tiles of one part, training or held out.

    Attributes
    ----------
    normal : Normalisation
        Of the training part.
    values : list of NDArray[np.float16], shape (channels, rows, columns)
        Normalised.
    targets : dict of str to list of NDArray[np.float32], shape (rows, columns)
        Truth for the probes, where it is known.
    """

    normal: Normalisation
    values: list[NDArray[np.float16]] = field(default_factory=list)
    targets: dict[str, list[Floats]] = field(default_factory=dict)

    def add(self, radiance: Floats, **targets: Floats) -> None:
        """Take a tile (rows, columns, channels) and its truth."""
        self.values.append(np.moveaxis(self.normal.forth(radiance), -1, 0).astype(np.float16))
        for name, values in targets.items():
            self.targets.setdefault(name, []).append(values)

    def crops(self, rng: np.random.Generator, *, count: int, side: int) -> Iterator[tuple[Floats, Floats]]:
        """Endless batches: values (count, channels, side, side) and targets (count, targets, side, side)."""
        names = [name for name in TARGETS if name in self.targets]
        norms = [target_norm(name, np.stack(self.targets[name])) for name in names]
        while True:
            batch, truth = [], []
            for _ in range(count):
                number = int(rng.integers(len(self.values)))
                tile = self.values[number]
                y, x = (int(rng.integers(0, (length - side) // 4 + 1)) * 4 for length in tile.shape[1:])
                here = slice(y, y + side), slice(x, x + side)
                batch.append(tile[:, *here].astype(np.float32))
                truth.append([norm(self.targets[name][number][here]) for name, norm in zip(names, norms, strict=True)])
            yield np.stack(batch), np.array(truth, np.float32).reshape(count, len(names), side, side)


def normalisation(tiles: Sequence[Floats]) -> Normalisation:
    """Mean and standard deviation, by channel, of the logarithm of tiles (rows, columns, channels)."""
    total, square, count = 0.0, 0.0, 0
    for tile in tiles:
        log = np.log(np.maximum(tile.astype(np.float64), FLOOR)).reshape(-1, tile.shape[-1])
        total, square, count = total + log.sum(0), square + (log**2).sum(0), count + len(log)
    mean = np.asarray(total) / count
    spread = np.sqrt(np.maximum(np.asarray(square) / count - mean**2, 1e-8))
    return Normalisation(mean.astype(np.float32), spread.astype(np.float32), FLOOR, CLIP)


def target_norm(name: str, values: Floats) -> Callable[[Floats], Floats]:
    """How a target is scaled for probes, as the paper does it: its statistics are those of `values`.

    O3 by z-score, cloud fraction by logit(0.01 + 0.98 x), the other gases by asinh(x / (1.4826 MAD)).
    """
    if name == "cloud_fraction":

        def logit(x: Floats) -> Floats:
            p = 0.01 + 0.98 * np.clip(x, 0, 1)
            return np.asarray(np.log(p / (1 - p)), np.float32)

        return logit
    if name == "o3":
        mean, spread = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64)) or 1.0
        return lambda x: np.asarray((x - mean) / spread, np.float32)
    middle = float(np.median(values))
    mad = MAD * float(np.median(np.abs(values - middle))) or 1.0
    return lambda x: np.asarray(np.arcsinh(x / mad), np.float32)


def simulated(
    count: int, *, seed: int = 0, first: int = 0, size: int = TILE, channels: int = 1028, progress: Say = print
) -> tuple[Tiles, Tiles]:
    """Training and held-out tiles that `simulate_tempo` makes, every fifth held out.

    Raises
    ------
    ValueError
        For fewer than HELD_OUT tiles.
    FileNotFoundError
        If the reference spectra are missing.
    """
    from adiabat.training.simulate_tempo import simulate_tiles

    if count < HELD_OUT:
        raise ValueError(f"expected at least {HELD_OUT} tiles, one is held out, got {count}")
    raw: list[dict[str, Floats]] = []
    for start in range(0, count, 8):
        made = simulate_tiles(min(8, count - start), size=size, channels=channels, seed=seed, first=first + start)
        kept = {name: made[name] for name in ("radiance", *TARGETS)}
        raw += [{name: values[k] for name, values in kept.items()} for k in range(len(made["radiance"]))]
        progress(f"simulated {len(raw)} of {count} tiles")
    return _parted([[tile] for tile in raw])


def open_granules(paths: Sequence[Path], *, seed: int = 0) -> tuple[Tiles, Tiles]:
    """Training and held-out tiles of granules in the layout of TEMPO_RAD_L1; split by granule.

    Raises
    ------
    ValueError
        If there are fewer than two granules, or none has a tile without a hole.
    """
    import xarray as xr

    if len(paths) < 2:
        raise ValueError(f"expected at least two granules, one is held out, got {len(paths)}")
    rng, granules = np.random.default_rng(seed), []
    for path in paths:
        with xr.open_dataset(path, group="band_290_490_nm") as band:
            granules.append(list(_cut(np.asarray(band["radiance"], np.float32), rng)))
    order = rng.permutation(len(granules))
    return _parted([granules[number] for number in order])


def _cut(radiance: Floats, rng: np.random.Generator) -> Iterator[dict[str, Floats]]:
    """Tiles (rows, columns, channels) of an image that have no hole, at places drawn."""
    rows, columns = radiance.shape[0] - TILE + 1, radiance.shape[1] - TILE + 1
    for _ in range(PER_GRANULE if min(rows, columns) > 0 else 0):
        y, x = int(rng.integers(rows)), int(rng.integers(columns))
        tile = radiance[y : y + TILE, x : x + TILE]
        if np.isfinite(tile).all():
            yield {"radiance": tile}


def _parted(granules: list[list[dict[str, Any]]]) -> tuple[Tiles, Tiles]:
    """The first of every five granules is held out."""
    held = [tile for granule in granules[::HELD_OUT] for tile in granule]
    train = [tile for number, granule in enumerate(granules) if number % HELD_OUT for tile in granule]
    if not held or not train:
        raise ValueError(
            f"expected tiles without holes on both sides, got {len(train)} to train on, {len(held)} held out"
        )
    normal = normalisation([tile["radiance"] for tile in train])
    parts = Tiles(normal), Tiles(normal)
    for part, tiles in zip(parts, (train, held), strict=True):
        for tile in tiles:
            part.add(**tile)
    return parts
