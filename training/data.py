"""Fields to train on: every gridded float variable of the files under some folders, and random views of them.

First of five: **data** -> samples -> pyramid (network and loss) -> train (loop) -> export.
"""

from __future__ import annotations

import logging
import math
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
MAX_VALUES = 24_000_000  # of one variable; more are cut off along its first axis
STATICS = 0.25  # of the views: with another variable of the same grid as a static field
SEQUENCES = 0.6  # of the views: frames that follow one another, where there are any
CROP = (384, 640)  # largest view, in pixels

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fields:
    """One variable of one file; NaN marks what is missing."""

    name: str
    values: NDArray[np.float32]  # (time or level, level or 1, y, x)

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(self.values.shape[0]) * int(self.values.shape[1])

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of a frame; variables that share one are taken to be on the same grid."""
        return self.values.shape[2:]

    @property
    def weight(self) -> float:
        """How often it is drawn: by the square root of its pixels, so that large grids lead and small ones count."""
        return float(np.sqrt(self.values[0, 0].size * min(self.count, 4)))


@dataclass(frozen=True)
class View:
    """Frames to encode.

    reach: number of references, 0 where the frames have nothing to do with one another; static: known to both sides.
    """

    frames: NDArray[np.float32]  # (frames, y, x)
    reach: int = 0
    static: NDArray[np.float32] | None = None  # (y, x)


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
        if array.ndim > 3 and array.shape[-1] < MIN_SIDE <= min(array.shape[-3:-1]):  # channels last, as of images
            array = np.moveaxis(array, -1, 1)
        if array.size and array.dtype.kind == "f" and array.ndim >= 2 and min(array.shape[-2:]) >= MIN_SIDE:
            yield from _fields(name, array)


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


def _fields(name: str, array: NDArray[np.floating]) -> Iterator[Fields]:
    """The variable as (frames, frames, y, x), missing values as NaN; nothing where it is all missing or constant."""
    axes = [length for length in array.shape[:-2] if length > 1]
    first, second = (axes[0] if axes else 1), math.prod(axes[1:])
    values = array.reshape(first, second, *array.shape[-2:])[: max(1, MAX_VALUES // (array.size // first))]
    with np.errstate(over="ignore"):
        values = values.astype(np.float32)
    values = np.where(np.isfinite(values) & (np.abs(values) < 1e14), values, np.nan)
    if np.isfinite(values).any() and np.nanmin(values) < np.nanmax(values):
        yield Fields(name, values)


def views(fields: Sequence[Fields], rng: np.random.Generator) -> Iterator[View]:
    """Endless random views: single frames or sequences of them, cropped, flipped, transposed, thinned, negated."""
    weights = np.array([each.weight for each in fields])
    moving = weights * [max(each.values.shape[:2]) > 2 for each in fields]
    while True:
        sequence = moving.any() and rng.random() < SEQUENCES
        odds = moving if sequence else weights
        field = fields[rng.choice(len(fields), p=odds / odds.sum())]
        static = _static(field, fields, rng) if rng.random() < STATICS else None
        frames = (_sequence if sequence else _singles)(field.values, rng)
        frames = _vary(frames if static is None else np.concatenate([frames, static]), rng)
        frames, static = (frames, None) if static is None else (frames[:-1], frames[-1])
        if np.isfinite(frames).mean() > 0.4 and np.nanstd(frames.astype(np.float64)) > 0:
            yield View(frames, int(rng.choice([2, 4, 8], p=[0.4, 0.4, 0.2])) if sequence else 0, static)


def _static(field: Fields, fields: Sequence[Fields], rng: np.random.Generator) -> NDArray[np.float32] | None:
    """A frame (1, y, x) of another variable on the same grid that stands for a static field; None without one."""
    others = [each for each in fields if each is not field and each.grid == field.grid]
    if not others:
        return None
    values = others[rng.integers(len(others))].values
    frame = values[rng.integers(len(values)), :1]
    return frame if np.isfinite(frame).all() else None


def _singles(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A few frames from anywhere."""
    frames = values.reshape(-1, *values.shape[2:])
    return frames[rng.permutation(len(frames))[: max(1, 40_000 // frames[0].size)]]


def _sequence(values: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Frames that follow one another along one of the leading axes, every one or every few."""
    axis = int(rng.integers(2))
    if values.shape[axis] < 3:
        axis = 1 - axis
    stack = values[:, rng.integers(values.shape[1])] if axis == 0 else values[rng.integers(len(values))]
    stride = min(2 ** int(rng.integers(0, 3)), (len(stack) - 1) // 2)
    stack = stack[int(rng.integers(stride)) :: stride]
    length = min(len(stack), int(rng.choice([3, 5, 9, 17, 33])), max(3, 150_000 // stack[0].size))
    start = int(rng.integers(0, len(stack) - length + 1))
    stack = stack[start : start + length]
    return stack[::-1] if rng.random() < 0.5 else stack


def _vary(view: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A random window, thinning, orientation and sign."""
    if rng.random() < 0.15 and min(view.shape[1:]) >= 96:
        view = view[:, ::2, ::2]
    if rng.random() < 0.7:
        limits = CROP if len(view) < 3 else (CROP[0] // 2, CROP[1] // 2)
        (y, h), (x, w) = (_window(size, limit, rng) for size, limit in zip(view.shape[1:], limits, strict=True))
        view = view[:, y : y + h, x : x + w]
    for axis in (1, 2):
        if rng.random() < 0.5:
            view = np.flip(view, axis)
    if rng.random() < 0.5:
        view = view.transpose(0, 2, 1)
    return np.ascontiguousarray(-view if rng.random() < 0.5 else view)


def _window(size: int, limit: int, rng: np.random.Generator) -> tuple[int, int]:
    """Start and length of a random window along one axis."""
    length = min(size, limit)
    return int(rng.integers(0, size - length + 1)), length
