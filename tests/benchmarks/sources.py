"""Every real file there is, and files that belong together: opened, archived, verified, read by plain xarray.

python tests/benchmarks/sources.py --folder /tmp/sources [--bound rel:0.01]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
import warnings
from pathlib import Path

import xarray as xr
from rich.console import Console
from rich.table import Table

from adiabat.formats import parse_bound, verify
from adiabat.formats.archive import archive
from adiabat.formats.plan_groups import plan_groups
from adiabat.formats.sources import find_source

SUFFIXES = (".nc", ".nc4", ".grib", ".he5")
TOGETHER = ("tempo", "tropomi/orbits", "era5_regional/gulf*.nc", "era5_regional/wam*.nc", "merra2/*tavg*.nc4")


def through(given: str, store: Path, bound: str) -> tuple[int, int, float, list[str]]:
    """Archive, verify and read one source: variables, its bytes as float32, ratio, and what is wrong."""
    source, _ = find_source(given)
    datasets = source.open()
    shutil.rmtree(store, ignore_errors=True)
    archive(source, plan_groups(datasets, default_bound=parse_bound(bound)), store)
    checks = verify(source, store)
    problems = [f"{check.name}: {check.problem}" for check in checks if check.problem]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Zarr: fixed-length strings are not in the v3 spec yet
        if len(datasets) > 1:
            opened = xr.open_datatree(store, engine="zarr", decode_times=False)
        else:
            opened = xr.open_zarr(store, decode_times=False, chunks=None)
        for place, dataset in datasets.items():
            node = opened[place] if len(datasets) > 1 else opened
            problems += [f"{name}: not found" for name in dataset.variables if name not in node.variables]
    values = sum(array.size for dataset in datasets.values() for array in dataset.variables.values())
    written = sum(file.stat().st_size for file in store.rglob("*") if file.is_file())
    return len(checks), 4 * values, 4 * values / written, problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where archives are written, one after the other")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ADIABAT_DATA", "../shared/data")))
    parser.add_argument("--bound", default="rel:0.01")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    console, table, broken = Console(highlight=False, width=160), Table(box=None, header_style="bold"), 0
    for name in ("source", "variables", "MB as float32", "ratio", "seconds", ""):
        table.add_column(name, overflow="fold")
    files = [
        str(file.relative_to(arguments.data)) for file in sorted(arguments.data.rglob("*")) if file.suffix in SUFFIXES
    ]
    for given in (*files, *TOGETHER):
        start = time.perf_counter()
        count, size, ratio, problems = through(
            str(arguments.data / given), arguments.folder / "out.zarr", arguments.bound
        )
        broken += bool(problems)
        seconds = f"{time.perf_counter() - start:.1f}"
        table.add_row(given, str(count), f"{size / 1e6:.2f}", f"{ratio:.1f}", seconds, "; ".join(problems[:3]) or "ok")
        if console.is_terminal:
            console.print(given, end="\r")
    console.print(table)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
