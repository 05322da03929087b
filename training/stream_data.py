"""Crops to train latent codecs on, from files in memory or from an ARCO-ERA5-shaped Zarr, chunk by chunk.

First of five: **stream_data** -> layers -> hyperprior, vq -> latent_train -> vq_export.

A codec sees one chunk and none of its neighbours, so a frame is normalised by its own median and median absolute
deviation. What is varied is what a codec cannot know or what physics does not mind: where along a circle of longitude a
field begins, which part of it is seen, how fine its grid is, its sign, its zero and its unit. Fields are not mirrored
and not transposed: fronts and cyclones have a handedness, and north-south is not east-west.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adiabat.training.data import Fields

OROGRAPHY = ("surface_geopotential", "PHIS")  # names of variables that are orography
MAD = 1.4826  # of the standard deviation of a normal distribution to its median absolute deviation
CIRCLE = 1.9  # a frame at least so many times as wide as high is taken to go round the globe
SAMPLE = 65536  # pixels that the median is taken over
THINNED = 0.25  # of the batches: every other row and column, of frames that have enough
MOST = 8  # crops of a small frame in a batch, which then has about as many pixels
REUSE = 16  # batches from each chunk of a store: reading one costs more than using it

Frame = NDArray[np.float32]


@dataclass(frozen=True)
class Crops:
    """One batch.

    Attributes
    ----------
    values : NDArray[np.float32], shape (batch, rows, columns)
        Normalised; of one variable.
    static : NDArray[np.float32], shape (batch, 2, rows, columns)
        Orography, normalised, and the logarithm of pressure over 1000 hPa; zero where not known.
    """

    values: NDArray[np.float32]
    static: NDArray[np.float32]


def normalisation(frame: NDArray[np.floating]) -> tuple[float, float]:
    """Median, and the median absolute deviation as a standard deviation; of a subsample of a large frame.

    Where more than half of the pixels are equal (dry, ice-free, cloudless) the standard deviation is taken instead.
    """
    flat = frame.reshape(-1)[:: max(1, frame.size // SAMPLE)]
    flat = flat[np.isfinite(flat)].astype(np.float64)
    if not flat.size:
        return 0.0, 1.0
    centre = float(np.median(flat))
    scale = MAD * float(np.median(np.abs(flat - centre)))
    spread = float(flat.std())
    scale = scale if scale > 0.1 * spread else spread
    return centre, scale if scale > 0 else 1.0


def take(frame: Frame, static: NDArray[np.float32], count: int, crop: int, rng: np.random.Generator) -> Crops:
    """Random crops of one frame (rows, columns) and the static channels (2, rows, columns) below it."""
    if min(frame.shape) >= 2 * crop and rng.random() < THINNED:
        frame, static = frame[::2, ::2], static[:, ::2, ::2]
    centre, scale = normalisation(frame)
    field = np.nan_to_num((frame - np.float32(centre)) / np.float32(scale), posinf=0.0, neginf=0.0)
    rows, columns = field.shape
    height, width = min(crop, rows), min(crop, columns)
    count = max(count, min(MOST, count * crop**2 // (height * width)))
    circular = columns >= CIRCLE * rows and columns > crop
    values = np.empty((count, height, width), np.float32)
    beside = np.empty((count, 2, height, width), np.float32)
    for number in range(count):
        row = int(rng.integers(0, rows - height + 1))
        column = int(rng.integers(0, columns if circular else columns - width + 1))
        at = np.arange(column, column + width) % columns
        values[number] = field[row : row + height, at] * (1.0 if rng.random() < 0.5 else -1.0)
        beside[number] = static[:, row : row + height, at]
    return Crops(values, beside)


@dataclass(frozen=True)
class Orographies:
    """Normalised orography by grid, and how the fields lie on it.

    Parameters
    ----------
    frames : dict of grid to NDArray[np.float32]
    turned : mapping of name to (bool, int)
        Of a field: whether its rows run the other way, and by how many columns it begins farther east.
    """

    frames: dict[tuple[int, ...], Frame]
    turned: Mapping[str, tuple[bool, int]]

    @classmethod
    def among(cls, fields: Sequence[Fields], turned: Mapping[str, tuple[bool, int]] | None = None) -> Orographies:
        """Those that the fields themselves hold, by their names."""
        found: dict[tuple[int, ...], Frame] = {}
        for each in fields:
            if _is_orography(each) and each.grid not in found:
                frame = each.values[0, 0]
                centre, scale = normalisation(frame)
                found[each.grid] = np.nan_to_num((frame - centre) / scale).astype(np.float32)
        return cls(found, turned or {})

    def static(self, field: Fields) -> NDArray[np.float32]:
        """Static channels (2, rows, columns) of a field; zero where nothing is known, and for orography itself."""
        static = np.zeros((2, *field.grid), np.float32)
        frame = self.frames.get(field.grid)
        if frame is not None and not _is_orography(field):
            flipped, east = self.turned.get(field.name, (False, 0))
            static[0] = np.roll(frame[::-1] if flipped else frame, -east, axis=1)
        return static


def _is_orography(field: Fields) -> bool:
    return any(name in field.name for name in OROGRAPHY)


def from_fields(
    fields: Sequence[Fields],
    rng: np.random.Generator,
    *,
    count: int,
    crop: int,
    orography: Orographies | None = None,
) -> Iterator[Crops]:
    """Endless batches, each of one frame of one variable; large grids are drawn more often."""
    weights = np.array([each.weight**2 for each in fields])  # by pixels: extreme ratios are asked of large grids
    known = orography or Orographies.among(fields)
    while True:
        field = fields[rng.choice(len(fields), p=weights / weights.sum())]
        frames = field.values.reshape(-1, *field.grid)
        frame = frames[rng.integers(len(frames))]
        if np.isfinite(frame).mean() < 0.6 or np.nanmin(frame) == np.nanmax(frame):
            continue
        yield take(frame, known.static(field), count, crop, rng)


class ZarrStream:
    """Endless batches from a store of (time, level, latitude, longitude) or (time, latitude, longitude) variables.

    One chunk is read at a time, whatever the size of the store.

    Parameters
    ----------
    store : str or path
        Of ARCO-ERA5's shape: chunks of one time, all levels, the whole globe.
    variables : sequence of str, optional
        All float variables with time, latitude and longitude if not given.
    orography : str
        Variable (latitude, longitude) that is given as a static field, if the store has it.
    reuse : int
        Batches from each chunk read.

    Raises
    ------
    ValueError
        If the store has none of the variables.
    """

    def __init__(
        self,
        store: str | Path,
        *,
        variables: Sequence[str] | None = None,
        orography: str = "geopotential_at_surface",
        reuse: int = REUSE,
    ) -> None:
        import zarr

        group = zarr.open_group(str(store), mode="r")
        arrays = {name: array for name, array in group.arrays() if array.dtype.kind == "f" and array.ndim >= 3}
        wanted = list(arrays) if variables is None else list(variables)
        if not wanted or not set(wanted) <= set(arrays):
            raise ValueError(f"expected float variables of {sorted(arrays)} in {store}, got {wanted}")
        self.arrays: dict[str, Any] = {name: arrays[name] for name in sorted(wanted)}
        self.reuse = reuse
        self._levels = np.asarray(group["level"][:], np.float64) if "level" in group else None  # type: ignore[index]
        self._orography: Frame | None = None
        if orography in group:
            frame = np.asarray(group[orography][...], np.float32).reshape(-1, *group[orography].shape[-2:])[0]  # type: ignore[index,union-attr]
            centre, scale = normalisation(frame)
            self._orography = ((frame - centre) / scale).astype(np.float32)

    def batches(self, rng: np.random.Generator, *, count: int, crop: int) -> Iterator[Crops]:
        """Endless batches of `count` crops."""
        names = list(self.arrays)
        while True:
            array = self.arrays[names[rng.integers(len(names))]]
            time = int(rng.integers(array.shape[0]))
            chunk = np.asarray(array[time], np.float32)
            chunk = chunk.reshape(-1, *chunk.shape[-2:])
            for _ in range(self.reuse):
                level = int(rng.integers(len(chunk)))
                frame = chunk[level]
                if np.isfinite(frame).mean() >= 0.6 and np.nanmin(frame) < np.nanmax(frame):
                    yield take(frame, self._static(frame.shape, len(chunk), level), count, crop, rng)

    def _static(self, grid: tuple[int, ...], levels: int, level: int) -> NDArray[np.float32]:
        static = np.zeros((2, *grid), np.float32)
        if self._orography is not None and self._orography.shape == grid:
            static[0] = self._orography
        if self._levels is not None and len(self._levels) == levels > 1:
            static[1] = np.log(max(float(self._levels[level]), 1e-3) / 1000)
        return static


def is_store(path: Path) -> bool:
    """Whether a path is a Zarr store rather than a folder of files."""
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))
