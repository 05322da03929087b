"""The main job on data made here: compress, read with plain xarray, check, draw.

The field is simulated and says so in its attributes: smooth in space with a power-law spectrum,
drifting in time, with a warm belt round the equator. It shows that everything works; real data
compress better or worse than it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.archive import compress
from adiabat.formats.inventory import take_inventory
from adiabat.formats.metrics import ErrorSummary

VARIABLE = "temperature"

# What a reader does who has never heard of adiabat, in a process of its own.
READER = """
import sys
import xarray as xr
values = xr.open_zarr(sys.argv[1])["temperature"].values
values.tofile(sys.argv[2])
"""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Parameters
    ----------
    ratio : float
        Bytes of the float32 array over all bytes written for it.
    errors : ErrorSummary
        Of the values another process read, against the source.
    encode_mb_s, decode_mb_s : float
        Megabytes (1e6) of float32 a second, Zarr included, after a first call.
    source, stored : float32 arrays, (time, lat, lon)
        One before, one after.
    """

    ratio: float
    errors: ErrorSummary
    encode_mb_s: float
    decode_mb_s: float
    source: NDArray[np.float32]
    stored: NDArray[np.float32]


def simulate_field(shape: tuple[int, int, int] = (8, 361, 720), *, seed: int = 0) -> xr.Dataset:
    """Make a smooth global field that looks like temperature and is not.

    Parameters
    ----------
    shape : (time, lat, lon)
    seed : int

    Returns
    -------
    xarray.Dataset
        One variable ``temperature`` in K, hourly, labelled as simulated.

    Examples
    --------
    >>> simulate_field((1, 19, 36))["temperature"].attrs["units"]
    'K'
    """
    times, lats, lons = shape
    rng = np.random.default_rng(seed)
    rows = np.fft.fftfreq(2 * lats)[:, np.newaxis] * 2 * lats  # twice as high: no seam at the poles
    columns = np.fft.rfftfreq(lons)[np.newaxis, :] * lons
    wavenumber = np.hypot(rows, columns)
    amplitude = (1 + wavenumber) ** -2.2
    phase = rng.uniform(0, 2 * np.pi, wavenumber.shape)
    frames = np.empty(shape)
    for hour in range(times):
        # Every wave drifts eastward; the shorter it is, the faster it changes.
        drift = 0.02 * hour * columns + 0.05 * hour * np.sqrt(wavenumber)
        waves = np.fft.irfft2(amplitude * np.exp(1j * (phase - drift)), s=(2 * lats, lons))
        frames[hour] = waves[:lats]
    latitude = np.linspace(90, -90, lats)
    belt = 255 + 45 * np.cos(np.deg2rad(latitude)) ** 2
    frames = belt[:, np.newaxis] + frames * (6 / frames.std())
    return xr.Dataset(
        {VARIABLE: (("time", "lat", "lon"), frames.astype(np.float32), _attributes(seed))},
        coords={
            "time": ("time", np.arange(times), {"units": "hours since 2000-01-01"}),
            "lat": ("lat", latitude, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": (
                "lon",
                np.arange(lons) * 360 / lons,
                {"units": "degrees_east", "standard_name": "longitude"},
            ),
        },
        attrs={"title": "adiabat demo: SIMULATED, not an observation and not a forecast"},
    )


def _attributes(seed: int) -> dict[str, str]:
    return {
        "units": "K",
        "long_name": "simulated temperature",
        "comment": f"simulated: random waves with a power-law spectrum, seed {seed}",
    }


def run_demo(store: Path, *, bound: float = 0.1, overwrite: bool = False) -> DemoResult:
    """Compress the simulated field into `store` and read it back in a process with only xarray.

    Parameters
    ----------
    store : path
        Of the Zarr store to make.
    bound : float
        Absolute, in K.
    overwrite : bool
        Whether a store there may be replaced.

    Returns
    -------
    DemoResult

    Raises
    ------
    RequestError
        If `store` is taken.
    RuntimeError
        If the other process fails.
    """
    dataset = simulate_field()
    source = dataset[VARIABLE].values
    options = {"bounds": {VARIABLE: {"abs": bound}}, "command": "adiabat demo"}
    compress(dataset, store, overwrite=overwrite, **options)  # type: ignore[arg-type]
    stored = _read_elsewhere(store, source.shape)
    errors = ErrorSummary({"abs": bound})
    errors.add(source, stored)
    start = time.perf_counter()
    compress(dataset, store, overwrite=True, **options)  # type: ignore[arg-type]
    encoded = time.perf_counter()
    with xr.open_zarr(store, chunks=None) as again:
        again[VARIABLE].load()
    decoded = time.perf_counter()
    row = next(row for row in take_inventory(store) if row.name == VARIABLE)
    megabytes = source.nbytes / 1e6
    return DemoResult(
        ratio=row.ratio,
        errors=errors,
        encode_mb_s=megabytes / (encoded - start),
        decode_mb_s=megabytes / (decoded - encoded),
        source=source,
        stored=stored,
    )


def _read_elsewhere(store: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = store.with_suffix(".values")
    try:
        ran = subprocess.run([sys.executable, "-c", READER, str(store), str(values)], capture_output=True, text=True)
        if ran.returncode:
            raise RuntimeError(f"the reading process failed: {ran.stderr.strip().splitlines()[-1:]}")
        return np.fromfile(values, dtype=np.float32).reshape(shape)
    finally:
        values.unlink(missing_ok=True)


def draw(result: DemoResult, picture: Path) -> None:
    """Draw the field, its error and the histogram of errors with the bound.

    Parameters
    ----------
    result : DemoResult
    picture : path
        Of the PNG to write.

    Raises
    ------
    ImportError
        Without matplotlib, which is in the extra ``plot``.
    """
    from matplotlib.figure import Figure

    bound = result.errors.limit
    error = result.stored.astype(np.float64) - result.source.astype(np.float64)
    figure = Figure(figsize=(15, 3.8), layout="constrained")
    field_axes, error_axes, histogram = figure.subplots(1, 3, width_ratios=(1.2, 1.2, 1))
    extent = (0, 360, -90, 90)
    image = field_axes.imshow(result.stored[0], extent=extent, aspect="auto", cmap="RdYlBu_r")
    field_axes.set_title(f"decoded (simulated field), {result.ratio:.0f} x smaller")
    figure.colorbar(image, ax=field_axes, label="K")
    image = error_axes.imshow(error[0], extent=extent, aspect="auto", cmap="RdBu_r", vmin=-bound, vmax=bound)
    error_axes.set_title("decoded - source")
    figure.colorbar(image, ax=error_axes, label="K")
    for axes in (field_axes, error_axes):
        axes.set(xlabel="longitude", ylabel="latitude")
    histogram.hist(error.ravel(), bins=np.linspace(-1.15 * bound, 1.15 * bound, 93).tolist(), color="0.6")
    for side in (-bound, bound):
        histogram.axvline(side, color="crimson")
    histogram.set(xlabel="error [K]", ylabel="values", title=f"all errors; the bound {bound:g} K in red")
    figure.savefig(picture, dpi=110)
