"""Error of going to HEALPix and back, without compression: `python tests/benchmarks/healpix.py FILE:VAR ...`.

A row for each field and method: RMSE (cos-latitude weighted) and largest error, the standard deviation to compare with,
how many values were negative before and after, CPU seconds of both ways once the stencils are made. Of a field of
several frames the first is taken. nside is 256 unless --nside says otherwise; with --plot FOLDER, cells are drawn.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import xarray as xr

from adiabat.formats.healpix import plot, round_trip, to_healpix, to_latlon
from adiabat.formats.healpix_axes import located
from adiabat.formats.metrics import area_weights, negatives

METHODS = ("sht", "bilinear")


def read(place: str) -> xr.DataArray:
    """The first frame of a variable."""
    path, _, name = place.rpartition(":")
    with xr.open_dataset(path) as dataset:
        field = dataset[name]
        axes = [axis for axis, _ in located(field)]
        return field.isel({dim: 0 for dim in field.dims if dim not in axes}).transpose(*axes).load()


def row(name: str, field: xr.DataArray, nside: int, method: str) -> str:
    """One line of the table."""
    (_, latitude), (_, longitude) = located(field)
    error = round_trip(field, nside=nside, method=method)
    start = time.process_time()
    cells = to_healpix(field, nside=nside, method=method)
    middle = time.process_time()
    back = to_latlon(cells, latitude, longitude, method=method)
    seconds = middle - start, time.process_time() - middle
    weights = np.broadcast_to(area_weights(latitude)[:, None], field.shape)
    spread = np.sqrt(np.cov(field.values.ravel().astype("f8"), aweights=weights.ravel()))
    below = negatives(field.values, back.values)
    numbers = f"{float(error.rmse):10.4g} {float(error.max_error):10.4g} {float(spread):10.4g}"
    return f"{name:14s} {method:9s} {nside:5d} {numbers} {below.source:8d} {below.decoded:8d} " + " ".join(
        f"{s:6.3f}" for s in seconds
    )


def main() -> None:
    """Parse the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fields", nargs="+", metavar="FILE:VAR")
    parser.add_argument("--nside", type=int, default=256)
    parser.add_argument("--plot", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    print("field          method    nside       RMSE        max  deviation  neg. in neg. out  CPU s there, back")
    for place in arguments.fields:
        field = read(place)
        name = str(field.name)
        for method in METHODS:
            print(row(name, field, arguments.nside, method), flush=True)
            if arguments.plot is not None:
                cells = to_healpix(field, nside=arguments.nside, method=method)
                unit = str(field.attrs.get("units", ""))
                plot(cells, arguments.plot / f"{name}_{method}.png", title=f"{name}, {method}", unit=unit)


if __name__ == "__main__":
    main()
