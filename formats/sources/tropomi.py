"""Swaths of TROPOMI and their kind -> the cube of days by latitude and longitude they are laid on.

Stage: the entrance of ``adiabat fill``: overpasses -> **tropomi** -> a cube with holes. Values stay those of the
pixels: a cell takes the nearest valid pixel within half its diagonal (training.rasterise), on the day of its orbit.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.errors import RequestError
from adiabat.formats.sources.overpasses import Orbit, Pass, is_swath, only_variable, opened, orbits, passes_of, read

__all__ = ["Orbit", "is_swath", "orbits", "to_cube"]

QA = 0.5  # used are pixels with more than this, by the products' manuals
QA_NO2 = 0.75
CLOSE = 0.98  # of the pixels' spacing: a grid this little finer is not finer
_COORDINATES = {
    "time": {"standard_name": "time", "long_name": "day of the overpass, UTC", "axis": "T"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}
_NO2 = ("no2", "nitrogendioxide")


def to_cube(
    source: str | Path, grid: float | None = None, variable: str | None = None, qa: float | None = None
) -> xr.DataArray:
    """Lay swaths on a regular grid, one field for each day that has an orbit.

    Parameters
    ----------
    source : path
        A file or a folder.
    grid : float, optional
        Side of a cell in degrees; by default the finest of the usual ones that is not finer than the pixels.
    variable : str, optional
        By default the only one there is.
    qa : float, optional
        Pixels with a quality above this are used: 0 to 1, or percent if above 1. By default 0.75 for NO2 and 0.5 for
        all else.

    Returns
    -------
    xarray.DataArray
        (time, latitude, longitude), float32, NaN where no valid pixel was near enough, with CF attributes. A day is
        that of the middle of the orbit in UTC; days without any orbit are left out.
    """
    from adiabat.training.rasterise import Cells, Raster

    source = Path(source)
    if grid is not None and not 0 < grid <= 10:
        raise RequestError(f"expected a grid of more than 0 and at most 10 degrees, got {grid:g}")
    passes = passes_of(source)
    name = variable or only_variable(passes[0])
    threshold = _threshold(qa, name)
    north, east, spacing = _extent(passes, name)
    cells = Cells.covering(north, east, grid or _usual(spacing))
    laid = (read(file, one, name) for one, file in opened(passes))
    fields, days = [], []
    attrs: dict[str, object] = {}
    for day, of_day in groupby(laid, lambda orbit: orbit.time.astype("datetime64[D]")):
        raster = Raster(cells)
        for orbit in of_day:
            if qa is not None and orbit.qa is None:
                raise RequestError(f"{name} has no quality in {source}: leave qa out")
            raster.add(orbit.latitude, orbit.longitude, orbit.values, orbit.valid(threshold))
            attrs = attrs or dict(orbit.attrs)
        fields.append(raster.values)
        days.append(day)
    values = np.stack(fields)
    if not np.isfinite(values).any():
        raise RequestError(f"no pixel of {name} in {source} has a quality above {threshold:g}")
    attrs |= {
        "qa_threshold": threshold,
        "comment": "nearest valid pixel within half a cell's diagonal of the centre; nothing is interpolated",
    }
    coordinates = {
        "time": ("time", np.asarray(days).astype("datetime64[ns]"), _COORDINATES["time"]),
        "latitude": ("latitude", cells.latitude, _COORDINATES["latitude"]),
        "longitude": ("longitude", cells.longitude, _COORDINATES["longitude"]),
    }
    return xr.DataArray(values, coordinates, ("time", "latitude", "longitude"), name=name, attrs=attrs)


def _usual(spacing: float) -> float:
    from adiabat.training.rasterise import STEPS

    return next((step for step in STEPS if step >= CLOSE * spacing), STEPS[-1])


def _threshold(qa: float | None, name: str) -> float:
    if qa is None:
        return QA_NO2 if any(word in name.lower() for word in _NO2) else QA
    if not 0 <= qa <= 100:
        raise RequestError(f"expected a quality from 0 to 1, or in percent up to 100, got {qa:g}")
    return qa / 100 if qa > 1 else float(qa)


def _extent(passes: list[Pass], name: str) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Latitudes and longitudes between which all pixels lie, and the median of the overpasses' pixel spacings."""
    from adiabat.training.rasterise import spacing

    north, east, apart = [], [], []
    every = max(1, len(passes) // 20)
    for number, (one, file) in enumerate(opened(passes)):
        orbit = read(file, one, name, values=False)
        here = np.isfinite(orbit.latitude) & np.isfinite(orbit.longitude)
        if not here.any():
            continue
        latitude, longitude = orbit.latitude[here], orbit.longitude[here]
        north += [latitude.min(), latitude.max()]
        some = np.unique(np.floor(longitude), return_index=True)[1]
        east += [longitude.min(), longitude.max(), *longitude[some]]
        if number % every == 0 and latitude.size >= 5:
            apart.append(spacing(latitude, longitude))
    if not apart:
        raise RequestError(f"expected pixels with a place to make a grid from, got none in {passes[0].path.parent}")
    return np.asarray(north), np.asarray(east), float(np.median(apart))
