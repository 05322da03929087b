"""Methods of filling gaps, on cells held out under clouds of other days and at random; rank, grid and length of record.

    python tests/benchmarks/gap_filling.py ../shared/data/tropomi/no2_pixels_2018-05_2021-06.nc --json OUT --plots DIR
    python tests/benchmarks/gap_filling.py FILE --json OUT --sweep rank grid record

Finished rows are kept in OUT and not computed again, so that a run that was stopped goes on. Rank and ridge of CP are
chosen anew for each seed, under clouds and within the cells that are trained on. Scores are in the unit of the table's
head; d_r is the refined index of agreement, a.r the correlation of anomalies from the pixels' means.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from adiabat.formats.sources import tropomi
from adiabat.training import gap_filling as gaps
from adiabat.training.rasterise import Cells, nearest

Row = dict[str, Any]
Pair = tuple[int, float]  # rank and ridge

RANKS, RIDGES = (10, 20, 50), (5.0, 10.0, 20.0, 40.0)
UNIT = 1e-5  # mol m-2, in which the table's RMSE and bias are
COLUMNS = ("ioa", "refined", "r", "anomaly_r", "rmse", "bias")
HEADS = ("IOA", "d_r", "r", "a.r", "RMSE", "bias")
MASKS = ("clouds", "random")
SWEEPS = {
    "rank": (1, 2, 3, 5, 10, 20, 50, 100, 200),
    "grid": (0.1, 0.2, 0.5),
    "record": (60, 120, 240, 480, 917),
}
CHOSEN = ("CP", "CP + kriging")


def fill(name: str, cube: gaps.Cube, held: gaps.HeldOut, seed: int, choice: gaps.Choice | None) -> gaps.Floats:
    """Run one method."""
    pair = {} if choice is None else {"rank": choice.rank, "ridge": choice.ridge}
    methods: dict[str, Callable[[], gaps.Floats]] = {
        "pixel mean": lambda: gaps.climatology(cube, held.train),
        "pixel mean + day": lambda: gaps.day_means(cube, held.train),
        "pixel mean + plane": lambda: gaps.day_means(cube, held.train, tilted=True),
        "DINEOF": lambda: gaps.dineof_fill(cube, held.train, validation=validation(cube, held, seed)),
        "kriging": lambda: gaps.local_kriging(cube, held.train, held.test),
        "CP": lambda: gaps.cp(cube, held.train, seed=seed, **pair),
        "CP + kriging": lambda: gaps.cp_kriged(cube, held.train, held.test, seed=seed, **pair),
    }
    return methods[name]()


METHODS = ("pixel mean", "pixel mean + day", "pixel mean + plane", "kriging", "DINEOF", "CP", "CP + kriging")


def validation(cube: gaps.Cube, held: gaps.HeldOut, seed: int) -> gaps.Mask:
    """Cells that decide for DINEOF, under clouds like those that decide for CP."""
    return gaps.cloud_patterns(held.train, cube.days, seed=seed + gaps.VALIDATION).test


class Bench:
    """The rows computed so far, on disk after each."""

    def __init__(self, source: Path, kept: Path | None, variable: str | None):
        self.source, self.kept, self.variable = source, kept, variable
        self.rows: dict[str, Row] = json.loads(kept.read_text()) if kept and kept.is_file() else {}
        self.array, self.cube = cache(self._array), cache(self._cube)

    def _array(self, grid: float) -> xr.DataArray:
        return tropomi.to_cube(self.source, grid, self.variable)

    def dates(self, grid: float) -> NDArray[np.datetime64]:
        """All days of the record."""
        return np.asarray(self.array(grid)["time"].values)

    def _cube(self, grid: float, days: int) -> gaps.Cube:
        array = self.array(grid)[:days]
        number = (array["time"].values - array["time"].values[0]) / np.timedelta64(1, "D")
        values = (array.values / UNIT).astype(np.float32)
        return gaps.Cube(values, array["latitude"].values, array["longitude"].values, number.astype(np.float64))

    def row(self, grid: float, days: int, mask: str, seed: int, name: str, pair: Pair | None = None) -> Row:
        """Scores of one method, from disk or computed."""
        key = f"{grid:g} deg|{days} days|{mask}|{seed}|{name}" + (f"|{pair[0]},{pair[1]:g}" if pair else "")
        if key not in self.rows:
            cube = self.cube(grid, days)
            held = self.held(cube, mask, seed)
            choice = gaps.Choice(*pair, {}) if pair else self.choice(key, cube, held, seed, name)
            begun = time.perf_counter()
            estimate = fill(name, cube, held, seed, choice)
            seconds = time.perf_counter() - begun
            base = gaps.climatology(cube, held.train)[held.test]
            found = asdict(gaps.Scores.of(estimate[held.test], cube.values[held.test], base))
            row = {k: round(v, 4) if math.isfinite(v) else None for k, v in found.items()} | {"s": round(seconds, 1)}
            self.rows[key] = row | ({"rank": choice.rank, "ridge": choice.ridge} if choice else {})
            self.save()
        return self.rows[key]

    def held(self, cube: gaps.Cube, mask: str, seed: int) -> gaps.HeldOut:
        """The cells tested."""
        if mask == "clouds":
            return gaps.cloud_patterns(cube.observed, cube.days, seed=seed)
        return gaps.random_cells(cube.observed, seed=seed)

    def choice(self, key: str, cube: gaps.Cube, held: gaps.HeldOut, seed: int, name: str) -> gaps.Choice | None:
        """Rank and ridge for the methods that have them, pair by pair on disk."""
        if name not in CHOSEN:
            return None
        known = {(int(k.split(",")[0]), float(k.split(",")[1])): v for k, v in self.rows.get("?" + key, {}).items()}

        def scored(rank: int, ridge: float, rmse: float) -> None:
            self.rows.setdefault("?" + key, {})[f"{rank},{ridge:g}"] = round(rmse, 4)
            self.save()

        method = gaps.cp if name == "CP" else partial(gaps.cp_kriged, members=1)
        return gaps.choose(
            cube, held.train, ranks=RANKS, ridges=RIDGES, seed=seed, method=method, known=known, scored=scored
        )

    def save(self) -> None:
        """All rows, or none if stopped meanwhile."""
        if self.kept:
            part = self.kept.with_suffix(".part")
            part.write_text(json.dumps(self.rows, indent=0))
            part.replace(self.kept)


def line(name: str, rows: list[Row]) -> str:
    """Mean over the seeds, and half the range behind a plus-minus."""
    cells = []
    for column in COLUMNS:
        values = [math.nan if row[column] is None else row[column] for row in rows]
        spread = (max(values) - min(values)) / 2
        cells.append(f"{np.mean(values):8.4f} ±{spread:6.4f}" if len(values) > 1 else f"{values[0]:8.4f}        ")
    pairs = sorted({f"R={row['rank']} ridge {row['ridge']:g}" for row in rows if "rank" in row})
    return f"{name:22}" + "".join(cells) + f"{np.mean([row['s'] for row in rows]):7.0f}  " + "; ".join(pairs)


def table(bench: Bench, grid: float, days: int, masks: Iterable[str], seeds: list[int], methods: list[str]) -> None:
    """Methods by masks."""
    cube = bench.cube(grid, days)
    for mask in masks:
        held = bench.held(cube, mask, seeds[0])
        shape, seen = " x ".join(map(str, cube.values.shape)), cube.observed.mean()
        parts = f"{held.train.mean():.1%} trained on, {held.test.mean():.1%} tested"
        print(f"\n{mask}: {grid:g} degree, {shape}, {seen:.1%} observed, {parts}")
        print(f"{'':22}" + "".join(f"{head:>8}        " for head in HEADS) + f"{'s':>7}")
        for name in methods:
            print(line(name, [bench.row(grid, days, mask, seed, name) for seed in seeds]), flush=True)


def speed(bench: Bench, grid: float) -> None:
    """Rasterising two million pixels, and local kriging of one day."""
    rng = np.random.default_rng(0)
    for name, edges, step in (("CONUS", (25, 50, -125, -67), 0.1), ("the globe", (-90, 90, -180, 180), 0.25)):
        north, east = rng.uniform(*edges[:2], 2_000_000), rng.uniform(*edges[2:], 2_000_000)
        cells = Cells.covering(north, east, step)
        begun = time.perf_counter()
        reached = nearest(cells, north, east)[0].size
        print(f"rasterise 2,000,000 simulated pixels over {name}, {step} degree: {time.perf_counter() - begun:.2f} s, "
              f"{reached} cells of {math.prod(cells.shape)}")  # fmt: skip
    cube = bench.cube(grid, 60)
    held = gaps.random_cells(cube.observed, seed=0)
    full = np.flatnonzero(held.train.mean((1, 2)) > 0.4)
    fits = [(cube.places[held.train[d].ravel()], cube.values[d][held.train[d]].astype(np.float64)) for d in full]
    begun = time.perf_counter()
    variograms = [gaps.Variogram.of([day]) for day in fits]
    fitted = time.perf_counter()
    for day, (known, values), variogram in zip(full, fits, variograms, strict=True):
        gaps.krige(known, values, cube.places[held.test[day].ravel()], variogram)
    kriged = time.perf_counter()
    print(f"kriging at {grid:g} degree, a day of {held.train[full].sum() // full.size} observations and "
          f"{held.test[full].sum() // full.size} targets: variogram {1e3 * (fitted - begun) / full.size:.0f} ms, k=16 "
          f"{1e3 * (kriged - fitted) / full.size:.0f} ms")  # fmt: skip


def sweep_rank(bench: Bench, grid: float, days: int, seeds: list[int]) -> None:
    """CP alone at one ridge: how many components the record carries."""
    for mask in MASKS:
        print(f"\nrank, {mask}, {grid:g} degree, ridge 20, no choice")
        for rank in SWEEPS["rank"]:
            rows = [bench.row(grid, days, mask, seed, "CP", (rank, 20.0)) for seed in seeds[:1]]
            print(line(f"CP R={rank}", rows), flush=True)


def sweep_grid(bench: Bench, days: int, seeds: list[int]) -> None:
    """Coarser cells."""
    for grid in SWEEPS["grid"]:
        table(bench, grid, days, ["clouds"], seeds[:1], list(METHODS[2:]))


def sweep_record(bench: Bench, grid: float, seeds: list[int]) -> None:
    """The first days of the record only."""
    for days in SWEEPS["record"]:
        table(bench, grid, days, ["clouds"], seeds[:1], ["pixel mean + plane", "kriging", "DINEOF", *CHOSEN])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="swaths")
    parser.add_argument("--variable", help="by default the only one")
    parser.add_argument("--grid", type=float, default=0.1, metavar="DEGREES")
    parser.add_argument("--days", type=int, default=10**6, metavar="N", help="first days only")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--masks", nargs="+", choices=sorted(MASKS), default=sorted(MASKS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--sweep", nargs="+", choices=[*SWEEPS, "speed"], default=[], help="these instead of the table")
    parser.add_argument("--json", type=Path, metavar="OUT", help="rows finished, kept and read again")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="where to draw gap_filling_*.png")
    options = parser.parse_args()
    bench = Bench(options.source, options.json, options.variable)
    days = min(options.days, len(bench.dates(options.grid)))
    print(f"gap filling, {datetime.now(UTC):%Y-%m-%d %H:%M UTC}, {platform.machine()}, {os.cpu_count()} cores, "
          f"NumPy {np.__version__}; RMSE and bias in {UNIT:g} of the variable's unit; mean and half range of "
          f"{len(options.seeds)} seeds")  # fmt: skip
    if "rank" in options.sweep:
        sweep_rank(bench, options.grid, days, options.seeds)
    if "speed" in options.sweep:
        speed(bench, options.grid)
    if "grid" in options.sweep:
        sweep_grid(bench, days, options.seeds)
    if "record" in options.sweep:
        sweep_record(bench, options.grid, options.seeds)
    if not options.sweep:
        table(bench, options.grid, days, options.masks, options.seeds, options.methods)
    if options.plots:
        from gap_filling_plots import draw  # beside this file

        draw(bench, options.grid, days, options.plots)


if __name__ == "__main__":
    main()
