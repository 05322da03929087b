"""Fields to train on: every gridded float variable of the files under some folders, and random views of them.

First of three: **data** -> pyramid (network and loss) -> train (loop) -> export.
"""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

SUFFIXES = (".nc", ".nc4", ".grib", ".grb", ".npy", ".npz")
MIN_SIDE = 24  # pixels; smaller frames teach borders only
MAX_FRAMES = 48  # of one variable
CROP = (384, 640)  # largest view, in pixels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fields:
    """Frames of one variable of one file; NaN marks what is missing."""

    name: str
    frames: NDArray[np.float32]  # (frames, y, x)

    @property
    def weight(self) -> float:
        """How often it is drawn: by the square root of its pixels, so that large grids lead and small ones count."""
        return float(np.sqrt(self.frames[0].size * min(len(self.frames), 4)))


def load(folders: Sequence[Path], *, leave_out: Sequence[str] = ()) -> list[Fields]:
    """All usable variables under `folders`, sorted by name, without files whose path contains one of `leave_out`.

    Raises
    ------
    ValueError
        If nothing usable is found.
    """
    paths = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES)
    kept = [path for path in paths if not any(part in str(path) for part in leave_out)]
    fields = [fields for path in kept for fields in _variables(path)]
    if not fields:
        raise ValueError(
            f"expected gridded float variables in files {SUFFIXES} under {[str(f) for f in folders]}, found none"
        )
    return fields


def _variables(path: Path) -> Iterator[Fields]:
    """Float variables of a file whose last two axes are a grid."""
    try:
        arrays = _arrays(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        log.warning("%s: not read (%s)", path, error)
        return
    for name, array in arrays.items():
        if array.dtype.kind == "f" and array.ndim >= 2 and min(array.shape[-2:]) >= MIN_SIDE:
            frames = _spread(array.reshape(-1, *array.shape[-2:]))
            if len(frames):
                yield Fields(name, frames)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of a file by name."""
    if path.suffix == ".npy":
        return {path.stem: np.load(path)}
    if path.suffix == ".npz":
        with np.load(path) as loaded:
            return {f"{path.stem}/{name}": loaded[name] for name in loaded.files}
    engine = {"engine": "cfgrib", "backend_kwargs": {"indexpath": ""}} if path.suffix.startswith(".gr") else {}
    with xr.open_dataset(path, decode_times=False, **engine) as dataset:  # type: ignore[arg-type]
        return {f"{path.stem}/{name}": variable.values for name, variable in dataset.data_vars.items()}


def _spread(frames: NDArray[np.floating]) -> NDArray[np.float32]:
    """At most MAX_FRAMES frames, evenly spread, that are mostly present and not constant."""
    chosen = frames[:: max(1, -(-len(frames) // MAX_FRAMES))]
    with np.errstate(over="ignore"):
        chosen = chosen.astype(np.float32)
    chosen = np.where(np.isfinite(chosen) & (np.abs(chosen) < 1e14), chosen, np.nan)
    good = [frame for frame in chosen if np.isfinite(frame).mean() > 0.4 and np.nanstd(frame.astype(np.float64)) > 0]
    return np.stack(good) if good else np.empty((0, *frames.shape[1:]), np.float32)


def views(fields: Sequence[Fields], rng: np.random.Generator) -> Iterator[NDArray[np.float32]]:
    """Endless random views (frames, y, x): cropped, flipped, transposed, thinned, negated."""
    weights = np.array([each.weight for each in fields])
    while True:
        frames = fields[rng.choice(len(fields), p=weights / weights.sum())].frames
        few = max(1, 40_000 // frames[0].size)
        view = frames[rng.permutation(len(frames))[:few]]
        if rng.random() < 0.15 and min(view.shape[1:]) >= 96:
            view = view[:, ::2, ::2]
        if rng.random() < 0.7:
            (y, h), (x, w) = (_window(size, limit, rng) for size, limit in zip(view.shape[1:], CROP, strict=True))
            view = view[:, y : y + h, x : x + w]
        for axis in (1, 2):
            if rng.random() < 0.5:
                view = np.flip(view, axis)
        if rng.random() < 0.5:
            view = view.transpose(0, 2, 1)
        yield np.ascontiguousarray(-view if rng.random() < 0.5 else view)


def _window(size: int, limit: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length of a random window along one axis."""
    length = min(size, limit)
    return int(rng.integers(0, size - length + 1)), length
