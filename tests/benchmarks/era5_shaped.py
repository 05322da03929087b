"""SIMULATED: a day of ERA5-shaped fields, made while they are read, from real ones that turn and drift.

A source of archives: picklable, opened by every process, nothing of it on the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import xarray as xr
from xarray.backends.common import BackendArray
from xarray.core import indexing

ROWS, COLUMNS = 721, 1440
FILES = ("t850_2023-01-10T23.nc", "t2m_2017-01-01T12.nc", "i10fg_2011-08-01.nc")
KINDS = {
    "t": ("air_temperature", "K", 250.0, 9.0),
    "u": ("eastward_wind", "m s-1", 5.0, 8.0),
    "v": ("northward_wind", "m s-1", 0.0, 6.0),
}  # standard name, units, mean, standard deviation


@dataclass(frozen=True)
class Era5Shaped:
    """So many hours and levels of each kind, 721 x 1440 float32, SIMULATED.

    data: the folder of the real ERA5 fields.
    """

    data: str
    hours: int = 24
    levels: int = 37
    kinds: tuple[str, ...] = ("t", "u", "v")

    def open(self) -> dict[str, xr.Dataset]:
        coordinates = {
            "time": ("time", np.arange(self.hours), {"units": "hours since 2020-01-01"}),
            "level": ("level", np.linspace(1, 1000, self.levels).round(1), {"units": "hPa"}),
            "latitude": ("latitude", np.linspace(90, -90, ROWS), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(COLUMNS) / 4, {"units": "degrees_east"}),
        }
        fields = {
            kind: (tuple(coordinates), indexing.LazilyIndexedArray(Made(self, number)), _attributes(kind))
            for number, kind in enumerate(self.kinds)
        }
        variables = {name: xr.Variable(*field) for name, field in fields.items()}
        return {"/": xr.Dataset(variables, coordinates, {"title": "SIMULATED from real fields; not ERA5"})}

    def identity(self) -> dict[str, object]:
        return {"simulated": [self.hours, self.levels, *self.kinds]}


class Made(BackendArray):
    """One variable: made hour by hour and level by level, as they are asked for."""

    def __init__(self, source: Era5Shaped, number: int):
        self.source, self.number = source, number
        self.shape = (source.hours, source.levels, ROWS, COLUMNS)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._values)

    def _values(self, key):
        hours, levels = (np.atleast_1d(np.arange(size)[part]) for part, size in zip(key[:2], self.shape, strict=False))
        out = np.empty((len(hours), len(levels), ROWS, COLUMNS), np.float32)
        for i, hour in enumerate(hours):
            for j, level in enumerate(levels):
                out[i, j] = field(self.source.data, self.source.kinds[self.number], int(hour), int(level))
        ends = [0 if isinstance(part, int | np.integer) else slice(None) for part in key[:2]]
        return out[(*ends, *key[2:])]


def field(data: str, kind: str, hour: int, level: int) -> np.ndarray:
    """Two real fields, one turning into the other, each drifting along x at a pace that depends on latitude."""
    _, _, mean, size = KINDS[kind]
    number = list(KINDS).index(kind)
    latitude = np.radians(np.linspace(90, -90, ROWS))[:, None]
    wave = np.arange(COLUMNS // 2 + 1)
    turn = 0.02 * hour + 0.35 * level + number
    whole = 0
    for part, weight in enumerate((np.cos(turn), np.sin(turn))):
        drift = (1.2 * np.cos(latitude) + 0.5 * np.sin(3 * latitude)) * (hour + 24) * (1 - 0.4 * part)
        spectrum = _spectra(data)[(level + number + part) % len(FILES)]
        whole = whole + weight * spectrum * np.exp(-2j * np.pi / COLUMNS * wave * drift)
    made: np.ndarray = np.fft.irfft(whole, COLUMNS, axis=1)
    return (mean - 0.8 * level + size * made).astype(np.float32)


@lru_cache(maxsize=1)
def _spectra(data: str) -> list[np.ndarray]:
    """Real fields less their means by latitude, of variance 1, along x in waves."""
    out = []
    for name in FILES:
        with xr.open_dataset(Path(data) / name) as dataset:
            first = next(array for array in dataset.data_vars.values() if array.ndim >= 2)
            values = first.values.reshape(-1, *first.shape[-2:])[0].astype(np.float64)[:ROWS, :COLUMNS]
        values -= values.mean(axis=1, keepdims=True)
        out.append(np.fft.rfft(values / values.std(), axis=1))
    return out


def _attributes(kind: str) -> dict[str, str]:
    standard_name, units, _, _ = KINDS[kind]
    return {"standard_name": standard_name, "units": units, "comment": "SIMULATED from real fields"}
