"""Drawings of gap_filling: a filled day, a held-out day, a pixel's series, error by rank and by length of record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from adiabat.training import gap_filling as gaps

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PAIR = {"rank": 20, "ridge": 20.0}
LABEL = "NO2 slant column, 1e-5 mol m-2"


def draw(bench: Any, grid: float, days: int, folder: Path) -> None:
    """Draw all; the fits are made anew."""
    cube = bench.cube(grid, days)
    held = gaps.cloud_patterns(cube.observed, cube.days, seed=0)
    filled = gaps.cp_kriged(cube, cube.observed, **PAIR)
    day = _day(cube.observed.mean((1, 2)), 0.45)
    panels = {"observed": cube.values[day], "filled": filled[day]}
    panels["climatology"] = gaps.climatology(cube, cube.observed)[day]
    _maps(
        cube, panels, f"a filled day ({_date(bench, grid, day)}): CP + kriging", folder / "gap_filling_filled_day.png"
    )
    day = _day(np.where(held.train.mean((1, 2)) > 0.15, held.test.mean((1, 2)), 0), 0.5)
    asked = np.zeros(held.test.shape, bool)
    asked[day] = held.test[day] | held.train[day]
    cp = gaps.cp(cube, held.train, **PAIR)
    panels = {
        "observed": cube.values[day],
        "what is trained on": np.where(held.train[day], cube.values[day], np.nan),
        "kriging, k=16": gaps.local_kriging(cube, held.train, asked)[day],
        "CP": np.where(asked[day], cp[day], np.nan),
        "CP + kriging": np.where(asked[day], gaps.cp_kriged(cube, held.train, asked, **PAIR)[day], np.nan),
    }
    title = f"a held-out day ({_date(bench, grid, day)}): under the clouds of another"
    _maps(cube, panels, title, folder / "gap_filling_held_out_day.png")
    _series(bench, grid, cube, filled, folder / "gap_filling_series.png")
    _sweeps(bench, folder / "gap_filling_sweeps.png")


def _day(share: Any, wanted: float) -> int:
    return int(np.argmin(np.abs(share - wanted)))


def _date(bench: Any, grid: float, day: int) -> str:
    return str(bench.dates(grid)[day])[:10]


def _maps(cube: gaps.Cube, panels: dict[str, Any], title: str, path: Path) -> None:
    low, high = np.nanpercentile(np.stack(list(panels.values())[:1]), [2, 98])
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.6), sharey=True, layout="constrained")
    for axis, (name, field) in zip(axes, panels.items(), strict=True):
        axis.set_facecolor("0.85")
        image = axis.pcolormesh(cube.longitude, cube.latitude, field, vmin=low, vmax=high, cmap="viridis")
        axis.set_title(name)
        axis.set_aspect(1 / np.cos(np.radians(cube.latitude.mean())))
        axis.set_xlabel("longitude, degrees east")
    axes[0].set_ylabel("latitude, degrees north")
    figure.colorbar(image, ax=axes, label=LABEL, shrink=0.9)
    figure.suptitle(title)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _series(bench: Any, grid: float, cube: gaps.Cube, filled: Any, path: Path) -> None:
    """The cell with the largest mean."""
    mean = gaps.climatology(cube, cube.observed)[0]
    row, column = np.unravel_index(int(np.argmax(mean)), mean.shape)
    dates, seen = bench.dates(grid), cube.values[:, row, column]
    figure, axis = plt.subplots(figsize=(10, 3.2), layout="constrained")
    axis.plot(
        dates, filled[:, row, column], lw=0.7, color="C0", label="CP + kriging (continuous part, without the noise)"
    )
    axis.plot(dates, seen, ".", ms=3, color="C1", label="observed")
    gap = ~np.isfinite(seen)
    axis.plot(dates[gap], filled[gap, row, column], "x", ms=4, color="k", label="filled where nothing was observed")
    axis.set_title(f"the cell of the largest mean: {cube.latitude[row]:.2f} N {cube.longitude[column]:.2f} E")
    axis.set_ylabel(LABEL.replace("NO2 slant column", "NO2"))
    axis.legend(fontsize=8, ncols=3)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _sweeps(bench: Any, path: Path) -> None:
    """RMSE by rank, and by length of record, of the rows there are."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    ranks: dict[tuple[str, str], list[tuple[int, float]]] = {}
    records: dict[str, list[tuple[int, float]]] = {}
    for key, row in bench.rows.items():
        words = key.split("|")
        if key.startswith("?"):
            continue
        if len(words) == 6 and words[4] == "CP":
            ranks.setdefault((words[0], words[2]), []).append((row["rank"], row["rmse"]))
        elif words[0] == "0.2 deg" and words[2] == "clouds" and words[3] == "0":
            records.setdefault(words[4], []).append((int(words[1].split()[0]), row["rmse"]))
    for (grid, mask), points in sorted(ranks.items()):
        left.semilogx(*zip(*sorted(points), strict=True), "o-", label=f"{grid}, {mask}")
    for name, points in records.items():
        if len(points) > 1:
            right.semilogx(*zip(*sorted(points), strict=True), "o-", label=name)
    left.set(xlabel="rank (ridge 20)", ylabel="RMSE on held-out cells, 1e-5 mol m-2", title="CP alone")
    right.set(xlabel="days of record", title="under clouds, 0.2 degree; other test days in each")
    for axis in (left, right):
        if axis.has_data():
            axis.legend(fontsize=8)
    figure.savefig(path, dpi=90)
    plt.close(figure)
