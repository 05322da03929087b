"""Fields of the benchmark of the generated view: the last times of real series, and fields of a source apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from adiabat.formats.block_means import block_means
from adiabat.formats.conditions import roughness
from adiabat.formats.likeness import Likeness, likeness

LAST = 6  # frames, of a series
WINDOW = (160, 240)  # cells, of a larger field
STARTS = ((60, 80), (150, 1060), (290, 620), (480, 300))  # North Atlantic's storms to the tropics and the south

MERRA = "merra2/MERRA2_400.{}.20200329.nc4"
SERIES = {  # file, variable, index along a level axis; never negative
    "T2M": (MERRA.format("inst1_2d_asm_Nx"), "T2M", None, False),
    "QV2M": (MERRA.format("inst1_2d_asm_Nx"), "QV2M", None, True),
    "U10M": (MERRA.format("inst1_2d_asm_Nx"), "U10M", None, False),
    "TQV": (MERRA.format("inst1_2d_asm_Nx"), "TQV", None, True),
    "PBLH": (MERRA.format("tavg1_2d_flx_Nx"), "PBLH", None, True),
    "PRECTOT": (MERRA.format("tavg1_2d_flx_Nx"), "PRECTOT", None, True),
    "LWTUP": (MERRA.format("tavg1_2d_rad_Nx"), "LWTUP", None, True),
    "CLDTOT": (MERRA.format("tavg1_2d_rad_Nx"), "CLDTOT", None, True),
    "CH4, level 1": ("model_output/geoschem_ch4_run0000_GEOSChem.SpeciesConc.20180505_0000z.nc4",
                     "SpeciesConcVV_CH4", 0, True),
    "CH4, level 13": ("model_output/geoschem_ch4_run0000_GEOSChem.SpeciesConc.20180505_0000z.nc4",
                      "SpeciesConcVV_CH4", 12, True),
    "u, model level 11": ("era5_regional/wam_ERA5_2021-07-15_ml_u.nc", "u", 10, False),
    "q, model level 11": ("era5_regional/wam_ERA5_2021-07-15_ml_q.nc", "q", 10, True),
    "CCSM TS": ("model_output/b003_TS_200-299.nc", "TS", None, False),
    "CCSM TREFHT": ("model_output/TREFHT.B06.57.atm.1890-1999ANN.nc", "TREFHT", None, False),
    "T850": ("era5/t850_2023-01-10T23.nc", "temperature", 0, False),
    "2 m temperature": ("era5/t2m_2017-01-01T12.nc", "t2m", None, False),
}  # fmt: skip
AEROSOL = "merra2/last_5_maps.npy"
TURNS = ("CCSM TS", "CCSM TREFHT")  # whole circles of longitude, not cut into windows


@dataclass(frozen=True)
class HeldOut:
    """Frames of one variable: values (frame, y, x), float64."""

    name: str
    values: np.ndarray
    wrap: bool
    non_negative: bool
    scale_of: np.ndarray  # the whole field, of which the roughness is taken
    like: np.ndarray | None  # fine fields of other times, where there are any

    def likeness(self, factor: int) -> Likeness | None:
        """How rough the variable is, of what was not held out."""
        return None if self.like is None else likeness(xr.DataArray(self.like), factor)

    def cropped(self, factor: int) -> tuple[np.ndarray, np.ndarray, float] | None:
        """Truth and coarse frames cut to a multiple of the factor, and the roughness; None if fewer than 4 x 4."""
        height, width = (side // factor * factor for side in self.values.shape[1:])
        if min(height, width) < 4 * factor:
            return None
        fine = self.values[:, :height, :width]
        whole = self.scale_of[
            :, : self.scale_of.shape[1] // factor * factor, : self.scale_of.shape[2] // factor * factor
        ]
        return fine, block_means(fine, factor), roughness(block_means(whole, factor))


def held_out_fields(data: Path, wanted: list[str] | None) -> Iterator[HeldOut]:
    """All, or those whose name contains one of the words."""
    for name, (file, variable, level, positive) in SERIES.items():
        if _asked(name, wanted) and (data / file).exists():
            frames = _series(data / file, variable, level)
            trained = len(frames) - len(frames) // 4 - max(1, len(frames) // 8)  # a gap is left
            yield _of(name, frames[-LAST:], frames[: max(1, trained)], positive)
    if (data / AEROSOL).exists():
        maps = np.load(data / AEROSOL).astype(np.float64)  # log(1 + x) already: left as it is
        for kind in range(maps.shape[-1]):
            name = f"aerosol map {kind + 1} (log1p)"
            if _asked(name, wanted):
                yield _of(name, maps[-1:, ..., kind], maps[:-2, ..., kind], True)


def _asked(name: str, wanted: list[str] | None) -> bool:
    return not wanted or any(word.lower() in name.lower() for word in wanted)


def _series(path: Path, variable: str, level: int | None) -> np.ndarray:
    """Frames (time, y, x), north first."""
    with warnings.catch_warnings(), xr.open_dataset(path, decode_times=False) as dataset:
        warnings.simplefilter("ignore")
        array = dataset[variable]
        if level is not None:
            array = array.isel({array.dims[-3]: level})
        values, latitude = np.asarray(array.values, np.float64), array[array.dims[-2]].values
    values = values[..., ::-1, :] if latitude[-1] > latitude[0] else values
    return values.reshape(-1, *values.shape[-2:])


def _of(name: str, values: np.ndarray, like: np.ndarray, positive: bool) -> HeldOut:
    if values.shape[1] * values.shape[2] <= 4 * WINDOW[0] * WINDOW[1]:
        return HeldOut(name, values, name in TURNS, positive, values, like)
    cuts = [values[0, row : row + WINDOW[0], column : column + WINDOW[1]] for row, column in STARTS]
    return HeldOut(f"{name}, {len(cuts)} windows", np.stack(cuts), False, positive, values, None)
