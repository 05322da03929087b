"""Rows for the low-rank format: sizes, reads, means, and TS and TREFHT beside SZ3 and Pyramid.

    python tests/benchmarks/low_rank.py [--data FOLDER] [--rank 500] [--only gappy|series]

The gappy cube is simulated (an advected, log-normal field under moving clouds, 1461 x 50 x 116, half of it missing): no
satellite record of that size is at hand. All bytes count, metadata and mask included; coordinates are left out.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray
from pysz import sz, szConfig, szErrorBoundMode
from zarr.storage import LocalStore

from adiabat.codec import Pyramid
from adiabat.codec.mask import write_plane
from adiabat.formats import low_rank
from adiabat.formats.low_rank_candidates import FULL_RIDGE, SEARCHED, bounded
from adiabat.formats.low_rank_layout import write_group
from adiabat.formats.low_rank_store import StoredArray
from adiabat.formats.observed_mask import encode_mask
from adiabat.formats.quantised_factors import Quantised, quantise
from adiabat.training.anomaly import Anomaly
from adiabat.training.cp_als import fit

CUBE = (1461, 50, 116)
SERIES = (("TS", "b003_TS_200-299.nc"), ("TREFHT", "TREFHT.B06.57.atm.1890-1999ANN.nc"))
SHARES = (0.3, 0.1, 0.03)
TIMES = 15


def simulate(shape: tuple[int, int, int] = CUBE, seed: int = 3) -> xr.DataArray:
    """A gappy cube of half-degree days: hotspots, season, weather carried eastwards, clouds that hide half of it."""
    rng = np.random.default_rng(seed)
    days, rows, columns = shape
    place = _smooth(rng, (1, rows, columns), 3.0)[0]
    weather, clouds = _smooth(rng, shape, 1.9), _smooth(rng, shape, 2.1)
    for day in range(1, days):
        weather[day] = 0.6 * np.roll(weather[day - 1], 2, 1) + 0.8 * weather[day]
        clouds[day] = 0.4 * np.roll(clouds[day - 1], 4, 1) + math.sqrt(0.84) * clouds[day]
    season = 0.35 * np.cos(2 * np.pi * (np.arange(days) - 15) / 365.25)[:, None, None]
    values = np.exp(0.8 * place + season + 0.6 * weather + 0.15 * rng.standard_normal(shape)).astype(np.float32)
    values[clouds < 0] = np.nan
    times = np.datetime64("2018-05-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
    latitude = xr.Variable("lat", 25 + 0.5 * np.arange(rows), {"units": "degrees_north"})
    longitude = xr.Variable("lon", -125 + 0.5 * np.arange(columns), {"units": "degrees_east"})
    coordinates = {"time": times, "lat": latitude, "lon": longitude}
    return xr.DataArray(values, coordinates, ("time", "lat", "lon"), "no2", {"units": "mol m-2"})


def _smooth(rng: np.random.Generator, shape: tuple[int, int, int], slope: float) -> NDArray[np.float32]:
    """Gaussian fields of a power law, one a frame, of standard deviation 1."""
    days, rows, columns = shape
    k = np.hypot(np.fft.fftfreq(2 * rows)[:, None], np.fft.rfftfreq(2 * columns)[None])
    amplitude = (k**2 + 1 / 1600) ** (-slope / 2)
    out = np.empty(shape, np.float32)
    for day in range(days):
        noise = np.fft.rfft2(rng.standard_normal((2 * rows, 2 * columns)))
        out[day] = np.fft.irfft2(noise * amplitude)[:rows, :columns]
    return np.asarray(out / out.std())


def row(name: str, value: str, wanted: str, good: bool) -> None:
    """Print one figure beside what it should be."""
    print(f"{name:<58} {value:>22}   {wanted:<22} {'ok' if good else 'NOT MET'}", flush=True)


def timed(act: Callable[[], object], times: int = TIMES) -> tuple[float, float]:
    """Milliseconds: the first, and the median of those after it."""
    taken = []
    for _ in range(times + 1):
        start = time.perf_counter()
        act()
        taken.append(1e3 * (time.perf_counter() - start))
    return taken[0], float(np.median(taken[1:]))


def gappy(folder: Path, rank: int) -> None:
    """Size, quantisation, reads and means of a gappy cube."""
    cube, path = simulate(), folder / "cube.cp.zarr"
    for ridge in (3.0, 30.0):
        start = time.perf_counter()
        written = low_rank.write(cube, path, rank=rank, ridge=ridge, sweeps=15, overwrite=True)
        whole = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        dense, seen = 4 * cube.size, 4 * written.observed
        text = f"{whole} bytes ({dense / whole:.0f}:1, {seen / whole:.0f}:1 of observed)"
        row(f"R={rank}, ridge {ridge:g}: {written.rank} left, all in", text, "at most 1.2 MB", whole <= 1.2e6)
        print(f"    fitted and written in {time.perf_counter() - start:.0f} s, NRMSE {written.nrmse:.4f}")
        if ridge == 3.0:
            quantisation(cube, rank, ridge)
            reads(path, folder)
            means(path)
    observed = np.isfinite(cube.values)
    pieces = [observed[day : day + 128] for day in range(0, len(observed), 128)]
    ours, house = sum(len(encode_mask(p)) for p in pieces), sum(len(write_plane(p)) for p in pieces)
    row("mask", f"{ours} bytes", f"stream's {house}, bits {observed.size // 8}", ours < house)


def quantisation(cube: xr.DataArray, rank: int, ridge: float) -> None:
    """NRMSE of integers beside that of the floats they came from."""
    values, observed = cube.values, np.isfinite(cube.values)
    anomaly = Anomaly.of(values, observed)
    x = anomaly.remove(values)
    made = fit(x, observed, rank=rank, ridge=ridge, sweeps=15)
    small = quantise(made.weights, made.factors, rmse=made.history[-1].rmse)

    def error(weights: NDArray[np.generic], factors: list[NDArray[np.generic]]) -> float:
        left = (low_rank.combine(weights, factors) - x)[observed]
        return float(np.sqrt(np.mean(left**2)))

    exact, rounded = error(made.weights, made.factors), error(small.weights, small.factors)
    text = f"{100 * (rounded / exact - 1):.2f} % ({small.factors[0].dtype})"
    row("quantisation adds NRMSE", text, "at most 5 %", rounded <= 1.05 * exact)


def reads(path: Path, folder: Path) -> None:
    """Times of opening and reading, and what one day touches."""
    _, opening = timed(lambda: xr.open_dataset(path))
    row("open", f"{opening:.1f} ms", "at most 50 ms", opening <= 50)
    actions: dict[str, tuple[Callable[[xr.DataArray], xr.DataArray], float]] = {
        "series": (lambda a: a[:, 20, 50], 5),
        "day": (lambda a: a[700], 10),
        "box of 30 x 10 x 10": (lambda a: a[100:130, 10:20, 30:40], 5),
    }
    for name, (act, limit) in actions.items():
        array = xr.open_dataset(path, cache=False).no2
        cold, warm = timed(lambda act=act, array=array: act(array).values)  # type: ignore[misc]
        row(name, f"{warm:.2f} ms, first {cold:.1f}", f"at most {limit} ms", warm <= limit)
    full = xr.open_dataset(path).no2.values
    array = xr.open_dataset(path, cache=False).no2
    some = array[::-3, [1, 5, 2], 5:40:7].values
    same = np.array_equal(some, full[::-3][:, [1, 5, 2], 5:40:7])
    points = {dim: xr.DataArray(np.random.default_rng(0).integers(0, size, 500)) for dim, size in array.sizes.items()}
    where = tuple(index.values for index in points.values())
    same &= np.array_equal(array.isel(points).values, full[where])
    row("indexing against a full decode", "the same bits" if same else "differs", "within 1e-5 std", same)
    touched = chunks_of_a_day(path)
    row("time chunks a day reads", f"{touched}", "1", touched == 1)


class Watched(LocalStore):
    """A store that notes what is read from it."""

    seen: list[str]

    async def get(self, key: str, *arguments: object, **options: object) -> object:  # type: ignore[override]
        """Note, and get."""
        Watched.seen.append(key)
        return await super().get(key, *arguments, **options)  # type: ignore[arg-type]


def chunks_of_a_day(path: Path) -> int:
    """How many chunks of the first factor reading one day touches."""
    Watched.seen = []
    group = zarr.open_group(Watched(path, read_only=True), mode="r", path="no2", use_consolidated=False)
    stored = StoredArray(group)
    stored.outer([np.array([700]), *(np.arange(size) for size in stored.shape[1:])])
    return sum("factor_time/c/" in key for key in Watched.seen)


def means(path: Path) -> None:
    """Means in factor space beside decoding and averaging."""
    array = xr.open_dataset(path, cache=False).no2
    full = array.values.astype(np.float64)
    for dims in ("time", ("lat", "lon"), ("time", "lat", "lon")):
        axes = tuple(array.get_axis_num(dim) for dim in ([dims] if isinstance(dims, str) else dims))
        _, fast = timed(lambda dims=dims: array.adiabat.mean(dims))  # type: ignore[misc]
        _, slow = timed(lambda dims=dims: array.mean(dims).values, 3)  # type: ignore[misc]
        error = float(np.abs(array.adiabat.mean(dims).values - full.mean(axes)).max() / full.std())
        text = f"{slow / fast:.0f} x, {error:.0e} std"
        row(f"mean over {dims}", text, "50 x, 1e-5 std", error <= 1e-5 and slow >= 50 * fast)


def sz3(field: NDArray[np.float32], bound: float) -> tuple[int, NDArray[np.float32]]:
    """Bytes, and what comes back."""
    config = szConfig()
    config.errorBoundMode, config.absErrorBound, config.openmp = szErrorBoundMode.ABS, bound, False
    data = sz.compress(np.ascontiguousarray(field), config)[0]
    return data.nbytes, sz.decompress(data.copy(), np.float32, field.shape)[0]


def factor_bytes(small: Quantised, anomaly: Anomaly, base_bound: float) -> tuple[int, Anomaly]:
    """Bytes of chunks (as SZ3's are counted: no metadata) of factors, weights and base; the base that comes back."""
    memory: dict[str, object] = {}
    store = zarr.storage.MemoryStore(memory)  # type: ignore[arg-type]
    codec = {"name": "adiabat.pyramid", "configuration": {"bound": {"abs": base_bound}}}
    residual = {"bound": {}, "chunks": small_shape(small), "dtype": "f4", "serializer": codec, "base": codec}
    group = zarr.open_group(store, mode="w")
    options = {"dims": ("time", "lat", "lon"), "dtype": np.dtype("f4"), "attributes": {}}
    made = write_group(group, "x", small=small, anomaly=anomaly, residual=residual, **options)  # type: ignore[arg-type]
    size = sum(len(buffer) for key, buffer in memory.items() if not key.endswith("zarr.json"))  # type: ignore[arg-type]
    return size, replace(anomaly, base=np.asarray(made["base"][...]))  # type: ignore[index]


def small_shape(small: Quantised) -> tuple[int, ...]:
    """Lengths of the axes."""
    return tuple(len(factor) for factor in small.factors)


def series(data: Path, name: str, file: str) -> None:
    """One series of a climate model: factors with either residual, beside either codec alone."""
    cube = xr.open_dataset(data / "model_output" / file, decode_times=False)[name].load()
    values, deviation = cube.values, float(cube.values.std())
    anomaly = Anomaly.of(values)
    x = anomaly.remove(values)
    fits = {rank: fit(x, rank=rank, ridge=FULL_RIDGE) for rank in SEARCHED if rank <= 100}
    pure(name, values, anomaly, deviation)
    for share, gain in zip(SHARES, (1.25, 1.10, 1.04), strict=True):
        bound = share * deviation
        alone, _ = sz3(values, bound)
        rows = {0: alone}
        for rank, made in fits.items():
            small = quantise(made.weights, made.factors, rmse=made.history[-1].rmse)
            size, stored = factor_bytes(small, anomaly, 0.12 * bound)
            model = low_rank.CPArray(small.weights, small.factors, stored, np.dtype(np.float64))[...]
            more, back = sz3((values - model).astype(np.float32), bound * (1 - 1e-4))
            assert np.abs(values - (model + back).astype(np.float32)).max() <= bound
            rows[rank] = size + more
        rank = min(rows, key=lambda key: rows[key])
        ratio = values.nbytes / rows[rank]
        better = alone / rows[rank]
        wanted = f"SZ3 {values.nbytes / alone:.1f}, x {gain}" if name == "TS" else f"SZ3 {values.nbytes / alone:.1f}"
        good = better >= (gain if name == "TS" else 0.99)
        row(f"{name}, {share} std: rank {rank} + SZ3", f"{ratio:.1f} (x {better:.3f})", wanted, good)
        pyramid = len(Pyramid(bound={"abs": bound}).encode(values))
        best = bounded(cube, bound)
        store = f"rank {best.rank}, {values.nbytes / best.written_bytes:.1f}, {best.written_bytes} bytes with metadata"
        print(
            f"    Pyramid alone {values.nbytes / pyramid:.1f}, {pyramid} bytes without; the store: {store}", flush=True
        )


def pure(name: str, values: NDArray[np.float32], anomaly: Anomaly, deviation: float) -> None:
    """Factors alone at an NRMSE of 4e-2, the rank found by halving."""
    from adiabat.formats.low_rank_candidates import unbounded

    low, high, found = 1, 128, None
    array = xr.DataArray(values, dims=("time", "lat", "lon"), name=name)
    while low < high:
        rank = (low + high) // 2
        made = unbounded(array, values, rank, 0.1, sweeps=60)
        if made.rmse <= 0.04 * deviation:
            high, found = rank, made
        else:
            low = rank + 1
    if found is not None:
        ratio = values.nbytes / found.written_bytes
        text = f"{ratio:.1f} (rank {found.rank}, {found.rmse / deviation:.4f})"
        row(f"{name}: factors alone at NRMSE 4e-2", text, "at least 90", ratio >= 90 or name != "TS")


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--rank", type=int, default=500)
    parser.add_argument("--only", choices=("gappy", "series"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.only != "series":
        with tempfile.TemporaryDirectory() as folder:
            gappy(Path(folder), options.rank)
    if options.only != "gappy":
        for name, file in SERIES:
            series(options.data, name, file)


if __name__ == "__main__":
    main()
